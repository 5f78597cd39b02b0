"""An experiment as plain values: what its trials reported and what happened to their processes."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syne_tune.constants import (
    ST_DECISION,
    ST_METADATA_FILENAME,
    ST_RESULTS_DATAFRAME_FILENAME,
    ST_TRIAL_ID,
    ST_TUNER_TIME,
    ST_WORKER_ITER,
    ST_WORKER_TIME,
    ST_WORKER_TIMESTAMP,
)

from syne_hypersched import checks
from syne_hypersched._metadata import read_metadata, scheduler_arguments
from syne_hypersched._terminal_text import shown
from syne_hypersched._wording import counted
from syne_hypersched.backends.shared.events import DECISION
from syne_hypersched.contract import ST_ADMISSION_OPEN, ST_LAUNCH, ST_NUM_DEVICES, ST_SIGNAL_TO_REPORT_S
from syne_hypersched.experiments._alive import find_run_state
from syne_hypersched.experiments._results import (
    CONFIG_PREFIX,
    Rows,
    integer_cell,
    is_ours,
    names_of_space,
    number_cell,
    read_rows,
    reported_level,
)
from syne_hypersched.experiments._timeline import all_devices
from syne_hypersched.experiments._unreported import lost_reports, other_configs
from syne_hypersched.filenames import EVENTS_FILENAME, JOURNAL_DIRNAME, STDOUT_FILENAME
from syne_hypersched.records.events import Event, EventReader
from syne_hypersched.records.find import find_run

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """One report of a trial.

    Example: ``values = [report.value for report in load_run("my-experiment").reports]``.

    Attributes
    ----------
    trial_id
        The trial.
    time_s
        Seconds from the start of the tuning to when the tuner received the report.
    resource
        The resource level (number of epochs).
    value
        The metric.
    num_devices, launch
        Devices and index of the launch that reported; None with a backend that is not elastic.
    signal_to_report_s
        For the first report of a launch, seconds since the signal that led to the launch.
    worker_time_s
        Seconds that the trial has trained.
    admission_open
        Whether new trials could still start; None with a scheduler that does not say.
    decision
        What the scheduler decided: CONTINUE, PAUSE or STOP.
    iteration
        How many reports of the trial came before it; None with a backend or a script that does not count them.
    worker_timestamp
        When the trial has reported, by the clock of its machine (seconds since the epoch).
    """

    trial_id: int
    time_s: float
    resource: float
    value: float
    num_devices: int | None = None
    launch: int | None = None
    signal_to_report_s: float | None = None
    worker_time_s: float | None = None
    admission_open: bool | None = None
    decision: str = ""
    iteration: int | None = None
    worker_timestamp: float | None = None


#: What functions take that are about an experiment, in words.
SEVERAL_REPORTS = 'reports, such as load_run("NAME").reports'
A_RUN = 'what load_run returns, as in load_run("NAME")'


@dataclass(frozen=True, repr=False)
class Run:
    """An experiment.

    .. code-block:: python

        run = load_run("my-experiment")  # a name or a folder
        print(run.metric, len(run.reports), "reports")
        print(format_trials(trial_table(run)))

    A run of a stock backend has no events; everything that is read from reports alone works there too.

    Attributes
    ----------
    metric
        Name of the metric.
    do_minimize
        Whether the metric is to be minimised.
    time_attr
        Name of the resource level.
    reports
        All reports, in the order in which the tuner received them.
    events
        All events, in the order in which they happened.
    configs
        Configuration of each trial that has reported, and of others as far as it is recorded.
    path
        Folder of the experiment.
    problems
        What of its files could not be read, in words.
    notes
        What else was left out, in words, since it is no report of a resource level.
    is_over
        Whether it has ended, was killed or was simulated; False if it runs, or that cannot be known.
    is_killed
        Whether its tuner has died while trials held devices.
    """

    metric: str
    do_minimize: bool
    time_attr: str
    reports: tuple[Report, ...] = ()
    events: tuple[Event, ...] = ()
    configs: Mapping[int, Mapping[str, Any]] | None = None
    path: Path | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_over: bool = False
    is_killed: bool = False

    def __repr__(self) -> str:
        trials = {report.trial_id for report in self.reports} | {event.trial_id for event in self.events} - {None}
        counts = ", ".join(
            (counted(len(trials), "trial"), counted(len(self.reports), "report"), counted(len(self.events), "event"))
        )
        best = self.incumbent
        found = "" if best is None else f", best {shown(self.metric)} {best.value:.6g}"
        return f"<Run {'' if self.path is None else f'{self.path}: '}{counts}{found}>"

    @property
    def setup(self) -> Mapping[str, Any]:
        """Settings that the backend recorded at its start: ``mode``, ``deadline_s``..."""
        return next((event.details for event in self.events if event.event == "setup"), {})

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of all devices, held or not: those of the start, and those that have joined later."""
        return all_devices(self.events)

    @property
    def deadline_s(self) -> float | None:
        """The deadline in seconds after the start of the tuning, None if there was none."""
        # A stop criterion that takes the deadline of the scheduler says so only when the first trial has started.
        said = (event.details.get("deadline_s") for event in self.events if event.event in ("setup", "deadline"))
        # What is no number is of a damaged line.
        return next((float(deadline_s) for deadline_s in said if isinstance(deadline_s, (int, float))), None)

    @property
    def admission_closed_s(self) -> float | None:
        """When the tuner received the first report with admission closed, None if it stayed open."""
        return next((report.time_s for report in self.reports if report.admission_open is False), None)

    @property
    def decisions(self) -> tuple[Event, ...]:
        """Why the scheduler closed admission and resized, paused or stopped trials, as far as it gave reasons.

        ``details`` of each has ``what`` was decided and the ``numbers`` that decided.
        """
        return tuple(event for event in self.events if event.event == DECISION)

    @property
    def incumbent(self) -> Report | None:
        """The report with the best metric, the earlier of equal ones; None before the first finite one."""
        return best_report(self.reports, self.do_minimize)


