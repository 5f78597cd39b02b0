"""Continues an experiment whose tuner has ended early."""

from __future__ import annotations

import logging
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from syne_tune import Tuner
from syne_tune.backend.trial_status import Status
from syne_tune.constants import ST_TUNER_CREATION_TIMESTAMP
from syne_tune.tuning_status import TuningStatus

from syne_hypersched import checks
from syne_hypersched._disk import Disk
from syne_hypersched._metadata import read_metadata
from syne_hypersched._moments import Moment
from syne_hypersched._version import __version__
from syne_hypersched._wording import counted
from syne_hypersched.backends.local import RestoredTrial
from syne_hypersched.backends.shared.events import DEVICE_CHANGES
from syne_hypersched.contract import metric_names_of
from syne_hypersched.filenames import CONFIG_FILENAME, EVENTS_FILENAME, JOURNAL_DIRNAME, LOCK_FILENAME, SETUP_FILENAME
from syne_hypersched.records.events import Event, EventReader
from syne_hypersched.records.find import candidate_folders, similar_names
from syne_hypersched.records.segments import Segments, read_segments, sync_segments
from syne_hypersched.recovery._config_values import ConfigValues, config_space_of
from syne_hypersched.recovery._extension import assume_first_deadline, deadline_wanted, extend, is_extended_to
from syne_hypersched.recovery._journal import Journal, Takeover
from syne_hypersched.recovery._lock import ExperimentLock
from syne_hypersched.recovery._orphans import end_orphans, open_launches
from syne_hypersched.recovery._replay import replay
from syne_hypersched.recovery._replay_state import ReplayState
from syne_hypersched.recovery._setup import dump_setup, load_setup, write_setup
from syne_hypersched.recovery._snapshot import UnusableSnapshotError, read_snapshot
from syne_hypersched.recovery._ticks import Ticks

logger = logging.getLogger(__name__)


def resume_experiment(
    name_or_path: str | Path,
    tuner: Tuner | None = None,
    *,
    time_passes: Literal["always", "running"] = "always",
    strict: bool = True,
) -> Tuner:
    """Continues an experiment that was run with a :class:`~syne_hypersched.Journal`, and returns when it is done.

    Example: ``tuner = resume_experiment("my-experiment-2026-01-31-12-00-00-123")``.

    All calls in the journal are made again, which restores the state of the scheduler. Processes that the dead tuner
    has left behind are ended. Trials that were running are launched from their checkpoints, on as many devices as they
    had; paused ones stay paused. Reports in the trials' logs that the scheduler has not received are delivered now. No
    report is lost or counted twice.

    Parameters
    ----------
    name_or_path
        The experiment's name (``tuner.name``) or folder.
    tuner
        A new tuner, created like the first one and not yet run: with the same arguments, a ``Journal`` among its
        callbacks. It replaces the stored tuner. Its scheduler and its :class:`~syne_hypersched.Deadline` may have a
        later deadline: earlier decisions stay, and new trials can start. By default the one that is
        stored. Loading that executes code, as unpickling does: anyone who can write to the experiment's folder could
        run code as the user who resumes it. So a folder that other users can write to is refused. With ``tuner``
        nothing is loaded that could execute code.
    time_passes
        ``"always"``: the time between death and resume counts, for deadlines and wall-clock limits alike.
        ``"running"``: only the time counts in which a tuner was running.
    strict
        Whether to stop if the scheduler decides differently from the journal. Otherwise the journal's decision is used,
        with a warning.

    Returns
    -------
    syne_tune.Tuner
        The tuner, after it has run.

    Raises
    ------
    FileNotFoundError
        There is no such experiment, it has no journal, or the script that it tunes is gone.
    RuntimeError
        The experiment still runs.
    PermissionError
        The stored tuner is not the user's own, or others may write to it.
    TypeError, ValueError
        An argument is invalid, the journal has another format or was changed, or the scheduler decides differently.
    """
    checks.one_of("time_passes", time_passes, ("always", "running"))
    checks.truth("strict", strict)
    if tuner is not None and not isinstance(tuner, Tuner):
        raise TypeError(f"tuner must be a syne_tune.Tuner or None, but got {tuner!r}")
    path = find_experiment(name_or_path)
    lock = ExperimentLock(path / JOURNAL_DIRNAME / LOCK_FILENAME)
    try:
        tuner = prepare(path, lock, tuner, time_passes, strict)
    except BaseException:
        lock.release()
        raise
    tuner.run()
    return tuner


def find_experiment(name_or_path: str | Path) -> Path:
    """The folder of an experiment that has a journal.

    Raises
    ------
    FileNotFoundError
        There is none.
    """

    def has_journal(folder: Path) -> bool:
        return (folder / JOURNAL_DIRNAME).is_dir()

    candidates = candidate_folders(name_or_path, "name_or_path")
    for candidate in candidates:
        if has_journal(candidate):
            return candidate.resolve()
    raise FileNotFoundError(
        f"name_or_path must be an experiment that was run with a Journal among the tuner's callbacks, but neither "
        f"{candidates[0]} nor {candidates[1]} has a folder {JOURNAL_DIRNAME!r}"
        f"{similar_names(name_or_path, has_journal)}"
    )


