"""The journal of an experiment: a callback that makes a tuner resumable."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syne_tune.backend.trial_status import Status, Trial
from syne_tune.constants import ST_TUNER_TIME
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import checks
from syne_hypersched._disk import Disk
from syne_hypersched._first_use import check_has_begun_here
from syne_hypersched._moments import Moment
from syne_hypersched._storing import store_nothing, store_or_warn
from syne_hypersched._version import __version__
from syne_hypersched._view import show_by_default
from syne_hypersched.backends.local import ElasticLocalBackend
from syne_hypersched.filenames import JOURNAL_DIRNAME, LOCK_FILENAME, SETUP_FILENAME, segment_name
from syne_hypersched.records.segments import Entry, Segments, SegmentWriter
from syne_hypersched.recovery._background import BackgroundSnapshots
from syne_hypersched.recovery._config_values import check_config_space, config_space_of
from syne_hypersched.recovery._extension import deadline_of
from syne_hypersched.recovery._journaled import JournaledScheduler
from syne_hypersched.recovery._lock import ExperimentLock
from syne_hypersched.recovery._replay_state import ReplayState
from syne_hypersched.recovery._setup import dump_setup, write_setup
from syne_hypersched.recovery._termination import Termination
from syne_hypersched.recovery._ticks import Ticks
from syne_hypersched.waiting import Wait

logger = logging.getLogger(__name__)

#: Description of each call of a scheduler, for messages.
_WHAT_WAS_TOLD = {"add": "the start", "result": "a report", "complete": "the end", "error": "the failure"}


@dataclass
class Takeover:
    """State with which a new tuner continues after an earlier one has died."""

    lock: ExperimentLock
    segments: Segments
    progress: ReplayState
    ticks: Ticks
    started_at: float
    """When the tuning started, on the monotonic clock (s)."""
    extension: Entry | None = None
    """The journal's entry for a later deadline, if there is one."""


