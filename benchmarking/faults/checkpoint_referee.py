"""Says what is wrong with an experiment whose scripts kept diaries. Used by ``best_checkpoint.py``.

All of it is decided from plain values, so that each check can be tried on an experiment that never was.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarking.faults import checkpoint_script as script
from benchmarking.faults.checkpoint_loads import Fault, of_loads
from benchmarking.faults.checkpoint_writer import Found

LABEL = "st_checkpoint"
"""Entry of ``result.json`` that says what the checkpoint beside it is of."""
EXACT = "exact"

PROTECTED_S = 0.1
"""A checkpoint that is changed, or whose writer is killed, so many seconds after it was complete or sooner need not be
kept: nobody may have been quick enough to take it, or to see that it is complete."""

COPIED_MB_PER_S = 100.0
"""Megabytes a second that can be copied while other scripts write. A checkpoint that the script overwrites must be
copied to be kept; one that is overwritten sooner need not be."""

RULES = {
    "crashed": "the tuner ends without an error",
    "hung": "the tuner ends",
    "left": "no process is left",
    "twice": "no epoch is reported to the tuner twice",
    "verify": "verify finds nothing but what the script breaks on purpose",
    "best torn": "the checkpoint in best/ is whole",
    "best foreign": "it is the checkpoint of the trial beside it",
    "best missing": "it is there where one as good was ever completed",
    "best unlabelled": "result.json says what it is of",
    "best mislabelled": "what it says makes sense",
    "best older": "it is not older than its result",
    "best newer": "it is not newer than result.json says",
    "best is not best": "best/ has the best report, or the run says why not",
    "best got worse": "best/ is replaced only by something better, also after a resume",
    "load torn": "no launch loads a torn checkpoint twice, or none after it, where a whole one was there",
    "load gone": "no launch finds nothing where a checkpoint was completed",
    "load foreign": "no launch finds the checkpoint of another trial",
    "load back": "no launch begins below the last completed save, unless the one after it was cut off",
}
"""What must hold, and its name."""


@dataclass(frozen=True)
class Reported:
    """A report that the tuner was given."""

    trial_id: int
    epoch: int
    value: float
    time_s: float = 0.0


@dataclass(frozen=True)
class Best:
    """What was seen in ``best/``."""

    result: Mapping[str, Any]
    found: Found
    is_there: bool
    """Whether it has a folder for the checkpoint, with anything in it."""
    x: float | None
    """That of its configuration."""

    @property
    def trial_id(self) -> int:
        return int(self.result["trial_id"])

    @property
    def epoch(self) -> int:
        return int(self.result["epoch"])

    @property
    def value(self) -> float:
        return float(self.result["loss"])


@dataclass
class Evidence:
    """All that is known of an experiment."""

    order: str
    publishes: bool = True
    deadline_s: float | None = None
    reports: Sequence[Reported] = ()
    diaries: Mapping[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """The lines of each trial's diary."""
    xs: Mapping[int, float] = field(default_factory=dict)
    best: Best | None = None
    sightings: Sequence[Best] = ()
    """What was seen in ``best/`` from the beginning to the end, whenever it changed."""
    explained: Sequence[tuple[int, int | None]] = ()
    """Trials, and epochs if known, of which the run says why their checkpoint is not published."""
    killed: frozenset[tuple[int, int]] = frozenset()
    """Trials and launches of which the last one was killed at once."""
    failed: frozenset[int] = frozenset()
    """Trials that have failed for good."""
    copy_s: float = 0.0
    """Seconds for a copy of a checkpoint, where it must be copied to be kept (:const:`COPIED_MB_PER_S`)."""
    violations: Sequence[tuple[str, str]] = ()
    """What ``verify`` has found: rule and message."""
    left: Sequence[str] = ()
    crashed: str = ""
    hung: bool = False


@dataclass
class Verdict:
    """What the referee says."""

    faults: list[Fault]
    counts: Counter[str]
    """Loads of torn checkpoints and what came of them, launches, saves."""
    match: str
    """``"exact"``, the number that ``result.json`` says, ``"none"`` without a checkpoint, ``"?"`` unlabelled, ``""``
    without ``best/``."""


def judge(evidence: Evidence) -> Verdict:
    """Applies all of :const:`RULES`."""
    counts: Counter[str] = Counter()
    faults = [*_of_the_run(evidence)]
    for trial_id in evidence.diaries:
        faults += of_loads(trial_id, lasting(evidence, trial_id), trial_id in evidence.failed, counts)
    match = ""
    if evidence.publishes:
        match = match_of(evidence.best)
        faults += _of_best(evidence)
        faults += _of_sightings(evidence)
    return Verdict(faults, counts, match)


