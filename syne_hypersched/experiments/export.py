"""Writes a run for other tools: tables, a study of Optuna, scalars of TensorBoard."""

from __future__ import annotations

import csv
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syne_hypersched import checks
from syne_hypersched._extras import needs_extra
from syne_hypersched._report_lines import free_name
from syne_hypersched._tables import NUL
from syne_hypersched._wording import counted
from syne_hypersched.experiments._run import Report, Run
from syne_hypersched.experiments._trials import TrialSummary, trial_table

if TYPE_CHECKING:
    import optuna

TRIALS_FILENAME = "trials.csv"
REPORTS_FILENAME = "reports.csv"
EVENTS_TABLE_FILENAME = "events.csv"

#: Cells that begin so are formulas to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Written:
    """What was written, and how much."""

    where: str
    """The file, folder or storage."""

    what: str
    """What is in it, in words."""


def export_csv(run: Run, folder: Path | str) -> tuple[Written, ...]:
    """Writes three tables: trials with their configurations, reports, and events with their reasons.

    The columns of the metric and of the resource level have their names, with ``reported_`` before it if another column
    has the same name.

    Parameters
    ----------
    run
        The experiment.
    folder
        Folder for the tables, made if need be; tables of an earlier export are replaced.

    Raises
    ------
    OSError
        A table cannot be written.
    """
    folder = checks.output_folder("folder", folder)
    folder.mkdir(parents=True, exist_ok=True)
    trials = trial_table(run)
    names = _config_names(trials)
    rows: Iterable[tuple[object, ...]] = (
        (
            trial.trial_id, trial.status, trial.best, trial.last, trial.resource, trial.num_devices, trial.max_devices,
            trial.num_launches, trial.launch_cost_s, *(trial.config.get(name) for name in names),
        )
        for trial in trials
    )  # fmt: skip
    header: tuple[str, ...]
    own: tuple[str, ...] = ("trial_id", "status", "num_devices", "max_devices", "num_launches", "launch_cost_s")
    level = free_name(run.time_attr, own)
    header = (*own[:2], f"best_{run.metric}", f"last_{run.metric}", level, *own[2:])
    header += tuple(f"config_{name}" for name in names)
    written = [_write(folder / TRIALS_FILENAME, header, rows, "trial")]
    own = ("time_s", "trial_id", "worker_time_s", "num_devices", "launch", "decision")
    header = (*own[:2], *(free_name(name, own) for name in (run.time_attr, run.metric)), *own[2:])
    rows = (
        (
            report.time_s, report.trial_id, report.resource, report.value, report.worker_time_s, report.num_devices,
            report.launch, report.decision,
        )
        for report in run.reports
    )  # fmt: skip
    written.append(_write(folder / REPORTS_FILENAME, header, rows, "report"))
    if run.events:
        header = ("time_s", "event", "trial_id", "launch", "num_devices", "devices", "reason", "what", "how")
        rows = (
            (
                event.time_s, event.event, event.trial_id, event.launch, len(event.devices), " ".join(event.devices),
                event.reason, event.details.get("what"), event.details.get("how"),
            )
            for event in run.events
        )  # fmt: skip
        written.append(_write(folder / EVENTS_TABLE_FILENAME, header, rows, "event"))
    return tuple(written)


def _write(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]], what: str) -> Written:
    aside = path.with_name(f".{path.name}.new")
    count = 0
    # Half of a pair of characters, as JSON may have it, is no text in a file.
    with aside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([_cell(name) for name in header])
        for row in rows:
            writer.writerow([_cell(value) for value in row])
            count += 1
    os.replace(aside, path)
    return Written(str(path), counted(count, what))


