"""Invariants of every run of an elastic backend, checked on the run's records."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from syne_tune.constants import ST_WORKER_TIME

from syne_hypersched import checks
from syne_hypersched._log_tail import LogTail
from syne_hypersched._wording import counted
from syne_hypersched.backends.shared.events import DEVICE_CHANGES
from syne_hypersched.backends.shared.pool_changes import JOIN, LOSE, RETIRE
from syne_hypersched.checks import is_number
from syne_hypersched.contract import ST_DEVICE_TIME
from syne_hypersched.experiments._best import check_best
from syne_hypersched.experiments._nodes import ranges
from syne_hypersched.experiments._run import A_RUN, SEVERAL_REPORTS, Report, Run
from syne_hypersched.experiments._timeline import SEVERAL_EVENTS, holdings
from syne_hypersched.filenames import STDOUT_FILENAME
from syne_hypersched.records.events import Event

RULES = {
    "devices": "at every moment no more devices are held than there are",
    "owners": "no device has two owners",
    "launches": "no trial is launched before its last launch has ended",
    "twice": "no report of a trial is delivered twice, nor work that was done again",
    "missing": "no resource level is missing between a trial's first and last",
    "anew": "no trial starts from the beginning repeatedly when it is launched from its checkpoint",
    "best": "best/ holds the checkpoint of its result, whole, and of the best report that has one",
}
"""Names and meanings of the rules."""


@dataclass(frozen=True)
class Violation:
    """One place where a rule is broken.

    .. code-block:: python

        for violation in check_run(load_run("my-experiment")):
            print(violation.rule, violation.trial_id, violation.message)

    Attributes
    ----------
    rule
        Name of the rule, a key of :const:`RULES`.
    trial_id
        The trial that broke it.
    message
        What happened, and when.
    """

    rule: str
    trial_id: int
    message: str


def check_run(run: Run, step: float | None = None) -> tuple[Violation, ...]:
    """Checks a run against all of :const:`RULES`.

    Parameters
    ----------
    run
        The experiment, finished or running.
    step
        Distance of the resource levels that the training script reports; None: they may lie anywhere, and only a level
        that is missing between two launches of a trial breaks a rule.

    Returns
    -------
    tuple of Violation
        Every violation, in the order of the rules; empty if all rules hold.

    Raises
    ------
    TypeError
        ``run`` is no run, for example its name.
    ValueError
        ``step`` is not positive, or the run has no record of its devices, so that there is nothing to check.
    """
    run = checks.instance("run", run, Run, A_RUN)
    if step is not None:
        step = checks.number("step", step, "positive", above=0)
    if not run.devices:
        raise ValueError(f"the run must have an event 'setup' with its devices, but {run.path} has none")
    found = [*check_devices(run.events, run.devices)]
    if run.time_attr in (ST_WORKER_TIME, ST_DEVICE_TIME):
        # Work that is repeated takes time again: such levels are never the same twice.
        found += [violation for violation in check_reports(run.reports) if violation.rule != "missing"]
    else:
        found += check_reports(run.reports, step, partial(_levels_in_log, run))
    found += check_beginnings(run.events)
    if all(holding.end_s is not None for holding in holdings(run.events)):  # else it is being written, perhaps
        found += [Violation("best", trial_id, message) for trial_id, message in check_best(run)]
    order = list(RULES)
    return tuple(sorted(found, key=lambda violation: order.index(violation.rule)))


def check_devices(events: Iterable[Event], devices: Sequence[str]) -> tuple[Violation, ...]:
    """Checks who held which devices: the rules ``devices``, ``owners`` and ``launches``.

    The order of the events decides, not their times: an ``exit`` comes before the ``launch`` that its devices go to.

    Parameters
    ----------
    events
        Events in the order in which they happened.
    devices
        All devices that there are at the start. Others may join, and a device that retires or is lost may be held on
        until its processes are gone, but not be given to anybody until it joins again.

    Raises
    ------
    TypeError
        They are no events, but for example the name of an experiment.
    """
    events = checks.instances("events", events, Event, SEVERAL_EVENTS)
    devices = checks.names("devices", devices)
    held: dict[int, Event] = {}
    known = dict.fromkeys(devices)
    #: Devices that are gone or to go, with the trial that has them still.
    away: dict[str, int | None] = {}
    violations = []
    for event in events:
        if event.trial_id is None:
            if event.event == JOIN:
                known |= dict.fromkeys(event.devices)
                away = {device: holder for device, holder in away.items() if device not in event.devices}
            elif event.event in (RETIRE, LOSE):
                holders = event.details.get("holders") or {}
                away |= {device: holders.get(device) for device in event.devices}
            continue
        if event.event == "exit":
            held.pop(event.trial_id, None)
            away |= {device: None for device in event.devices if away.get(device) == event.trial_id}
        if event.event != "launch" and not (event.event in DEVICE_CHANGES and event.trial_id in held):
            continue
        trial_id, when = event.trial_id, f"at {event.time_s:.3f} s trial {event.trial_id}"
        if event.event == "launch" and trial_id in held:
            names = ranges(held[trial_id].devices, known)
            message = f"{when} was launched while launch {held[trial_id].launch} still held {names}"
            violations.append(Violation("launches", trial_id, message))
        for name, number in Counter(event.devices).items():
            owners = [other for other, launch in held.items() if other != trial_id and name in launch.devices]
            if owners or number > 1:
                owner = f"trial {owners[0]}" if owners else "itself"
                violations.append(Violation("owners", trial_id, f"{when} was given {name}, which {owner} held"))
            is_away = name in away and away[name] != trial_id
            if name not in known or is_away:
                fault = "had been given back, or is lost" if is_away else f"is none of {ranges(known, known)}"
                violations.append(Violation("devices", trial_id, f"{when} was given {name}, which {fault}"))
        if trial_id in held:  # it has left some while it trains
            left = set(held[trial_id].devices).difference(event.devices)
            away |= {device: None for device in left if away.get(device) == trial_id}
        held[trial_id] = event
        num_held = sum(len(launch.devices) for launch in held.values())
        if num_held > len(known):
            message = (
                f"{when} took {counted(len(event.devices), 'device')}, which makes {num_held} held of {len(known)}"
            )
            violations.append(Violation("devices", trial_id, message))
    return tuple(violations)


def check_reports(
    reports: Iterable[Report],
    step: float | None = None,
    levels_in_log: Callable[[int], Collection[float] | None] = lambda trial_id: None,
) -> tuple[Violation, ...]:
    """Checks the resource levels reported: the rules ``twice`` and ``missing``.

    A script may report a level more than once in one launch. Then that many reports of it may come from several
    launches, the first of which may have ended between them. One report that is delivered twice may not.

    A launch that is ended after it has saved and before it has reported leaves a level out, if the next one goes on
    after what was saved and does not report that. Then nothing is lost, and the trial's log does not have the level.

    Without ``step`` the levels may lie anywhere: what a launch leaves out is the script's own choice. Then a level is
    missing if it lies between the last one of a launch and the first one of the next, and is in the trial's log. If the
    log is not known, it is missing if another trial has reported it, and no launch has left out as much.

    Parameters
    ----------
    reports
        Reports of all trials.
    step
        Distance of the resource levels that the training script reports; None: they may lie anywhere.
    levels_in_log
        The levels that are reported in the log of a trial; None: that is not known.

    Raises
    ------
    TypeError
        They are no reports, but for example the name of an experiment.
    """
    reports = checks.instances("reports", reports, Report, SEVERAL_REPORTS)
    levels: dict[int, dict[float, list[Report]]] = defaultdict(lambda: defaultdict(list))
    for report in reports:
        levels[report.trial_id][report.resource].append(report)
    most = max((_most_of_a_launch(same) for reported in levels.values() for same in reported.values()), default=1)
    known = sorted({level for reported in levels.values() for level in reported})
    widest = _widest_of_a_launch(levels)
    violations = []
    for trial_id, reported in levels.items():
        for level, same in sorted(reported.items()):
            if len(same) > most or _repeats(same):
                message = f"trial {trial_id} has reported level {level:g} {len(same)} times"
                violations.append(Violation("twice", trial_id, message))
        for before, after in pairwise(sorted(reported)):
            if step is not None and math.isclose(after - before, step):
                continue
            are_of_two = _are_of_two_launches(reported[before], reported[after])
            said = levels_in_log(trial_id) if are_of_two else None
            if step is not None:
                if said is not None and not any(before < level < after for level in said):
                    continue
                why = f"levels being {step:g} apart"
            elif are_of_two and (lost := _lost(before, after, said, known, widest)) is not None:
                why = f"although {'another trial' if said is None else 'its log'} has level {lost:g}"
            else:
                continue
            message = f"trial {trial_id} has reported level {after:g} after {before:g}, {why}"
            violations.append(Violation("missing", trial_id, message))
    return tuple(violations)


def _widest_of_a_launch(levels: Mapping[int, Mapping[float, Sequence[Report]]]) -> float:
    """The largest distance of two levels that one launch has reported one after the other; 0 if there is none."""
    gaps = (
        after - before
        for reported in levels.values()
        for before, after in pairwise(sorted(reported))
        if not _are_of_two_launches(reported[before], reported[after])
    )
    return max(gaps, default=0.0)


def _lost(
    before: float, after: float, said: Collection[float] | None, known: Sequence[float], widest: float
) -> float | None:
    """A level between those of two launches that the backend has not delivered; None if it has lost none."""
    if said is not None:
        return min((level for level in said if before < level < after), default=None)
    if after - before <= widest:
        return None
    position = bisect_right(known, before)
    return known[position] if position < len(known) and known[position] < after else None


def _are_of_two_launches(before: Sequence[Report], after: Sequence[Report]) -> bool:
    return not {report.launch for report in before} & {report.launch for report in after}


def _levels_in_log(run: Run, trial_id: int) -> frozenset[float] | None:
    log = None if run.path is None else run.path / str(trial_id) / STDOUT_FILENAME
    if log is None or not log.is_file():
        return None
    # Reports without the metric are not delivered.
    found = (raw.values for raw in LogTail(log).reports(to_the_end=True) if is_number(raw.values.get(run.metric)))
    return frozenset(float(level) for values in found if is_number(level := values.get(run.time_attr)))


def check_beginnings(events: Iterable[Event]) -> tuple[Violation, ...]:
    """Checks the first levels of relaunches: the rule ``anew``.

    It is no violation if a trial that has not saved yet starts from the beginning, or repeats work since its last
    checkpoint. Nor if it does so again because the launch that repeated it was killed before it got further, or because
    an older checkpoint was put back before the launch: a script may report again what it has loaded.
    """
    anew: dict[int, list[Event]] = defaultdict(list)
    killed: set[int | None] = set()
    restored: set[tuple[int | None, int | None]] = set()
    for event in events:
        if event.event == "restore":
            restored.add((event.trial_id, event.launch))
        if event.event == "exit":
            is_killed = event.details.get("how") not in ("drained", "completed")
            (killed.add if is_killed else killed.discard)(event.trial_id)
        if event.event == "redo" and event.trial_id is not None:
            level, first, before = (float(event.details.get(name, 0)) for name in ("level", "first", "before"))
            last = anew[event.trial_id][-1].details["before"] if anew[event.trial_id] else None
            is_again = event.trial_id in killed and last == event.details.get("before")
            is_explained = is_again or (event.trial_id, event.launch) in restored
            if 0 < first < before and level <= first and not is_explained:
                anew[event.trial_id].append(event)
    return tuple(
        Violation(
            "anew", trial_id,
            f"trial {trial_id} has begun at level {redone[-1].details['level']:g} in {len(redone)} launches, the last "
            f"time after it had reached {redone[-1].details['before']:g}: it does not seem to load its checkpoint",
        )
        for trial_id, redone in anew.items()
        if len(redone) > 1
    )  # fmt: skip


def _most_of_a_launch(same: Sequence[Report]) -> int:
    """How often a launch has reported a level, if the launch of each report is known."""
    distinct = {(report.launch, report.iteration) for report in same if None not in (report.launch, report.iteration)}
    return max(Counter(launch for launch, _ in distinct).values(), default=1)


def _repeats(same: Sequence[Report]) -> bool:
    """Whether a report of a level was delivered twice."""
    iterations = [report.iteration for report in same if report.iteration is not None]
    return len(set(iterations)) < len(iterations)