def _of_the_run(evidence: Evidence) -> Iterator[Fault]:
    if evidence.crashed:
        yield Fault("crashed", evidence.crashed)
    if evidence.hung:
        yield Fault("hung", "the tuner has not ended")
    for process in evidence.left:
        yield Fault("left", process)
    times = Counter((report.trial_id, report.epoch) for report in evidence.reports)
    for (trial_id, epoch), number in times.items():
        if number > 1:
            yield Fault("twice", f"epoch {epoch} of trial {trial_id} was reported {number} times")
    for rule, message in evidence.violations:
        if rule not in broken_on_purpose(evidence.order):
            yield Fault("verify", f"{rule}: {message}")


def broken_on_purpose(order: str) -> frozenset[str]:
    """Rules of ``verify`` that a script breaks which saves and reports in this order.

    One that saves before it reports may be killed between the two: it goes on after an epoch that nobody has heard of.
    Who reports before he saves, or does not save every epoch, begins below where he was.
    """
    below = frozenset({"anew"})
    reports_first = (script.REPORT_FIRST, script.REPORT_THEN_FEW, script.REPORT_THEN_BETTER, script.REPORT_THEN_THREAD)
    if order in (*reports_first, script.INITIAL, script.NEVER):
        return below
    if order == script.AGAIN:
        return frozenset()
    if order in (script.SAVE_FIRST, script.BOTH, script.TWICE):
        return frozenset({"missing"})
    return below | {"missing"}


def lasting(evidence: Evidence, trial_id: int) -> list[Mapping[str, Any]]:
    """The diary of a trial, with ``"brief"`` instead of ``"saved"`` where a checkpoint did not last.

    A script that has put SIGTERM off, and dies of it at once after it has written in place, leaves what a process that
    is killed while it writes may leave: the kernel closes the file of a dead process, too. The next launch tries such a
    checkpoint, or goes back to the one before, and it is not published.
    """
    diary = list(evidence.diaries.get(trial_id, ()))
    launch = 0
    for index, line in enumerate(diary):
        if line["what"] == "begin":
            launch = line["launch"]
        elif line["what"] == "saved" and "time" in line:
            following = diary[index + 1 :]
            end = next((i for i, other in enumerate(following) if other["what"] in ("begin", "saving")), len(following))
            is_killed = end == len(following) or following[end]["what"] == "begin"
            lived = following[:end] if is_killed else following[: end + 1]
            seen_s = max((other["time"] - line["time"] for other in lived if other["what"] != "begin"), default=0.0)
            protected_s = PROTECTED_S if is_killed else max(PROTECTED_S, evidence.copy_s)
            is_cut = (trial_id, launch) in evidence.killed or (bool(evidence.copy_s) and _dies_next(following))
            if seen_s < protected_s and (is_cut or not is_killed):
                diary[index] = {**line, "what": "brief"}
    return diary