def _cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula is marked as a text, and NUL, which ends it, is spelt out."""
    if isinstance(value, str):
        value = value.replace("\0", NUL)
        return f"'{value}" if value.startswith(_FORMULA) else value
    return "" if value is None else value


def export_optuna(run: Run, storage: str) -> Written:
    """Adds the run to a storage of Optuna as a study, so that optuna-dashboard shows it.

    Each trial has its configuration, the metric at each level, and the best metric as its value. Trials that were
    paused or stopped count as pruned. The study has the name of the run's folder.

    Parameters
    ----------
    run
        The experiment.
    storage
        Address of the storage, such as ``sqlite:///study.db``, or a file whose name ends in ``.log``, to which
        Optuna's journal is written.

    Raises
    ------
    ModuleNotFoundError
        optuna is not installed.
    ValueError
        The storage has a study of this name, or the run has no name.
    """
    storage = checks.text("storage", storage, "the address of a storage of Optuna, such as 'sqlite:///study.db'")
    if "://" not in storage and not storage.lower().endswith(".log"):
        raise ValueError(
            "storage must be an address such as 'sqlite:///study.db', or a file whose name ends in '.log', "
            f"but got {storage!r}"
        )
    with needs_extra("An export to Optuna", "export"):
        import optuna
    if run.path is None:
        raise ValueError("run must have a folder, which names the study, but it has none")
    name = run.path.name
    try:
        where = _storage(storage)
    except Exception as error:  # what the libraries below Optuna say about an address
        message = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"storage must be one that Optuna can open, but got {storage!r} ({message})") from error
    trials = sorted(trial_table(run), key=lambda trial: trial.trial_id)
    distributions = _distributions(trials)
    reports = _by_trial(run.reports)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        try:
            study = optuna.create_study(
                storage=where, study_name=name, direction="minimize" if run.do_minimize else "maximize"
            )
        except optuna.exceptions.DuplicatedStudyError:
            raise ValueError(f"storage must have no study {name!r} yet, but {storage} has one") from None
        study.set_user_attr("metric", run.metric)
        study.add_trials([_optuna_trial(run, trial, reports[trial.trial_id], distributions) for trial in trials])
    finally:
        optuna.logging.set_verbosity(verbosity)
    return Written(storage, f"study {name!r} with {counted(len(trials), 'trial')}")


def _storage(storage: str) -> Any:
    import optuna

    if not storage.lower().endswith(".log"):
        return optuna.storages.get_storage(storage)
    from optuna.storages.journal import JournalFileBackend

    return optuna.storages.JournalStorage(JournalFileBackend(storage))


def _optuna_trial(
    run: Run, trial: TrialSummary, reports: list[Report], distributions: Mapping[str, Any]
) -> optuna.trial.FrozenTrial:
    import optuna

    states = optuna.trial.TrialState
    levels: dict[int, float] = {}
    for report in reports:
        if math.isfinite(report.value):
            levels[round(report.resource)] = report.value
    if trial.best is None:
        state = states.FAIL
    elif trial.status in ("completed", "stopped", "deadline") and trial.resource >= _furthest(run):
        state = states.COMPLETE
    else:
        state = states.COMPLETE if trial.status == "completed" else states.PRUNED
    begun = datetime.fromtimestamp(_begun_s(run), timezone.utc).replace(tzinfo=None)
    times_s = [report.time_s for report in reports] + [
        event.time_s for event in run.events if event.trial_id == trial.trial_id and event.event in ("start", "exit")
    ]
    params = {name: _param(trial.config[name], of) for name, of in distributions.items() if name in trial.config}
    attrs = {
        "status": trial.status, "max_devices": trial.max_devices, "launches": trial.num_launches,
        "launch_cost_s": trial.launch_cost_s,
    }  # fmt: skip
    attrs[free_name(run.time_attr, attrs)] = trial.resource
    made = optuna.trial.create_trial(
        state=state,
        value=trial.best if state != states.FAIL else None,
        params=params,
        distributions={name: distributions[name] for name in params},
        intermediate_values=levels,
        user_attrs={name: value for name, value in attrs.items() if value is not None},
    )
    made.datetime_start = begun + timedelta(seconds=min(times_s, default=0.0))
    made.datetime_complete = begun + timedelta(seconds=max(times_s, default=0.0))
    return made


def _distributions(trials: Iterable[TrialSummary]) -> dict[str, Any]:
    """A distribution of Optuna for each hyperparameter, from the values that were tried."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values: dict[str, list[Any]] = defaultdict(list)
    for trial in trials:
        for name, value in trial.config.items():
            if value is not None:
                values[name].append(value)
    found: dict[str, Any] = {}
    for name, tried in values.items():
        if all(isinstance(value, int) and not isinstance(value, bool) for value in tried):
            found[name] = IntDistribution(min(tried), max(tried))
        elif all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in tried):
            if all(math.isfinite(value) for value in tried):
                low, high = float(min(tried)), float(max(tried))
                found[name] = FloatDistribution(low, high, log=low > 0 and high / low > 50)
            else:
                found[name] = CategoricalDistribution(sorted({str(value) for value in tried}))
        else:
            found[name] = CategoricalDistribution(sorted({str(value) for value in tried}))
    return found


