"""What must hold in every run of an elastic backend, checked on what the run has recorded."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from syne_tune.constants import ST_WORKER_TIME

from syne_hypersched._log_tail import LogTail
from syne_hypersched._wording import counted
from syne_hypersched.backends.shared.events import DEVICE_CHANGES
from syne_hypersched.backends.shared.pool_changes import JOIN, LOSE, RETIRE
from syne_hypersched.checks import is_number
from syne_hypersched.contract import ST_DEVICE_TIME
from syne_hypersched.experiments._best import check_best
from syne_hypersched.experiments._nodes import ranges
from syne_hypersched.experiments._run import Report, Run
from syne_hypersched.experiments._timeline import holdings
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
"""Names of the rules and what they say."""


@dataclass(frozen=True)
class Violation:
    """One place where a rule is broken."""

    rule: str
    """Name of the rule, a key of :const:`RULES`."""

    trial_id: int
    """The trial that broke it."""

    message: str
    """What happened, and when."""


def check_run(run: Run, step: float = 1.0) -> tuple[Violation, ...]:
    """Checks a run against all of :const:`RULES`.

    Parameters
    ----------
    run
        The experiment, finished or running.
    step
        Distance of the resource levels that the training script reports.

    Returns
    -------
    tuple of Violation
        Every violation, in the order of the rules; empty if all rules hold.

    Raises
    ------
    ValueError
        ``step`` is not positive, or the run has no record of its devices, so that there is nothing to check.
    """
    if not step > 0:
        raise ValueError(f"step must be positive, but got {step!r}")
    if not run.devices:
        raise ValueError(f"the run must have an event 'setup' with its devices, but {run.path} has none")
    distance = None if run.time_attr in (ST_WORKER_TIME, ST_DEVICE_TIME) else step
    found = [
        *check_devices(run.events, run.devices),
        *check_reports(run.reports, distance, partial(_levels_in_log, run)),
    ]
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
    """
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
    step: float | None = 1.0,
    levels_in_log: Callable[[int], Collection[float] | None] = lambda trial_id: None,
) -> tuple[Violation, ...]:
    """Checks the resource levels reported: the rules ``twice`` and ``missing``.

    A script may report a level more than once in one launch. Then that many reports of it may come from several
    launches, the first of which may have ended between them. One report that is delivered twice may not.

    A launch that is ended after it has saved and before it has reported leaves a level out, if the next one goes on
    after what was saved and does not report that. Then nothing is lost, and the trial's log does not have the level.

    Parameters
    ----------
    reports
        Reports of all trials.
    step
        Distance of the resource levels that the training script reports; None: they are not evenly spaced.
    levels_in_log
        The levels that are reported in the log of a trial; None: that is not known.
    """
    levels: dict[int, dict[float, list[Report]]] = defaultdict(lambda: defaultdict(list))
    for report in reports:
        levels[report.trial_id][report.resource].append(report)
    most = max((_most_of_a_launch(same) for reported in levels.values() for same in reported.values()), default=1)
    violations = []
    for trial_id, reported in levels.items():
        for level, same in sorted(reported.items()):
            if len(same) > most or _repeats(same):
                message = f"trial {trial_id} has reported level {level:g} {len(same)} times"
                violations.append(Violation("twice", trial_id, message))
        for before, after in pairwise(sorted(reported)):
            if step is not None and not math.isclose(after - before, step):
                said = levels_in_log(trial_id) if _are_of_two_launches(reported[before], reported[after]) else None
                if said is not None and after > before and not any(before < level < after for level in said):
                    continue
                message = f"trial {trial_id} has reported level {after:g} after {before:g}, levels being {step:g} apart"
                violations.append(Violation("missing", trial_id, message))
    return tuple(violations)


def _are_of_two_launches(before: Sequence[Report], after: Sequence[Report]) -> bool:
    return not {report.launch for report in before} & {report.launch for report in after}


def _levels_in_log(run: Run, trial_id: int) -> frozenset[float] | None:
    log = None if run.path is None else run.path / str(trial_id) / STDOUT_FILENAME
    if log is None or not log.is_file():
        return None
    found = (raw.values.get(run.time_attr) for raw in LogTail(log).reports(to_the_end=True))
    return frozenset(float(level) for level in found if is_number(level))


def check_beginnings(events: Iterable[Event]) -> tuple[Violation, ...]:
    """Checks the first levels of relaunches: the rule ``anew``.

    It is no violation if a trial that has not saved yet starts from the beginning, or repeats work since its last
    checkpoint.
    """
    anew: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        if event.event == "redo" and event.trial_id is not None:
            level, first, before = (float(event.details.get(name, 0)) for name in ("level", "first", "before"))
            if 0 < first < before and level <= first:
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
    """How often a launch has reported a level, if it is known which launch has reported what."""
    distinct = {(report.launch, report.iteration) for report in same if None not in (report.launch, report.iteration)}
    return max(Counter(launch for launch, _ in distinct).values(), default=1)


def _repeats(same: Sequence[Report]) -> bool:
    """Whether a report of a level was delivered twice."""
    iterations = [report.iteration for report in same if report.iteration is not None]
    return len(set(iterations)) < len(iterations)