def _dies_next(following: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a script dies now of a SIGTERM that it has put off."""
    return bool(following) and following[0]["what"] == "deferred"


# What is published.


def match_of(best: Best | None) -> str:
    """How sure ``result.json`` is."""
    if best is None:
        return ""
    if LABEL not in best.result:
        return "?"
    label = best.result[LABEL]
    return "none" if label is None else str(label.get("match")) if isinstance(label, Mapping) else "?"


def _of_best(evidence: Evidence) -> Iterator[Fault]:
    best = evidence.best
    in_time = [
        report
        for report in evidence.reports
        if math.isfinite(report.value) and (evidence.deadline_s is None or report.time_s <= evidence.deadline_s)
    ]
    if best is None:
        covered = [report for report in in_time if has_saved(evidence, report.trial_id, report.epoch)]
        if covered:
            yield Fault("best missing", f"there is no best/, and {_brief(covered[0])} was reported and saved")
        return
    yield from of_pair(best, evidence.xs)
    if not best.is_there or best.found.state == "none":
        as_good = [report for report in in_time if report.value <= best.value or _same(report.value, best.value)]
        covered = [report for report in as_good if has_saved(evidence, report.trial_id, report.epoch)]
        if covered:
            yield Fault("best missing", f"best/ has no checkpoint, and {_brief(covered[-1])} was saved")
    better = [report for report in in_time if report.value < best.value and not _same(report.value, best.value)]
    unexplained = [report for report in better if not _is_explained(evidence, report)]
    if unexplained:
        first = min(unexplained, key=lambda report: report.value)
        saved = "was" if has_saved(evidence, first.trial_id, first.epoch) else "was not"
        yield Fault(
            "best is not best",
            f"best/ has epoch {best.epoch} of trial {best.trial_id} with {best.value}, and {_brief(first)} is better; "
            f"its checkpoint {saved} saved, and nothing is said about it",
        )


def of_pair(best: Best, xs: Mapping[int, float]) -> Iterator[Fault]:
    """Holds a result against the checkpoint beside it, and against what it says of it."""
    where = f"best/ with epoch {best.epoch} of trial {best.trial_id}"
    found = best.found
    if best.x is not None and xs.get(best.trial_id, best.x) != best.x:
        yield Fault("best foreign", f"{where} has the configuration {best.x}, not {xs[best.trial_id]}")
    if found.state == "torn":
        yield Fault("best torn", f"{where}: {found.why}")
    if found.state == "foreign":
        yield Fault("best foreign", f"{where}: {found.why}")
    has_checkpoint = best.is_there and found.state != "none"
    least = most = best.epoch
    if LABEL not in best.result:
        yield Fault("best unlabelled", f"{where} has no {LABEL!r} in result.json")
    else:
        label = best.result[LABEL]
        problem = _problem_of_label(label, best, has_checkpoint)
        if problem:
            yield Fault("best mislabelled", f"{where} says {label}: {problem}")
        elif label is not None and label["match"] != EXACT:
            most = best.epoch + label["match"]
    if found.epoch is None or found.state != "whole":
        return
    if found.epoch < least:
        yield Fault("best older", f"{where} has a checkpoint of epoch {found.epoch}")
    if found.epoch > most:
        yield Fault("best newer", f"{where} has a checkpoint of epoch {found.epoch}, and says {match_of(best)}")


def _problem_of_label(label: Any, best: Best, has_checkpoint: bool) -> str:
    """What is wrong with it in itself; empty if nothing is."""
    if label is None:
        return "there is a checkpoint" if has_checkpoint else ""
    if not has_checkpoint:
        return "there is no checkpoint"
    if not isinstance(label, Mapping):
        return "it must be null or an object"
    lacking = [name for name in ("level", "launch", "generation", "match") if name not in label]
    if lacking:
        return f"it lacks {', '.join(lacking)}"
    if label["level"] != best.epoch:
        return f"the level of the result is {best.epoch}"
    if "st_launch" in best.result and label["launch"] != best.result["st_launch"]:
        return f"the launch of the result is {best.result['st_launch']}"
    match = label["match"]
    if match != EXACT and (isinstance(match, bool) or not isinstance(match, int) or match < 1):
        return "match must be 'exact' or a number of at least 1"
    return ""


def _of_sightings(evidence: Evidence) -> Iterator[Fault]:
    last: Best | None = None
    seen: set[Fault] = set()
    for best in evidence.sightings:
        # The last one has been judged as what is in best/ at the end.
        for fault in of_pair(best, evidence.xs) if best is not evidence.sightings[-1] else ():
            if fault.rule not in ("best unlabelled",) and fault not in seen:
                seen.add(fault)
                yield Fault(fault.rule, f"for a while {fault.message}")
        if last is not None:
            # A result without a checkpoint gives way to one that has one.
            worse = best.value > last.value and not _same(best.value, last.value) and last.found.state != "none"
            had, has = _is_good(last), _is_good(best)
            same = (best.trial_id, best.epoch) == (last.trial_id, last.epoch)
            if worse:
                yield Fault("best got worse", f"best/ with {last.value} was replaced by one with {best.value}")
            elif had and not has:
                yield Fault("best got worse", f"a whole and right best/ was replaced by one that is {best.found.state}")
            elif same and had and best.found.epoch != last.found.epoch and _distance(best) > _distance(last):
                yield Fault(
                    "best got worse",
                    f"beside epoch {best.epoch} the checkpoint of epoch {last.found.epoch} was replaced by that of "
                    f"epoch {best.found.epoch}",
                )
        last = best


def _is_good(best: Best) -> bool:
    """Whether it has a whole checkpoint that is not older than its result."""
    return (
        best.is_there
        and best.found.state == "whole"
        and best.found.epoch is not None
        and best.found.epoch >= best.epoch
    )


def _distance(best: Best) -> int:
    return abs((best.found.epoch or 0) - best.epoch)


def _is_explained(evidence: Evidence, report: Reported) -> bool:
    return any(trial_id == report.trial_id and epoch in (None, report.epoch) for trial_id, epoch in evidence.explained)


def has_saved(evidence: Evidence, trial_id: int, epoch: int) -> bool:
    """Whether a trial has completed a save of an epoch that can be told from one of the epoch before.

    A script that saves before and after its report looks like one that has saved before the training, as long as only
    its first save is complete.
    """
    diary = lasting(evidence, trial_id)
    if evidence.order == script.BOTH:
        reported = [index for index, line in enumerate(diary) if line["what"] == "reported" and line["epoch"] == epoch]
        diary = diary[reported[0] :] if reported else []
    return any(line["what"] == "saved" and line["epoch"] == epoch for line in diary)


def _same(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=1e-9)


def _brief(report: Reported) -> str:
    return f"epoch {report.epoch} of trial {report.trial_id} with {report.value}"