def _param(value: Any, distribution: Any) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(distribution, CategoricalDistribution):
        return str(value)
    return float(value) if isinstance(distribution, FloatDistribution) else value


def export_tensorboard(run: Run, folder: Path | str) -> Written:
    """Writes the metric of each trial as scalars of TensorBoard, one run for each trial, with its hyperparameters.

    The step is the resource level; the time is that of the report.

    Parameters
    ----------
    run
        The experiment.
    folder
        Folder for ``tensorboard --logdir``.

    Raises
    ------
    ModuleNotFoundError
        tensorboard is not installed.
    OSError
        The files cannot be written.
    """
    folder = checks.output_folder("folder", folder)
    with needs_extra("An export to TensorBoard", "export"):
        from tensorboard.compat.proto.event_pb2 import Event as Record
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    begun_s = _begun_s(run)
    trials = {trial.trial_id: trial for trial in trial_table(run)}
    reports = _by_trial(run.reports)
    metric = free_name(run.metric, ("devices",))
    for trial_id in sorted(reports):
        writer = EventFileWriter(str(folder / f"trial-{trial_id}"))
        for summary in _hyperparameters(trials[trial_id].config):
            writer.add_event(Record(wall_time=begun_s, summary=summary))
        for report in reports[trial_id]:
            values = [Summary.Value(tag=metric, simple_value=report.value)]
            if report.num_devices is not None:
                values.append(Summary.Value(tag="devices", simple_value=report.num_devices))
            writer.add_event(
                Record(wall_time=begun_s + report.time_s, step=round(report.resource), summary=Summary(value=values))
            )
        writer.close()
    return Written(str(folder), f"{counted(len(reports), 'trial')}, {counted(len(run.reports), 'report')}")


def _hyperparameters(config: Mapping[str, Any]) -> tuple[Any, Any]:
    """What the dashboard of hyperparameters reads, written here since TensorBoard's own function needs TensorFlow."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

    start = SessionStartInfo()
    for name, value in config.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, (int, float)):
            start.hparams[name].number_value = value
        elif value is not None:
            start.hparams[name].string_value = str(value)
    end = SessionEndInfo(status=STATUS_SUCCESS)

    def summary(tag: str, data: Any) -> Any:
        described = metadata.create_summary_metadata(data)
        return Summary(value=[Summary.Value(tag=tag, metadata=described, tensor=metadata.NULL_TENSOR)])

    return (
        summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start)),
        summary(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end)),
    )


def _config_names(trials: Iterable[TrialSummary]) -> list[str]:
    return list(dict.fromkeys(name for trial in trials for name in trial.config))


def _by_trial(reports: Iterable[Report]) -> dict[int, list[Report]]:
    found: dict[int, list[Report]] = defaultdict(list)
    for report in reports:
        found[report.trial_id].append(report)
    return found


def _furthest(run: Run) -> float:
    return max((report.resource for report in run.reports), default=math.inf)


def _begun_s(run: Run) -> float:
    """When the tuning started, in seconds since the epoch; 0 in virtual time."""
    stamps = (event.details.get("timestamp") for event in run.events[:1])
    first = run.events[0].time_s if run.events else 0.0
    return next((float(stamp) - first for stamp in stamps if isinstance(stamp, (int, float))), 0.0)