class Journal(StoreResultsCallback):
    """Callback of :class:`syne_tune.Tuner` with which an experiment can be resumed after its tuner was killed.

    It replaces Syne Tune's ``StoreResultsCallback``, and stores the same results::

        tuner = Tuner(backend, scheduler, stop_criterion, n_workers=4, callbacks=[Journal()])

    All calls of the scheduler and its decisions are appended to ``journal/`` in the experiment's folder, as lines of
    JSON, before the tuner acts on them. They are synced to the disk once in every loop of the tuner that has calls.
    :func:`~syne_hypersched.resume_experiment` replays them. With a journal, the clock of
    :class:`~syne_hypersched.HyperSched` does not advance within a call.

    With this callback the tuner waits for reports instead of sleeping, and shows a live view on a terminal (see
    :class:`~syne_hypersched.WaitForReports`).

    SIGTERM, which announces the end of a pre-empted machine, ends the tuner as Ctrl-C does: results are stored, trials
    checkpoint, ``best/`` is published. After SIGTERM, all processes have ended within ``drain_s`` seconds.

    If the journal cannot be written any more, as on a full disk, the experiment ends with an ``OSError`` that gives the
    reason. It can be resumed. If only the results cannot be stored, the experiment goes on, since the journal has them.

    Only the user can read the folder, since configurations may contain secrets.

    Parameters
    ----------
    snapshot_interval_s
        Seconds from one snapshot of the scheduler to the next. A resume replays only the calls after the last snapshot.
    drain_s
        Seconds for trials to checkpoint and exit after SIGTERM; by default the backend's ``grace_s``.

    Raises
    ------
    TypeError
        ``snapshot_interval_s`` or ``drain_s`` is not a number. When the tuning starts: the configuration space has a
        value of a type that a journal does not keep.
    ValueError
        ``snapshot_interval_s`` is not a positive number, or ``drain_s`` a negative one. When the tuning starts: its
        backend is not one that can be resumed, or the experiment already has a journal and is not being resumed.
    RuntimeError
        When the tuning starts: another tuner runs this experiment.
    OSError
        While it tunes: the journal cannot be written.
    """

    #: Why the results could not be stored at the last attempt. Journals that earlier versions stored lack it.
    _error: OSError | None = None

    def __init__(self, snapshot_interval_s: float = 60.0, drain_s: float | None = None) -> None:
        super().__init__()
        self.snapshot_interval_s = checks.positive_seconds("snapshot_interval_s", snapshot_interval_s)
        self.drain_s = None if drain_s is None else checks.seconds("drain_s", drain_s)
        self._disk = Disk()
        self._ticks = Ticks()
        self._termination = Termination()
        self._lock: ExperimentLock | None = None
        self._writer: SegmentWriter | None = None
        self._takeover: Takeover | None = None
        self._journaled: JournaledScheduler | None = None
        self._snapshots: BackgroundSnapshots | None = None
        self._num_entries = 0
        #: Status of each trial when its new reports were fetched.
        self._statuses: dict[int, str] = {}
        self._wait = Wait()

    def take_over(self, takeover: Takeover) -> None:
        """Makes the next start of the tuner continue an experiment."""
        self._takeover = takeover

    def on_tuning_start(self, tuner: Any) -> None:
        """Begins a segment of the journal, and wraps the scheduler from here on."""
        try:
            self._start(tuner)
        except BaseException:
            store_nothing(tuner)
            raise

    def _start(self, tuner: Any) -> None:
        self._tuner = tuner
        # The tuner makes the folder right after this call. If this call raised, the tuner would report only that the
        # folder is missing.
        Path(tuner.tuner_path).mkdir(parents=True, exist_ok=True)
        if not isinstance(tuner.trial_backend, ElasticLocalBackend):
            raise ValueError(
                "trial_backend must be an ElasticLocalBackend or ElasticPythonBackend for its experiment to be "
                f"resumed, but got {type(tuner.trial_backend).__name__}"
            )
        if isinstance(tuner.scheduler, JournaledScheduler):
            raise ValueError("callbacks must have one Journal, but got several")
        folder = Path(tuner.tuner_path) / JOURNAL_DIRNAME
        check_has_begun_here(tuner)
        if self._takeover is None:
            check_config_space(config_space_of(tuner.scheduler))
            tuner.trial_backend.hold_folder()
            self._begin(tuner, folder)
        takeover, self._takeover = self._takeover, None
        if takeover is None:
            segments, elapsed_s = Segments(), 0.0
        else:
            self._lock, self._ticks = takeover.lock, takeover.ticks
            segments, elapsed_s = takeover.segments, time.monotonic() - takeover.started_at
        self._ticks.start(elapsed_s)
        self._ticks.drive(tuner.scheduler)
        self._journaled = JournaledScheduler(tuner.scheduler, self._ticks, self._record)
        tuner.scheduler = self._journaled
        header = {**Moment.now().entries, "time_s": elapsed_s, "pid": os.getpid(), "version": __version__}
        header["deadline_s"] = deadline_of(tuner.stop_criterion)
        self._num_entries = len(segments.entries)
        with self._ending_when_it_cannot_be_written():
            self._writer = SegmentWriter(str(folder), segments.next_number, header, self._num_entries, self._disk)
        super().on_tuning_start(tuner)  # not before: a refused start would store an empty table of results
        self._snapshots = BackgroundSnapshots(str(folder), self.snapshot_interval_s, self._disk)
        if takeover is not None:
            if takeover.extension is not None:
                self._record(takeover.extension)
            self._go_on(takeover.progress)
        self._termination.install()
        self._wait.begin(tuner)
        show_by_default(tuner)

    def on_tuning_sleep(self, sleep_time: float) -> None:
        """Waits for events of trials; called by the tuner."""
        self._wait.sleep()

    def _begin(self, tuner: Any, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = ExperimentLock(folder / LOCK_FILENAME)
        if (folder / segment_name(0)).exists():
            self._release()
            raise ValueError(
                f"tuner_name must be the name of a new experiment, but {folder.parent} has a journal already: "
                "continue it with resume_experiment, or choose another name"
            )
        setup = dump_setup(tuner)
        if setup is not None:
            write_setup(folder / SETUP_FILENAME, setup)

    def _go_on(self, progress: ReplayState) -> None:
        journaled = self._journaled
        assert journaled is not None
        if progress.unremoved is not None:
            journaled.on_trial_remove(trial=progress.trials[progress.unremoved])
        journaled.go_on(progress.running, progress.pending, progress.exhausted, progress.have_raised)
        for told in progress.told:
            super().on_trial_result(
                progress.trials[told.trial_id], told.status, {ST_TUNER_TIME: told.time_s, **told.result}, told.decision
            )

    def on_fetch_status_results(self, trial_status_dict: dict[int, tuple[Trial, str]], new_results: Any) -> None:
        """Keeps the statuses, which are stored with the results."""
        self._statuses = {trial_id: status for trial_id, (_, status) in trial_status_dict.items()}

    def on_trial_result(self, trial: Trial, status: str, result: dict[str, Any], decision: str) -> None:
        """Stores a result, with the time from the journal."""
        super().on_trial_result(trial, status, {ST_TUNER_TIME: self._ticks.now_s, **result}, decision)

    def store_results(self) -> None:
        """Stores all results so far, and replaces the earlier file atomically."""
        if self.csv_file is None:
            return
        ending = f"The journal has them all, and resume_experiment({self._tuner.name!r}) stores them."
        self._error = store_or_warn(self.dataframe(), self.csv_file, self._error, ending)

    def on_loop_end(self) -> None:
        """Syncs what was journaled in this loop."""
        if self._writer is not None:
            with self._ending_when_it_cannot_be_written():
                self._writer.sync()
        if self._lock is None or self._snapshots is None or self._journaled is None:
            return
        self._lock.touch()
        if self._snapshots.is_due:
            self._snapshots.take(self._num_entries, self._journaled.scheduler, in_fork=self._lock.release)

    def on_tuning_end(self) -> None:
        """Stores all results and closes the journal, which can still be resumed."""
        self._termination.uninstall()
        if self._termination.has_come:
            backend = self._tuner.trial_backend
            drain_s = backend.grace_s if self.drain_s is None else self.drain_s
            backend.set_deadline(drain_s, drain_s)
        super().on_tuning_end()
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            except OSError as error:
                logger.error("%s", self._unwritable(error))
        if self._error is not None or isinstance(sys.exc_info()[1], OSError):
            # The tuner could not store itself either, and would not stop its trials then.
            self._tuner.save_tuner = False
        if self._snapshots is not None:
            self._snapshots.has_ended(kill=True)
            self._snapshots = None
        if self._journaled is not None:
            self._tuner.scheduler, self._journaled = self._journaled.scheduler, None
        self._wait.end()
        self._release()

    def _record(self, entry: Entry) -> None:
        if self._writer is None:
            return
        if entry["call"] == "result":
            entry["status"] = self._statuses.get(entry["trial_id"], Status.in_progress)
        with self._ending_when_it_cannot_be_written():
            self._writer.append(entry)
        self._num_entries += 1
        if "raised" in entry:
            self._tell_raised(entry)

    def _tell_raised(self, entry: Entry) -> None:
        what = _WHAT_WAS_TOLD.get(entry["call"], entry["call"])
        if "decision" in entry:
            logger.error(
                "The scheduler raised an error again at a report of trial %d, which is stopped: %s",
                entry["trial_id"], entry["raised"],
            )  # fmt: skip
        else:
            logger.error(
                "The scheduler raised an error at %s of trial %d: %s. resume_experiment(%r) continues and "
                "skips this call.", what, entry["trial_id"], entry["raised"], self._tuner.name,
            )  # fmt: skip

    @contextmanager
    def _ending_when_it_cannot_be_written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._writer = None  # a line that follows half a line could not be read
            raise OSError(error.errno, self._unwritable(error)) from error

    def _unwritable(self, error: OSError) -> str:
        return (
            f"{error.strerror}: the journal in {self._tuner.tuner_path / JOURNAL_DIRNAME} cannot be written, so the "
            f"experiment ends here. When it can be, resume_experiment({self._tuner.name!r}) goes on with it"
        )

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy holds neither the lock nor the file.
        return self.__dict__ | {"_lock": None, "_writer": None, "_takeover": None, "_snapshots": None}