def prepare(path: Path, lock: ExperimentLock, tuner: Tuner | None, time_passes: str, strict: bool) -> Tuner:
    """A tuner that will go on with the experiment when it is run. See :func:`resume_experiment`."""
    disk, folder = Disk(), str(path / JOURNAL_DIRNAME)
    segments = read_segments(folder, disk)
    if not segments.headers:
        raise FileNotFoundError(f"the journal in {path} is empty: its tuner died before it began. Start it again")
    sync_segments(folder, disk)
    setup_path, setup = path / JOURNAL_DIRNAME / SETUP_FILENAME, None
    if tuner is None:
        tuner = load_setup(setup_path)
    else:
        setup = dump_setup(tuner)  # before the replay changes the tuner
    journal = next((callback for callback in tuner.callbacks if isinstance(callback, Journal)), None)
    if journal is None:
        raise ValueError("tuner must have a Journal among its callbacks, but has none")
    backend = tuner.trial_backend
    if not Path(backend.entry_point).is_file():  # otherwise every trial would fail, and the experiment would end
        raise FileNotFoundError(
            f"entry_point must be the script that the experiment tunes, but there is no file {backend.entry_point}: "
            "put it back, or give resume_experiment a tuner whose backend has the script where it is now"
        )
    _move(tuner, path)
    last_s = max((entry["time_s"] for entry in segments.entries), default=0.0)
    started_at = time.monotonic() - elapsed_s(segments, last_s, lock.last_alive, time_passes)
    values = ConfigValues(config_space_of(tuner.scheduler))
    ticks, progress = Ticks(), ReplayState(backend.num_devices_per_trial, values)
    deadline_s = deadline_wanted(tuner.scheduler, tuner.stop_criterion, segments.headers, segments.entries)
    num_known = 0
    if is_extended_to(segments.entries, deadline_s):
        num_known = _load_snapshot(folder, disk, tuner.scheduler, len(segments.entries))
    if num_known == 0:
        assume_first_deadline(tuner.scheduler, segments.entries, path, deadline_s)
        num_known = _load_snapshot(folder, disk, tuner.scheduler, len(segments.entries))
    ticks.drive(tuner.scheduler)
    try:
        replay(segments.entries, tuner.scheduler, ticks, progress, num_known, strict)
    except ValueError as error:
        raise ValueError(f"{error}{_other_versions(segments)}") from error
    if progress.left_out:
        call, trial_id, raised = progress.left_out[-1]
        logger.warning(
            "%d calls that made the scheduler raise are skipped; the last one was %r of trial %d: %s",
            len(progress.left_out), call, trial_id, raised,
        )  # fmt: skip
    extension = extend(tuner.scheduler, deadline_s, progress)
    _restore_backend(tuner, path, progress, started_at)
    _restore_tuner(tuner, path, progress, started_at, created=float(segments.headers[0]["timestamp"]))
    if setup is not None:
        write_setup(setup_path, setup)
    journal.take_over(Takeover(lock, segments, progress, ticks, started_at, extension))
    return tuner


def _other_versions(segments: Segments) -> str:
    """Text to add to an error if another version has written a part of the journal, else empty."""
    written_by = dict.fromkeys(str(header.get("version", "0.1.0.dev0 or older")) for header in segments.headers)
    if list(written_by) == [__version__]:
        return ""
    return (
        f". Version {', '.join(written_by)} of syne_hypersched has written this journal, and this is version "
        f"{__version__}: resume it with the version that has written it"
    )


def _move(tuner: Tuner, path: Path) -> None:
    """Sets the folder of the experiment for the tuner and its backend."""
    elsewhere = tuner.trial_backend_path != str(tuner.tuner_path)
    tuner.name, tuner.tuner_path = path.name, path
    if not elsewhere:
        tuner.trial_backend_path = str(path)
    # Syne Tune joins the name to the folder of all experiments, so that an absolute path stays what it is.
    tuner.trial_backend.set_path(results_root=tuner.trial_backend_path, tuner_name=str(path))


def _load_snapshot(folder: str, disk: Disk, scheduler: Any, num_entries: int) -> int:
    """Restores a scheduler from the snapshot; returns its number of entries, 0 without a usable snapshot."""
    try:
        snapshot = read_snapshot(folder, disk)
    except UnusableSnapshotError as error:
        logger.warning("The whole journal is replayed: %s", error)
        return 0
    if snapshot is None or snapshot.num_entries > num_entries:
        return 0
    if type(snapshot.scheduler) is not type(scheduler) or snapshot.scheduler.metadata() != scheduler.metadata():
        logger.warning("The whole journal is replayed: the snapshot is of a scheduler with other arguments")
        return 0
    # The object stays the same, because a stop criterion or a callback may refer to it.
    vars(scheduler).clear()
    vars(scheduler).update(vars(snapshot.scheduler))
    return snapshot.num_entries


