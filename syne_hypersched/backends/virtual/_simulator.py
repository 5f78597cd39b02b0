"""Trials in virtual time, looked up in a blackbox, whose number of devices can change while they run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from syne_tune.backend.simulator_backend.simulator_backend import SimulatorBackend
from syne_tune.backend.simulator_backend.time_keeper import SimulatedTimeKeeper
from syne_tune.backend.trial_status import Status, Trial
from syne_tune.util import experiment_path

from syne_hypersched import checks
from syne_hypersched._first_use import check_is_of
from syne_hypersched._storing import guard_metadata
from syne_hypersched._wording import counted
from syne_hypersched.backends.shared.elastic import ElasticTrial, paused_trial
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.backends.shared.folder_lock import FolderLock
from syne_hypersched.backends.shared.interruption import telling_how_to_go_on
from syne_hypersched.backends.shared.tuner_run import running_tuner
from syne_hypersched.backends.virtual._blackbox import make_virtual_fleet
from syne_hypersched.backends.virtual._costs import NO_COST, Failures, LaunchCost
from syne_hypersched.backends.virtual._fleet import VirtualFleet
from syne_hypersched.backends.virtual._schedule import DeviceSchedule
from syne_hypersched.backends.virtual._sleep import SleepWatch
from syne_hypersched.backends.virtual._speed import ScalingLike
from syne_hypersched.backends.virtual._trial import virtual_moment
from syne_hypersched.filenames import EVENTS_FILENAME

logger = logging.getLogger(__name__)


class ElasticSimulatorBackend(SimulatorBackend):
    """Simulates trials on a number of devices, in virtual time, from the learning curves of a blackbox.

    Example::

        backend = ElasticSimulatorBackend(blackbox, "elapsed_time", num_devices=8)
        deadline = Deadline(3600, trial_backend=backend)
        tuner = Tuner(backend, scheduler, deadline, n_workers=8, sleep_time=0, callbacks=[SimulatorCallback()])

    Works with the stock :class:`syne_tune.Tuner` and any scheduler; to both it looks as
    :class:`~syne_hypersched.ElasticLocalBackend` does, and it writes the same ``events.jsonl`` (without what only
    processes have). Real time has no effect: the same seed gives the same results and events, to the byte.

    When the tuner polls and there is no new report, time goes on to the next event. The tuner need not sleep, so use
    ``Tuner(..., sleep_time=0)``. End the tuning with :class:`~syne_hypersched.Deadline`, which counts virtual seconds
    here. A :class:`syne_tune.StoppingCriterion` with ``max_wallclock_time`` counts real seconds, unless Syne Tune's
    ``callbacks=[SimulatorCallback()]`` is used. Hours of virtual time take few real seconds, so the criterion stops the
    tuning very late.

    A trial holds its devices from its launch on. The launch takes ``launch_cost``, an epoch the seconds in the
    blackbox divided by the speed-up, and at its end the epoch is reported. A trial that is drained (paused, stopped,
    resized, at the deadline) holds its devices for ``launch_cost.drain_s`` more and loses what it has trained since
    its last report. A trial that has reached the end of its curve completes with its last report.

    Example::

        backend = ElasticSimulatorBackend(blackbox, "elapsed_s", num_devices=8)
        stop_criterion = Deadline(7200, trial_backend=backend)
        Tuner(backend, scheduler, stop_criterion, n_workers=8, sleep_time=0).run()

    Parameters
    ----------
    blackbox
        Learning curves of configurations: a table of :mod:`syne_hypersched.blackboxes`, or any blackbox of Syne Tune's
        repository or of one's own. Entries of a configuration that it does not know are ignored.
    elapsed_time_attr
        Its objective for the seconds trained so far on one device. In reports it is the seconds trained so far on the
        devices that the trial had.
    num_devices
        Devices to share out. ``Tuner(n_workers=...)`` must not be larger.
    scaling
        Speed-up of a trial by number of devices: a name of
        :const:`~syne_hypersched.allocation.scaling.PUBLISHED_SCALING`, ``"linear"``, ``"none"`` (more devices are no
        faster), ``"measured"`` (that of each configuration in the blackbox), a table that contains 1, or a callable.
    launch_cost
        What launches and drains take; by default nothing.
    failures
        How often trials fail; by default they do not. Mind ``max_failures`` of the tuner.
    num_devices_per_trial
        Devices with which trials start and resume.
    max_resource_attr
        Entry of a configuration that bounds its resource level, as some of Syne Tune's schedulers set it.
    seed
        Which repetition in the blackbox, where it has several.
    devices_over_time
        Pairs of a time (s) and a number of devices, as in ``[(600, 2), (1200, 8)]``: the number available from then on.
        Trials on devices that go are drained and continue on others, or wait. By default all devices are always there.

    Attributes
    ----------
    num_devices, num_devices_per_trial
        As given.
    grace_s
        ``launch_cost.drain_s``.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; the message names it.
    """

    _experiment_path: Path

    def __init__(
        self,
        blackbox: Any,
        elapsed_time_attr: str,
        num_devices: int,
        *,
        scaling: ScalingLike = "resnet50",
        launch_cost: LaunchCost = NO_COST,
        failures: Failures | None = None,
        num_devices_per_trial: int = 1,
        max_resource_attr: str | None = None,
        seed: int = 0,
        devices_over_time: DeviceSchedule | None = None,
    ) -> None:
        self._fleet = make_virtual_fleet(
            blackbox,
            elapsed_time_attr,
            num_devices,
            scaling,
            launch_cost,
            failures,
            num_devices_per_trial,
            max_resource_attr,
            seed,
            devices_over_time,
        )
        # There is no script; Syne Tune wants the path of a file that exists. With a sleep time of 0, its
        # SimulatorCallback leaves the time to the events.
        super().__init__(entry_point=__file__, elapsed_time_attr=elapsed_time_attr, tuner_sleep_time=0.0)
        self.num_devices = int(num_devices)
        self.num_devices_per_trial = int(num_devices_per_trial)
        self.situation = self._fleet.situation
        self.grace_s = float(launch_cost.drain_s)
        self._time_keeper = VirtualTimeKeeper(self._fleet)
        self._events = EventLog(self._experiment_path / EVENTS_FILENAME, self._time_keeper.time)
        self._fleet.record = self._events.write
        self._sleep_watch = SleepWatch()
        self._folder_lock = FolderLock(is_own_free=True)

    @property
    def time_s(self) -> float:
        """Virtual seconds since the start."""
        return self._fleet.time_s

    def set_deadline(self, seconds_left: float, drain_s: float) -> None:
        """Has every trial ended in ``seconds_left`` virtual seconds, and drained from ``drain_s`` earlier on.

        Used by :class:`syne_hypersched.Deadline`.
        """
        self.hold_folder()
        self._fleet.set_deadline(seconds_left, drain_s)
        if self.situation.takes_plan:
            self._events.write("deadline", deadline_s=self.situation.deadline_s)

    def hold_folder(self) -> None:
        """Reserves the experiment's folder for this tuner before anything is written; a callback calls it.

        Without such a callback, this happens before the first trial.

        Raises
        ------
        RuntimeError
            A tuner of another process uses the folder.
        """
        self._folder_lock.acquire(self._experiment_path)

    # What the tuner calls.

    def start_trial(self, config: dict[str, Any], checkpoint_trial_id: int | None = None) -> ElasticTrial:
        """Starts a new trial, from where another one is if given; it runs when a device is free.

        Raises
        ------
        ValueError
            More trials are started than devices allow.
        RuntimeError
            A tuner of another process uses the experiment's folder.
        """
        self.hold_folder()
        if not self.trial_ids and (tuner := running_tuner()) is not None:
            guard_metadata(tuner)
        trial_id = self.new_trial_id()
        self._fleet.start(trial_id, config, self.num_devices_per_trial, "start", checkpoint_trial_id)
        self.trial_ids.append(trial_id)
        trial = ElasticTrial(trial_id, config, virtual_moment(self.time_s), [], Status.in_progress, backend=self._fleet)
        self._trial_dict[trial_id] = trial
        return trial

    def resume_trial(self, trial_id: int, new_config: dict[str, Any] | None = None) -> ElasticTrial:
        """Has a paused trial go on, with ``new_config`` if given.

        Raises
        ------
        ValueError
            The trial is not paused.
        """
        trial = paused_trial(self._trial_dict, trial_id)
        if new_config is not None:
            trial.config = new_config
        self._fleet.start(trial_id, trial.config, self.num_devices_per_trial, "resume")
        trial.status = Status.in_progress
        return trial

    def fetch_status_results(
        self, trial_ids: list[int]
    ) -> tuple[dict[int, tuple[Trial, str]], list[tuple[int, dict[str, Any]]]]:
        """Status of each trial, and what is new at the next time at which anything happens."""
        self._sleep_watch.enter()
        self._fleet.poll()
        reports, _ = self._fleet.take(frozenset(trial_ids))
        statuses = {}
        for trial_id in sorted(trial_ids):
            trial = self._trial_dict[trial_id]
            trial.status = self._fleet.status(trial_id)
            statuses[trial_id] = (trial, trial.status)
        self._sleep_watch.leave()
        return statuses, reports

    def wait_for_news(self, at_most_s: float) -> None:
        """Returns at once: the time goes on to the next event when the tuner looks, and need not be waited for."""

    def busy_trial_ids(self) -> list[tuple[int, str]]:
        """One entry for each device that is held by or promised to a trial."""
        return self._fleet.occupied()

    def pause_trial(self, trial_id: int, result: dict[str, Any] | None = None) -> None:
        """Drains a trial, to be resumed later. Reports after ``result`` are kept until then."""
        self._halt(trial_id, Status.paused, result)

    def stop_trial(self, trial_id: int, result: dict[str, Any] | None = None) -> None:
        """Drains a trial for good."""
        self._halt(trial_id, Status.stopped, result)

    def _halt(self, trial_id: int, status: str, result: Mapping[str, Any] | None) -> None:
        self._trial_dict[trial_id].status = status
        self._fleet.halt(trial_id, status, result)

    def stop_all(self) -> None:
        """Drains all trials; the time goes on until all devices are free."""
        with self._folder_lock, telling_how_to_go_on(self._experiment_path, can_resume=False):
            self._fleet.stop_all()
            for trial in self._trial_dict.values():
                if trial.status == Status.in_progress:
                    trial.status = Status.stopped
            self._events.close()

    def stdout(self, trial_id: int) -> list[str]:
        """There is no script that prints anything."""
        return []

    def stderr(self, trial_id: int) -> list[str]:
        """There is no script that prints anything."""
        return []

    def copy_checkpoint(self, src_trial_id: int, tgt_trial_id: int) -> None:
        """There are no files; :meth:`start_trial` says from where a trial goes on."""

    def delete_checkpoint(self, trial_id: int) -> None:
        """There are no files."""

    def entrypoint_path(self) -> Path:
        """A name for experiments, where a tuner is given none."""
        return Path("elastic-simulator")

    def set_path(self, results_root: str | None = None, tuner_name: str | None = None) -> None:
        """Called by the tuner: where the experiment's results are."""
        super().set_path(results_root=results_root, tuner_name=tuner_name)
        path = self.local_path if tuner_name is None else experiment_path(tuner_name=tuner_name)
        if tuner_name is not None and hasattr(self, "_folder_lock"):
            self._folder_lock.check(Path(path))
        check_is_of(path, getattr(self, "_experiment_path", None), len(self.trial_ids))
        self._experiment_path = path
        if hasattr(self, "_events"):  # the constructor of Syne Tune's backend calls this as well
            self._events.path = self._experiment_path / EVENTS_FILENAME

    def __str__(self) -> str:
        return f"elastic simulator on {counted(self.num_devices, 'device')}"


