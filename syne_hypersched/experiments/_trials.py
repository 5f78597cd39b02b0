"""The table of trials: how good, how far, on how many devices, and what the launches cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from syne_hypersched import checks
from syne_hypersched._terminal_text import right, shown, width
from syne_hypersched._wording import metric_text
from syne_hypersched.experiments._run import A_RUN, SEVERAL_REPORTS, Report, Run, best_report
from syne_hypersched.experiments._timeline import Holding, holdings
from syne_hypersched.records.events import Event

IN_PROGRESS, UNFINISHED, DEADLINE = "in progress", "unfinished", "deadline"
#: Reasons for which a launch is ended and its trial does not go on.
ENDING = (DEADLINE, "stop")
STATUS_OF_EVENT = {
    "start": IN_PROGRESS,
    "resume": IN_PROGRESS,
    "pause": "paused",
    "stop": "stopped",
    "complete": "completed",
    "fail": "failed",
}
STATUS_OF_DECISION = {"PAUSE": "paused", "STOP": "stopped"}


@dataclass(frozen=True)
class TrialSummary:
    """One trial in a few numbers. None means that the backend has not recorded the number.

    .. code-block:: python

        best, *others = trial_table(load_run("my-experiment"))
        print(best.trial_id, best.best, best.config)

    Attributes
    ----------
    trial_id
        The trial.
    status
        ``in progress``, ``paused``, ``stopped``, ``completed``, ``failed``, ``deadline`` if the deadline has ended it,
        also while it waited, or ``unfinished`` if the run has ended in another way before.
    best
        The best metric, None before the first finite one.
    last
        The metric of the last report, None without a report.
    resource
        The highest resource level reported, 0 without a report.
    num_devices
        Devices that it holds now or, once it has ended, held last.
    max_devices
        Most devices that it held at one time.
    num_launches
        How often its processes were started.
    launch_cost_s
        Seconds lost to launches, the first one included.
    config
        Its configuration; empty if it is not recorded.
    """

    trial_id: int
    status: str
    best: float | None
    last: float | None
    resource: float
    num_devices: int | None
    max_devices: int | None
    num_launches: int | None
    launch_cost_s: float | None
    config: Mapping[str, Any]


def launch_costs_s(reports: Sequence[Report], held: Iterable[Holding] = ()) -> dict[tuple[int, int], float]:
    """What each launch cost: seconds from the signal to the first report, less the training in between.

    The training is taken from the reports that followed: the median of the trial on as many devices, else of all trials
    on as many devices, else of all trials. A launch that ended without a report has cost all the time that it lasted.

    Parameters
    ----------
    reports
        Reports of all trials.
    held
        What the launches held, for those that never reported.

    Returns
    -------
    dict
        Seconds, by trial and index of the launch; not below 0. A launch whose cost is not known is left out.

    Raises
    ------
    TypeError
        They are no reports, but for example the name of an experiment.
    """
    reports = checks.instances("reports", reports, Report, SEVERAL_REPORTS)
    held = checks.instances("held", held, Holding, "what holdings returns")
    times_per_level_s: dict[Any, list[float]] = defaultdict(list)
    for earlier, later in _consecutive(reports):
        if earlier.worker_time_s is None or later.worker_time_s is None or later.resource <= earlier.resource:
            continue
        time_s = (later.worker_time_s - earlier.worker_time_s) / (later.resource - earlier.resource)
        for key in ((later.trial_id, later.num_devices), later.num_devices, None):
            times_per_level_s[key].append(time_s)

    # Thousands of launches share the list of all trials on as many devices.
    typical_s = {key: median(times_s) for key, times_s in times_per_level_s.items()}
    costs: dict[tuple[int, int], float] = {}
    level_before: dict[int, float] = {}
    for report in reports:
        levels = report.resource - level_before.get(report.trial_id, 0.0)
        level_before[report.trial_id] = report.resource
        if report.launch is None or report.signal_to_report_s is None:
            continue
        keys = ((report.trial_id, report.num_devices), report.num_devices, None)
        level_s = next((typical_s[key] for key in keys if key in typical_s), None)
        if level_s is not None:
            cost_s = report.signal_to_report_s - levels * level_s
            costs[report.trial_id, report.launch] = max(0.0, cost_s)

    reported = {(report.trial_id, report.launch) for report in reports}
    for holding in held:
        if (holding.trial_id, holding.launch) not in reported and holding.end_s is not None:
            costs[holding.trial_id, holding.launch] = holding.end_s - holding.start_s
    return costs


def _consecutive(reports: Iterable[Report]) -> Iterable[tuple[Report, Report]]:
    """Pairs of reports that followed each other in one launch, on the same number of devices."""
    by_launch: dict[tuple[int, int | None], list[Report]] = defaultdict(list)
    for report in reports:
        by_launch[report.trial_id, report.launch].append(report)
    for of_launch in by_launch.values():
        yield from ((one, other) for one, other in pairwise(of_launch) if one.num_devices == other.num_devices)


def trial_table(run: Run) -> tuple[TrialSummary, ...]:
    """Summaries of all trials, the best first and those without a finite metric last.

    Parameters
    ----------
    run
        The experiment, finished or running.

    Raises
    ------
    TypeError
        ``run`` is no run, for example its name.
    """
    run = checks.instance("run", run, Run, A_RUN)
    reports: dict[int, list[Report]] = defaultdict(list)
    for report in run.reports:
        reports[report.trial_id].append(report)
    held: dict[int, list[Holding]] = defaultdict(list)
    all_held = holdings(run.events)
    for holding in all_held:
        held[holding.trial_id].append(holding)
    events: dict[int, list[Event]] = defaultdict(list)
    for event in run.events:
        if event.trial_id is not None:
            events[event.trial_id].append(event)
    costs_s: dict[int, list[float]] = defaultdict(list)
    for (trial_id, _), cost_s in launch_costs_s(run.reports, all_held).items():
        costs_s[trial_id].append(cost_s)

    cut_off = _cut_off(run, all_held)
    summaries = [
        _summarise(run, trial_id, reports[trial_id], events[trial_id], held[trial_id], costs_s[trial_id], cut_off)
        for trial_id in sorted(reports.keys() | events.keys())
    ]
    sign = 1 if run.do_minimize else -1
    return tuple(sorted(summaries, key=lambda trial: (trial.best is None, sign * (trial.best or 0.0), trial.trial_id)))


def _summarise(
    run: Run,
    trial_id: int,
    reports: Sequence[Report],
    events: Sequence[Event],
    held: Sequence[Holding],
    costs_s: Sequence[float],
    cut_off: str,
) -> TrialSummary:
    best = best_report(reports, run.do_minimize)
    devices = [holding.num_devices for holding in held]
    if not devices:
        devices = [report.num_devices for report in reports if report.num_devices is not None]
    return TrialSummary(
        trial_id=trial_id,
        status=_status(reports, events, held, cut_off),
        best=None if best is None else best.value,
        last=reports[-1].value if reports else None,
        resource=max((report.resource for report in reports), default=0.0),
        num_devices=devices[-1] if devices else None,
        max_devices=max(devices, default=None),
        num_launches=len({holding.launch for holding in held}) if held else None,
        launch_cost_s=sum(costs_s) if costs_s else None,
        config=(run.configs or {}).get(trial_id, {}),
    )


def _status(reports: Sequence[Report], events: Sequence[Event], held: Sequence[Holding], cut_off: str) -> str:
    if held and held[-1].reason == DEADLINE:
        return DEADLINE
    told = [STATUS_OF_EVENT[event.event] for event in events if event.event in STATUS_OF_EVENT]
    status = told[-1] if told else IN_PROGRESS
    if not told and reports:
        status = STATUS_OF_DECISION.get(reports[-1].decision, IN_PROGRESS)
    return cut_off if status == IN_PROGRESS else status


def status_at_the_end(is_over: bool, is_killed: bool, last_reason: str) -> str:
    """Status of a trial that no event has ended: it runs, or the end of the run has come while it waited.

    Parameters
    ----------
    is_over, is_killed
        As in :class:`Run`.
    last_reason
        Of the launches that a stop or the deadline has ended, the reason of the last one.
    """
    if not is_over:
        return IN_PROGRESS
    return DEADLINE if last_reason == DEADLINE and not is_killed else UNFINISHED


def _cut_off(run: Run, held: Iterable[Holding]) -> str:
    ends = [
        (holding.end_s, holding.reason) for holding in held if holding.reason in ENDING and holding.end_s is not None
    ]
    return status_at_the_end(run.is_over, run.is_killed, max(ends, default=(0.0, ""))[1])


#: Columns of the table that are left out first where it is too wide, in this order.
_LEFT_OUT = ("at most", "launch cost", "launches", "last", "devices")


def format_trials(trials: Sequence[TrialSummary], metric: str, time_attr: str, columns: int | None = None) -> str:
    """The table as text, a line for each trial.

    Parameters
    ----------
    trials
        The trials, in the order in which they are to appear.
    metric
        Name of the metric.
    time_attr
        Name of the resource level.
    columns
        Columns of the terminal, for which those of the table that matter least are left out; None: all are there.

    Raises
    ------
    TypeError
        ``trials`` are not what :func:`trial_table` returns.
    """
    trials = checks.instances("trials", trials, TrialSummary, "what trial_table returns")
    if columns is not None:
        columns = checks.integer("columns", columns)
    header = (
        "trial",
        f"best {shown(metric)}",
        "last",
        shown(time_attr),
        "devices",
        "at most",
        "launches",
        "launch cost",
        "status",
    )
    rows = [
        (
            str(trial.trial_id),
            "-" if trial.best is None else metric_text(trial.best),
            "-" if trial.last is None else metric_text(trial.last),
            f"{trial.resource:g}",
            _number(trial.num_devices, "d"),
            _number(trial.max_devices, "d"),
            _number(trial.num_launches, "d"),
            _number(trial.launch_cost_s, ".1f", " s"),
            trial.status,
        )
        for trial in trials
    ]
    widths = [max(width(row[column]) for row in (header, *rows)) for column in range(len(header))]
    kept = list(range(len(header)))
    for name in _LEFT_OUT:
        if columns is not None and sum(widths[column] + 2 for column in kept) - 2 > columns:
            kept.remove(header.index(name))
    *numbers, last = kept
    lines = []
    for row in (header, *rows):
        cells = [right(row[column], widths[column]) for column in numbers]
        lines.append("  ".join((*cells, row[last])))
    return "\n".join(lines)


def _number(value: float | None, spec: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{spec}}{unit}"
