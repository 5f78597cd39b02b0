"""A backend goes on with the trials of another one, whose tuner has died."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from syne_hypersched._moments import Stopwatch
from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.local._fleet import Fleet
from syne_hypersched.backends.local._restore import RestoredTrial
from syne_hypersched.backends.local._tuner_watch import TunerWatch
from syne_hypersched.backends.shared.elastic import ElasticTrial, WishTaker
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.backends.shared.folder_lock import FolderLock
from syne_hypersched.backends.shared.pool_changes import JOIN


class RestorableBackend:
    """See the module."""

    num_devices_per_trial: int
    trial_ids: list[int]
    _fleet: Fleet
    _checkpoints: Checkpoints
    _events: EventLog
    _stopwatch: Stopwatch
    _trial_dict: dict[int, ElasticTrial]

    if TYPE_CHECKING:
        # Of the classes beside which this one is a base.

        _experiment_path: Path
        _folder_lock: FolderLock
        _tuner_watch: TunerWatch

        def trial_path(self, trial_id: int) -> Path: ...

        def _start_clock(self) -> None: ...

    def hold_folder(self) -> None:
        """Reserves the experiment's folder for this tuner before anything is written; a callback calls it.

        Without such a callback, this happens before the first trial.

        Raises
        ------
        RuntimeError
            Another tuner uses the folder.
        """
        self._folder_lock.acquire(self._experiment_path)
        self._tuner_watch.hold(self._folder_lock.release)

    def restore(self, restored: Sequence[RestoredTrial], elapsed_s: float, is_set_up: bool) -> None:
        """Goes on with the trials of a backend whose tuner has died, after none of its processes is left.

        Parameters
        ----------
        restored
            All trials, in the order of their ids, which are 0, 1, 2...
        elapsed_s
            Seconds since the tuning started.
        is_set_up
            Whether the other backend has recorded its devices. It may have died before.
        """
        if not is_set_up:
            self._start_clock()
        self._stopwatch.start(elapsed_s)
        if is_set_up:  # what the other one had given back is here again, until somebody asks for it
            self._events.write(
                JOIN, devices=self._fleet.pool.devices, reason="resume", present=self._fleet.pool.num_present
            )
        for known in restored:
            trial_id = known.trial.trial_id
            processes = known.processes(self.trial_path(trial_id), self._fleet.time_attr, self.num_devices_per_trial)
            self._fleet.restore(processes, known.devices if known.is_lost else None)
            self._checkpoints.record_received(processes, known.delivered)
            if known.source is not None:
                self._checkpoints.copies.restore(known.source, trial_id, has_begun=known.launch >= 0)
            self.trial_ids.append(trial_id)
            self._trial_dict[trial_id] = known.trial
            known.trial.backend, known.trial.status = cast(WishTaker, self), processes.status