class VirtualTimeKeeper(SimulatedTimeKeeper):
    """The clock of a fleet in virtual time, as Syne Tune's ``SimulatorCallback`` and other code of its ask for it.

    Parameters
    ----------
    fleet
        The fleet, whose clock it is.
    """

    def __init__(self, fleet: VirtualFleet) -> None:
        super().__init__()
        self._fleet = fleet

    @property
    def start_time_stamp(self) -> datetime:
        """The virtual start as a date."""
        return virtual_moment(0.0)

    def start_of_time(self) -> None:
        """Does nothing: the time is 0 at first, and goes on in a tuner that was loaded."""

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._fleet.time_s

    def time_stamp(self) -> datetime:
        """The present virtual time as a date."""
        return virtual_moment(self._fleet.time_s)

    def advance(self, step: float) -> None:
        """Lets some virtual seconds pass, and what is due in them happen.

        Raises
        ------
        ValueError
            ``step`` is negative or not finite.
        """
        self._fleet.advance_to(self._fleet.time_s + checks.seconds("step", step))

    def advance_to(self, to_time: float) -> None:
        """Lets the time pass until ``to_time``, unless it is over."""
        self._fleet.advance_to(to_time)

    def mark_exit(self) -> None:
        """Real time does not count."""

    def real_time_since_last_recent_exit(self) -> float:
        """Real time does not count."""
        return 0.0