def best_report(reports: Iterable[Report], do_minimize: bool) -> Report | None:
    """The report with the best finite value, the earlier of equal ones, or None."""
    finite = [report for report in reports if math.isfinite(report.value)]
    return min(finite, key=lambda report: report.value if do_minimize else -report.value, default=None)


class MissingEntryError(ValueError):
    """No report of a run has the metric, or none the resource level.

    Example: ``load_run("my-experiment", time_attr="epoch")``, if no report has an entry ``epoch``.
    """

    def __init__(self, name: str, what: str, names: Iterable[str]) -> None:
        reported = [each for each in names if not is_ours(each)]
        has = f"the script reports {', '.join(reported)}" if reported else "the script reports nothing else"
        super().__init__(f"{has}; the {what} is {name}")


def load_run(path: Path | str, time_attr: str | None = None) -> Run:
    """Reads an experiment from the folder into which the tuner writes.

    Parameters
    ----------
    path
        The experiment's folder (``tuner.tuner_path``) with ``metadata.json``, ``results.csv.zip`` and, if its backend
        was elastic, ``events.jsonl``; or the experiment's name (``tuner.name``).
    time_attr
        Entry of the results that is the resource level; by default the scheduler's own ``time_attr`` or, if it has
        none, as random search, ``epoch``, ``step`` or ``iteration``, the first of these that is reported.

    Returns
    -------
    Run
        The experiment; of one that still runs, what has been written so far. What cannot be read, as after a crash or
        on a full disk, is left out, with a warning; :attr:`Run.problems` says what. Results that cannot be read, or
        that the tuner has not stored yet, are taken from the journal, if there is one.

    Raises
    ------
    FileNotFoundError
        There is no such experiment: no folder with a ``metadata.json``.
    ValueError
        The scheduler has not stored its ``time_attr`` and none is given, the results lack an entry, or
        ``metadata.json`` is not whole.
    """
    path = find_run(path)
    goal = read_goal(path, time_attr)
    rows, unreadable = read_rows(path)
    reports, configs, incomplete = reports_of_rows(rows, path / ST_RESULTS_DATAFRAME_FILENAME, goal)
    events, torn = _read_events(path / EVENTS_FILENAME)
    if not rows and not unreadable and any(event.event == "first_report" for event in events):
        unreadable, incomplete = _why_no_rows(path, goal)
    run_state = find_run_state(path, events)
    if rows and run_state != "running" and not unreadable:
        unreadable = lost_reports(events, configs, path)
    configs |= other_configs(path, events, configs, names_of_space(goal.metadata))
    problems, notes = tuple(filter(None, (unreadable, torn))), tuple(filter(None, (incomplete,)))
    for problem in problems + notes:
        logger.warning("%s.", problem)
    return Run(
        metric=goal.metric,
        do_minimize=goal.do_minimize,
        time_attr=goal.time_attr,
        reports=reports,
        events=events,
        configs=configs,
        path=path,
        problems=problems,
        notes=notes,
        is_over=run_state != "running",
        is_killed=run_state == "killed",
    )


@dataclass(frozen=True)
class RunGoal:
    """What ``metadata.json`` says of an experiment."""

    metric: str
    """Name of the metric."""
    do_minimize: bool
    """Whether the metric is to be minimised."""
    time_attr: str
    """Name of the resource level."""
    metadata: Mapping[str, Any]
    """All of it."""


