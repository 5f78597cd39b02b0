"""An experiment as plain values: what its trials reported and what happened to their processes."""

from __future__ import annotations

import json
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
)

from syne_hypersched.backends.events import DECISION, EVENTS_FILENAME
from syne_hypersched.contract import ST_ADMISSION_OPEN, ST_LAUNCH, ST_NUM_DEVICES, ST_SIGNAL_TO_REPORT_S
from syne_hypersched.experiments._events import Event, read_events

_CONFIG_PREFIX = "config_"


@dataclass(frozen=True)
class Report:
    """One report of a trial."""

    trial_id: int
    time_s: float
    """Seconds from the start of the tuning to when the tuner received the report."""

    resource: float
    """The resource level (number of epochs)."""

    value: float
    """The metric."""

    num_devices: int | None = None
    """Devices of the launch that reported; None with a backend that is not elastic."""

    launch: int | None = None
    """Index of the launch that reported; None with a backend that is not elastic."""

    signal_to_report_s: float | None = None
    """For the first report of a launch, seconds since the signal that led to the launch."""

    worker_time_s: float | None = None
    """Seconds that the trial has trained."""

    admission_open: bool | None = None
    """Whether new trials could still start; None with a scheduler that does not say."""

    decision: str = ""
    """What the scheduler decided: CONTINUE, PAUSE or STOP."""

    iteration: int | None = None
    """How many reports of the trial came before it; None with a backend or a script that does not count them."""


@dataclass(frozen=True)
class Run:
    """An experiment.

    A run of a stock backend has no events; everything that is read from reports alone works there too.
    """

    metric: str
    """Name of the metric."""

    do_minimize: bool
    """Whether the metric is to be minimised."""

    time_attr: str
    """Name of the resource level."""

    reports: tuple[Report, ...] = ()
    """All reports, in the order in which the tuner received them."""

    events: tuple[Event, ...] = ()
    """All events, in the order in which they happened."""

    configs: Mapping[int, Mapping[str, Any]] | None = None
    """Configuration of each trial that has reported."""

    path: Path | None = None
    """Folder of the experiment."""

    @property
    def setup(self) -> Mapping[str, Any]:
        """What the backend said when it started: ``mode``, ``deadline_s``..."""
        return next((event.details for event in self.events if event.event == "setup"), {})

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of all devices, held or not."""
        return next((event.devices for event in self.events if event.event == "setup"), ())

    @property
    def deadline_s(self) -> float | None:
        """The deadline in seconds after the start of the tuning, None if there was none."""
        # A stop criterion that takes the deadline of the scheduler says so only when the first trial has started.
        said = (event.details.get("deadline_s") for event in self.events if event.event in ("setup", "deadline"))
        deadline_s = next((deadline_s for deadline_s in said if deadline_s is not None), None)
        return None if deadline_s is None else float(deadline_s)

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


def load_run(path: Path | str, time_attr: str | None = None) -> Run:
    """Reads an experiment from the folder into which the tuner writes.

    Parameters
    ----------
    path
        The experiment's folder (``tuner.tuner_path``) with ``metadata.json``, ``results.csv.zip`` and, if its backend
        was elastic, ``events.jsonl``.
    time_attr
        Entry of the results that is the resource level; by default the scheduler's own ``time_attr``.

    Returns
    -------
    Run
        The experiment; of one that still runs, what has been written so far.

    Raises
    ------
    FileNotFoundError
        The folder has no ``metadata.json``.
    ValueError
        The scheduler has not stored its ``time_attr`` and none is given, or the results lack an entry.
    """
    path = Path(path)
    metadata_path = path / ST_METADATA_FILENAME
    if not metadata_path.is_file():
        raise FileNotFoundError(f"there is no file {metadata_path}: {path} is not the folder of an experiment")
    metadata = json.loads(metadata_path.read_text(encoding="utf-8"))
    if time_attr is None:
        time_attr = metadata.get("time_attr") or metadata.get("scheduler_kwargs", {}).get("time_attr")
    if time_attr is None:
        raise ValueError(f"time_attr must be given, since the scheduler has not stored it in {metadata_path}")
    metric = metadata["metric_names"][0]
    mode = metadata["metric_mode"]
    reports, configs = _read_results(path / ST_RESULTS_DATAFRAME_FILENAME, metric, time_attr)
    events_path = path / EVENTS_FILENAME
    return Run(
        metric=metric,
        do_minimize=(mode if isinstance(mode, str) else mode[0]) == "min",
        time_attr=time_attr,
        reports=reports,
        events=read_events(events_path) if events_path.is_file() else (),
        configs=configs,
        path=path,
    )


def _read_results(path: Path, metric: str, time_attr: str) -> tuple[tuple[Report, ...], dict[int, dict[str, Any]]]:
    import pandas as pd

    try:
        table = pd.read_csv(path)
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return (), {}
    for name in (metric, time_attr):
        if name not in table:
            raise ValueError(f"{path} must have an entry {name!r}, but has {', '.join(table.columns)}")
    rows = [{name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")]
    reports, configs = [], {}
    for row in rows:
        value = row[metric]
        reports.append(
            Report(
                trial_id=row[ST_TRIAL_ID],
                time_s=row[ST_TUNER_TIME],
                resource=row[time_attr],
                value=math.nan if value is None else float(value),
                num_devices=_integer(row.get(ST_NUM_DEVICES)),
                launch=_integer(row.get(ST_LAUNCH)),
                signal_to_report_s=row.get(ST_SIGNAL_TO_REPORT_S),
                worker_time_s=row.get(ST_WORKER_TIME),
                admission_open=row.get(ST_ADMISSION_OPEN),
                decision=row.get(ST_DECISION) or "",
                iteration=_integer(row.get(ST_WORKER_ITER)),
            )
        )
        configs[row[ST_TRIAL_ID]] = {
            name.removeprefix(_CONFIG_PREFIX): value for name, value in row.items() if name.startswith(_CONFIG_PREFIX)
        }
    return tuple(reports), configs


def _plain(value: Any) -> Any:
    """A cell of a table as a Python value; an empty cell is None."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _integer(value: Any) -> int | None:
    # A column with an empty cell has floats.
    return None if value is None else int(value)