def elapsed_s(segments: Segments, last_s: float, last_alive: Moment, time_passes: str) -> float:
    """Seconds that count, from the start of an experiment to now.

    Parameters
    ----------
    segments
        Its journal.
    last_s
        Seconds from the start to the last entry.
    last_alive
        When its tuner was last alive.
    time_passes
        As in :func:`resume_experiment`.
    """
    begun = [Moment.of(header) for header in segments.headers]
    if time_passes == "always":
        ends = [*begun[1:], Moment.now()]
        so_far_s = sum(moment.seconds_until(end) for moment, end in zip(begun, ends, strict=True))
    else:
        so_far_s = float(segments.headers[-1]["time_s"]) + begun[-1].seconds_until(last_alive)
    return max(last_s, so_far_s)


def _restore_backend(tuner: Tuner, path: Path, progress: ReplayState, started_at: float) -> None:
    backend = tuner.trial_backend
    most = max(progress.num_devices.values(), default=0)
    if most > backend.num_devices:
        raise ValueError(f"num_devices must be at least {most}, which a trial has had, but got {backend.num_devices}")
    events_path = path / EVENTS_FILENAME
    _mend(events_path)
    reader = EventReader(events_path, strict=False)
    events = reader.read_new()
    if reader.num_left_out:
        logger.warning("%s of %s left out: no event.", counted(reader.num_left_out, "line"), events_path)
    orphans = end_orphans(Path(tuner.trial_backend_path), path, events, backend.grace_s)
    if orphans:
        logger.warning("Ended %s that the dead tuner had left behind.", counted(len(orphans), "process", "processes"))
    _forget_unrecorded(Path(tuner.trial_backend_path), len(progress.trials))
    time_attr = getattr(tuner.scheduler, "time_attr", None)
    if time_attr is not None:
        backend.follow(time_attr)
    backend.situation.planned_deadline_s = getattr(tuner.scheduler, "deadline_s", None)
    metric, do_minimize = (getattr(tuner.scheduler, name, None) for name in ("metric", "do_minimize"))
    if metric is not None and do_minimize is not None:
        backend.measure(metric, do_minimize)
    launches: dict[int, Event] = {}
    failures: dict[int, dict[str, Any]] = {}
    for event in events:
        if event.trial_id is not None and event.event in ("launch", *DEVICE_CHANGES):
            launches[event.trial_id] = event
        if event.trial_id is not None and "failures" in event.details:
            failures[event.trial_id] = event.details["failures"]
        elif event.event == "launch" and event.trial_id in failures:  # from the checkpoint chosen before the tuner died
            failures[event.trial_id] = {**failures[event.trial_id], "go_back_from": None}
    lost = {launch.trial_id for launch in open_launches(events)}
    restored = []
    for trial_id, trial in progress.trials.items():
        known = RestoredTrial(
            trial, progress.delivered.get(trial_id, ()), num_devices=progress.wished_devices(trial_id),
            max_num_devices=progress.max_num_devices(trial_id), failures=failures.get(trial_id),
            source=progress.sources.get(trial_id),
        )  # fmt: skip
        if trial_id in launches:
            index, devices = launches[trial_id].launch, launches[trial_id].devices
            known = replace(known, launch=index or 0, devices=devices, is_lost=trial_id in lost)
        restored.append(known)
    is_set_up = any(event.event == "setup" for event in events)
    backend.restore(restored, time.monotonic() - started_at, is_set_up)
    if progress.incumbent is not None:
        backend.publish(*progress.incumbent)


def _mend(path: Path) -> None:
    """Removes an incomplete last line, so that the next entry begins on a new line."""
    if path.is_file():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)


def _forget_unrecorded(trials_path: Path, num_trials: int) -> None:
    """Removes the files of a trial that was launched just before its entry in the journal."""
    for folder in trials_path.iterdir():
        if folder.name.isdigit() and int(folder.name) >= num_trials and (folder / CONFIG_FILENAME).is_file():
            shutil.rmtree(folder)


def _restore_tuner(tuner: Tuner, path: Path, progress: ReplayState, started_at: float, created: float) -> None:
    status = TuningStatus(metric_names=metric_names_of(tuner.scheduler))
    status.start_time -= time.monotonic() - started_at
    running = set(progress.running)
    status.update(
        {
            trial_id: (trial, Status.in_progress if trial_id in running else trial.status)
            for trial_id, trial in progress.trials.items()
        },
        [(told.trial_id, told.result) for told in progress.told],
    )
    tuner.tuning_status = status
    tuner.last_seen_result_per_trial = dict(progress.last_result)
    tuner.trials_scheduler_stopped = set(progress.stopped_by_scheduler)
    tuner.metadata[ST_TUNER_CREATION_TIMESTAMP] = read_metadata(path).get(ST_TUNER_CREATION_TIMESTAMP, created)