def read_goal(path: Path, time_attr: str | None = None) -> RunGoal:
    """Reads ``metadata.json`` in the folder of an experiment.

    Raises
    ------
    ValueError
        The scheduler has not stored its ``time_attr``, none is given and no entry of the results is called like one;
        or the file is not whole.
    """
    metadata = _whole_metadata(path)
    if time_attr is None:
        time_attr = metadata.get("time_attr") or scheduler_arguments(metadata).get("time_attr")
    if time_attr is None:
        time_attr = reported_level(path)
    metric, mode = metadata["metric_names"][0], metadata["metric_mode"]
    return RunGoal(metric, (mode if isinstance(mode, str) else mode[0]) == "min", time_attr, metadata)


def run_metadata(run: Run) -> dict[str, Any]:
    """What the tuner has stored about a run: the scheduler, its arguments, the space; empty without a folder.

    Raises
    ------
    TypeError
        ``run`` is no run, for example its name.
    ValueError
        ``metadata.json`` is not whole.
    """
    run = checks.instance("run", run, Run, A_RUN)
    return {} if run.path is None else _whole_metadata(run.path)


def _why_no_rows(path: Path, goal: RunGoal) -> tuple[str, str]:
    """What is wrong if trials have reported and there is no result: a problem or a note."""
    table = path / ST_RESULTS_DATAFRAME_FILENAME
    if table.is_file() or (path / JOURNAL_DIRNAME).is_dir():
        return "", (
            f"trials have reported, but the tuner has received no report with {goal.metric!r} and {goal.time_attr!r} "
            f"as numbers: it warns of what it leaves out, and {path}/*/{STDOUT_FILENAME} shows what was reported"
        )
    return (
        f"{table} is missing, although trials have reported: it was removed, or the tuner, which stores it every few "
        "seconds and keeps no journal, has not stored it"
    ), ""


def _whole_metadata(path: Path) -> dict[str, Any]:
    metadata = read_metadata(path)
    names, mode = metadata.get("metric_names"), metadata.get("metric_mode")
    modes = mode if isinstance(mode, list) else [mode]
    is_list_of_names = isinstance(names, list) and bool(names) and all(isinstance(name, str) for name in names)
    if not (is_list_of_names and modes and all(each in ("min", "max") for each in modes)):
        raise ValueError(
            f"{path / ST_METADATA_FILENAME} must be a JSON object with metric_names and metric_mode, but is not: it "
            "was cut off, as on a full disk, cannot be read, or is of another program"
        )
    return metadata


def _read_events(path: Path) -> tuple[tuple[Event, ...], str]:
    """All events, and what is wrong with them."""
    if not path.is_file():
        return (), ""
    reader = EventReader(path, strict=False)
    try:
        events = reader.read_new()
    except OSError as error:
        return (), f"{path} cannot be read ({error.strerror}): the events are missing here"
    problem = f"{counted(reader.num_left_out, 'line')} of {path} left out: no event" if reader.num_left_out else ""
    return events, problem


def reports_of_rows(rows: Rows, path: Path, goal: RunGoal) -> tuple[tuple[Report, ...], dict[int, dict[str, Any]], str]:
    """The reports, the configurations of their trials, and what is wrong with them.

    Raises
    ------
    MissingEntryError
        No row has the metric, or none the resource level.
    """
    metric, time_attr = goal.metric, goal.time_attr
    reports, configs, num_left_out = [], {}, 0
    space = names_of_space(goal.metadata)
    names = dict.fromkeys(name for row in rows for name in row)
    for name, what in ((metric, "metric"), (time_attr, "resource level")) if rows else ():
        if name not in names:
            raise MissingEntryError(name, what, names)
    for row in rows:
        trial_id, resource, value = (
            integer_cell(row.get(ST_TRIAL_ID)),
            number_cell(row.get(time_attr)),
            number_cell(row.get(metric)),
        )
        if trial_id is None or resource is None or not math.isfinite(resource):
            num_left_out += 1
            continue
        reports.append(
            Report(
                trial_id=trial_id,
                time_s=row.get(ST_TUNER_TIME) or 0.0,
                resource=resource,
                value=math.nan if value is None else float(value),
                num_devices=integer_cell(row.get(ST_NUM_DEVICES)),
                launch=integer_cell(row.get(ST_LAUNCH)),
                signal_to_report_s=row.get(ST_SIGNAL_TO_REPORT_S),
                worker_time_s=row.get(ST_WORKER_TIME),
                admission_open=row.get(ST_ADMISSION_OPEN),
                decision=row.get(ST_DECISION) or "",
                iteration=integer_cell(row.get(ST_WORKER_ITER)),
                worker_timestamp=number_cell(row.get(ST_WORKER_TIMESTAMP)),
            )
        )
        named = {name.removeprefix(CONFIG_PREFIX): row[name] for name in row if name.startswith(CONFIG_PREFIX)}
        # A script may report an entry whose name begins like those of a configuration.
        configs[trial_id] = {name: value for name, value in named.items() if not space or name in space}
    problem = f"{counted(num_left_out, 'report')} in {path} left out: no {time_attr}" if num_left_out else ""
    return tuple(reports), configs, problem
