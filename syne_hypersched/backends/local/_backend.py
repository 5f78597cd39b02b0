"""Trials as processes on this machine's GPUs or CPU slots, whose number of devices can change while they run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from syne_tune.backend import LocalBackend
from syne_tune.backend.trial_status import Status, Trial
from syne_tune.util import experiment_path

from syne_hypersched import checks
from syne_hypersched._first_use import check_is_of
from syne_hypersched._moments import Stopwatch
from syne_hypersched._wording import counted
from syne_hypersched.backends.local._attention import Attention
from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.local._command import ScriptArguments, can_be_forked, program
from syne_hypersched.backends.local._elastic_contract import ElasticContract
from syne_hypersched.backends.local._failures import FailurePolicy
from syne_hypersched.backends.local._fleet import Fleet
from syne_hypersched.backends.local._launch_spec import launch_spec
from syne_hypersched.backends.local._machine import OnThisMachine
from syne_hypersched.backends.local._old_logs import OldLogs
from syne_hypersched.backends.local._options import LaunchMode, Processes, ResizeMode
from syne_hypersched.backends.local._order import by_time
from syne_hypersched.backends.local._pool_control import PoolBackend
from syne_hypersched.backends.local._preload import PreloadPlan, plan_preloading
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._restoring import RestorableBackend
from syne_hypersched.backends.local._shares import GpuShares
from syne_hypersched.backends.local._trial_files import TrialFiles
from syne_hypersched.backends.local._tuner_watch import TunerWatch
from syne_hypersched.backends.machine.device_locks import DeviceLocks
from syne_hypersched.backends.machine.discovery import DeviceType
from syne_hypersched.backends.machine.environment import rank_environments, server_environment
from syne_hypersched.backends.machine.gpu_health import gpu_memory
from syne_hypersched.backends.shared.elastic import ElasticTrial, paused_trial
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.backends.shared.folder_lock import FolderLock
from syne_hypersched.backends.shared.interruption import ResumeHint, telling_how_to_go_on
from syne_hypersched.backends.shared.shares import gpus_of
from syne_hypersched.checkpoints.room import UNWRITABLE
from syne_hypersched.contract import Situation
from syne_hypersched.filenames import EVENTS_FILENAME, SERVER_LOG_FILENAME, STDERR_FILENAME, STDOUT_FILENAME
from syne_hypersched.launch import Launcher, LaunchSpec


class ElasticLocalBackend(PoolBackend, RestorableBackend, ElasticContract, OnThisMachine, TrialFiles, LocalBackend):
    """Runs trials as processes on this machine and changes their number of devices when the scheduler asks for it.

    Example::

        backend = ElasticLocalBackend("train.py", num_devices=4)
        tuner = Tuner(backend, scheduler, StoppingCriterion(max_wallclock_time=3600), n_workers=4)

    A drop-in for :class:`syne_tune.backend.LocalBackend` under the stock :class:`syne_tune.Tuner`: a script that
    checkpoints to ``st_checkpoint_dir`` runs unchanged. The tuner does not see a relaunch: the trial keeps its id, its
    checkpoints, its log and its status.

    Two trials never hold one device. Trials end when this process ends, for any reason. ``events.jsonl`` beside the
    tuner's results records what happens to processes. ``best/`` holds the incumbent's checkpoint.

    Parameters
    ----------
    entry_point
        Script or program to be tuned.
    num_devices
        Devices to share out; by default all GPUs that ``CUDA_VISIBLE_DEVICES`` shows or, without GPUs, one CPU slot for
        each core that this process may use (or is granted by its control groups). A CPU slot is a share of the cores:
        its trial is pinned to it, with ``OMP_NUM_THREADS`` to match, and sees no GPU. ``Tuner(n_workers=...)`` must not
        be larger.
    num_devices_per_trial
        Devices with which trials start and resume.
    device_type
        ``"gpu"``, ``"cpu"``, or ``"auto"``: GPUs if any is visible, else CPU slots.
    gpus_to_use
        Positions among the visible GPUs; by default all are used.
    processes
        ``"per_device"``: a trial has one process for each of its devices, also for a single one, with the environment
        of ``torch.distributed`` (``RANK``, ``LOCAL_RANK``, ``WORLD_SIZE``, ``MASTER_ADDR``, ``MASTER_PORT``); every
        process sees all devices of its trial, as under ``torchrun``. Only rank 0's reports count. ``"single"``: one
        process without a rank that sees all devices of its trial; ``ST_NUM_DEVICES`` is their number.
    binary
        Program (and arguments, as a list or as one string that is split as a shell would) that runs ``entry_point``. By
        default Python scripts are run by this interpreter and anything else by itself.
    launch
        ``"warm"`` forks Python scripts from a server that has imported their heavy libraries already, which takes
        hundredths of a second; ``"cold"`` starts a new interpreter each time; by default warm where possible.
    preload
        Modules that the server of warm launches imports; by default those of numpy, pandas, scipy, sklearn, syne_tune,
        torch and torchvision that the script imports, and after the first launch other slow ones as well
        (``docs/scripts.md``). A module that opens a GPU or starts threads when it is imported is left out.
    grace_s
        Seconds from SIGTERM, which asks a trial to checkpoint and exit, to SIGKILL.
    time_attr
        Entry of a report that is the resource level. Schedulers of this package set it themselves. With other
        schedulers, the backend needs it to drop repeated reports of a resumed trial.
    retries, retry_backoff_s
        A trial whose launch fails is launched again from its checkpoint after ``retry_backoff_s`` seconds, which double
        each time, and has failed when ``retries`` launches in a row have brought no new report. ``docs/failures.md``
        has the exceptions.
    stall_timeout_s
        A launch without a report for this many seconds is ended, and has failed. By default it may take any time.
    min_free_mb
        Megabytes that must be free where checkpoints are written. Trials wait for them before they are launched.
    delete_checkpoints
        Whether the checkpoints of trials that are over are removed while the tuning goes on, and those of the others at
        its end unless a :class:`~syne_hypersched.Journal` is kept. ``best/`` and the incumbent's checkpoints stay. By
        default all stay, as in :class:`syne_tune.backend.LocalBackend`; ``docs/failures.md`` has the rules.
    share_devices
        Whether other experiments here may use the same devices. By default not GPUs; for CPU slots there is a warning.
    pass_args_as_json
        Whether a script gets its configuration as a JSON file, whose path is ``--st_config_json_filename``, instead of
        one argument for each entry.
    arguments
        Template of the script's arguments, such as ``["train", "lr={lr}", "{?fast}", "{...}"]``; by default ``--name
        value`` for every entry of the configuration. See ``docs/scripts.md``.
    resize
        ``"auto"``: processes join and leave a running trial if its script supports it, as with
        :class:`~syne_hypersched.training.ElasticRun`; otherwise the trial is relaunched (``docs/joining.md``).
        ``"in_place"``: the same, with a warning for each relaunch. ``"relaunch"``: every resize is a relaunch.
    shares_per_gpu
        Number of one-device trials that may share a GPU. A device is then a share of a GPU, so there are that many
        times more devices. A trial that grows gets whole GPUs, see ``docs/pool.md``.

    Raises
    ------
    TypeError, ValueError
        An argument is invalid, or asks for more devices than there are.
    """

    def __init__(
        self,
        entry_point: str | Path,
        num_devices: int | None = None,
        *,
        num_devices_per_trial: int = 1,
        device_type: DeviceType = "auto",
        gpus_to_use: Sequence[int] | None = None,
        processes: Processes = "per_device",
        binary: str | Sequence[str] | None = None,
        launch: LaunchMode | None = None,
        preload: Sequence[str] | None = None,
        grace_s: float = 5.0,
        time_attr: str | None = None,
        retries: int = 2,
        retry_backoff_s: float = 1.0,
        stall_timeout_s: float | None = None,
        min_free_mb: float = 100.0,
        delete_checkpoints: bool = False,
        share_devices: bool | None = None,
        pass_args_as_json: bool = False,
        arguments: Sequence[str] | None = None,
        resize: ResizeMode = "auto",
        shares_per_gpu: int = 1,
    ) -> None:
        if not checks.path("entry_point", entry_point, "an existing file").is_file():
            raise ValueError(f"entry_point must be an existing file, but got {str(entry_point)!r}")
        checks.one_of("processes", processes, get_args(Processes))
        checks.one_of("launch", launch, (*get_args(LaunchMode), None))
        checks.one_of("resize", resize, get_args(ResizeMode))
        if time_attr is not None:
            checks.text("time_attr", time_attr, "the name of an entry of a report, or None")
        if share_devices is not None:
            share_devices = checks.truth("share_devices", share_devices, "True, False or None")
        policy = FailurePolicy(retries, retry_backoff_s, stall_timeout_s, min_free_mb)
        if sys.platform != "linux":
            raise RuntimeError(
                f"ElasticLocalBackend needs Linux to keep hold of process trees, but this is {sys.platform}"
            )
        super().__init__(
            entry_point=os.path.abspath(entry_point),
            delete_checkpoints=checks.truth("delete_checkpoints", delete_checkpoints),
            pass_args_as_json=checks.truth("pass_args_as_json", pass_args_as_json),
        )
        self._binary = program(binary, Path(entry_point))
        self._arguments = ScriptArguments(arguments)
        python_script = can_be_forked(binary, Path(entry_point))
        if launch == "warm" and not python_script:
            raise ValueError(
                f'launch must be "cold" for anything but a Python script without binary, but got {launch!r}'
            )
        self.launch_mode: LaunchMode = "warm" if python_script and launch != "cold" else "cold"
        self.grace_s = min(checks.seconds("grace_s", grace_s), checks.LONGEST_S)
        self.devices = self._find_devices(num_devices, gpus_to_use, device_type)
        pool = self._make_pool(self._check_shares(shares_per_gpu))
        self.num_devices = len(pool)
        self.situation = Situation(self.num_devices)
        self.num_devices_per_trial = checks.integer(
            "num_devices_per_trial", num_devices_per_trial, 1, self.num_devices, "the number of devices"
        )
        self._per_device = processes == "per_device"
        self._share_devices, self._may_move = share_devices, num_devices is not None
        self._locks, self._folder_lock = DeviceLocks(), FolderLock()
        self._attention = Attention()
        self._preload = None if preload is None else checks.names("preload", preload)
        self._stopwatch = Stopwatch()
        self._events = EventLog(self._experiment_path / EVENTS_FILENAME, self._stopwatch.elapsed_s, time.time)
        self._resume_hint = ResumeHint()
        self._old_logs = OldLogs()
        self._checkpoints = Checkpoints(
            self.checkpoint_trial_path, self._processes, self._events, delete_checkpoints, policy.min_free_mb
        )
        self._checkpoints.time_attr = time_attr
        self._set_checkpoint_paths()
        self._tuner_watch = TunerWatch(
            self.stop_all, lambda: bool(self._fleet.occupied()), lambda: self._folder_lock.is_held
        )
        self._make_pool_control()
        self._fleet = Fleet(
            pool, self._events, self._make_launcher, self._spec, self.grace_s, policy, self._checkpoints,
            resize_mode=resize, shares=GpuShares(shares_per_gpu, gpu_memory),
        )  # fmt: skip

    def set_deadline(self, seconds_left: float, drain_s: float) -> None:
        """Has every trial process gone in ``seconds_left`` seconds, and drained from ``drain_s`` seconds earlier on.

        Kept by the supervisors of the processes, so that it holds even while the tuner is busy. Used by
        :class:`syne_hypersched.Deadline`.
        """
        now, seconds_left = time.monotonic(), min(checks.number("seconds_left", seconds_left), checks.LONGEST_S)
        drain_s = checks.seconds("drain_s", drain_s)
        deadline_s, was_told = self._stopwatch.elapsed_s() + seconds_left, self._stopwatch.is_running
        self.situation.deadline_s = deadline_s
        self._start_clock()
        if was_told and self.situation.takes_plan:
            self._events.write("deadline", deadline_s=deadline_s)
        self._attention.set_due(now + seconds_left - drain_s)
        self._fleet.set_deadline(now + seconds_left - drain_s, now + seconds_left)

    # What the tuner calls.

    def start_trial(self, config: dict[str, Any], checkpoint_trial_id: int | None = None) -> ElasticTrial:
        """Starts a new trial, from the checkpoint of another one if given; it runs when a device is free.

        Raises
        ------
        ValueError
            More trials are started than devices allow, or a value of ``config`` cannot be passed to a program.
        """
        self._folder_lock.acquire(self._experiment_path)
        trial_id = self.new_trial_id()
        self._checkpoints.begin_trial(trial_id)
        if checkpoint_trial_id is not None:
            self.copy_checkpoint(src_trial_id=checkpoint_trial_id, tgt_trial_id=trial_id)
        self._schedule(trial_id=trial_id, config=config)
        self.trial_ids.append(trial_id)
        trial = ElasticTrial(trial_id, config, datetime.now(), [], Status.in_progress, backend=self)
        self._trial_dict[trial_id] = trial
        return trial

    def resume_trial(self, trial_id: int, new_config: dict[str, Any] | None = None) -> ElasticTrial:
        """Has a paused trial go on from its checkpoint, with ``new_config`` if given.

        Raises
        ------
        ValueError
            The trial is not paused.
        """
        trial = paused_trial(self._trial_dict, trial_id)
        if new_config is not None:
            trial.config = new_config
        self._schedule(trial_id=trial_id, config=trial.config, event="resume")
        trial.status = Status.in_progress
        return trial

    def fetch_status_results(
        self, trial_ids: list[int]
    ) -> tuple[dict[int, tuple[Trial, str]], list[tuple[int, dict[str, Any]]]]:
        """Status of each trial, and the reports that are new since the last call, sorted by time."""
        grown = self._attention.looks()
        self._checkpoints.removal.remove()  # not trials that end now: their last reports have not been read
        statuses, reports = self._fleet.poll(trial_ids, grown)
        self._attention.has_looked(statuses, reports, may_stop=self._fleet.time_attr is not None)
        status_of = {}
        for trial_id, status in statuses.items():
            trial = self._trial_dict[trial_id]
            trial.status = status
            if status != Status.in_progress:
                self._checkpoints.removal.leave(trial_id)
            status_of[trial_id] = (trial, status)
        self._resume_hint.look(self._experiment_path, self._stopwatch.elapsed_s(), self.situation.deadline_s)
        return status_of, self._attention.hands(by_time(reports))

    def wait_for_news(self, at_most_s: float) -> None:
        """Returns as soon as a trial has reported or ended, at the latest after ``at_most_s`` seconds and after one."""
        self._attention.wait(at_most_s)

    def busy_trial_ids(self) -> list[tuple[int, str]]:
        """One entry for each device that is held by or promised to a trial."""
        return self._fleet.occupied()

    def pause_trial(self, trial_id: int, result: dict[str, Any] | None = None) -> None:
        """Drains a trial, to be resumed later. Reports after ``result`` are kept until then."""
        self._trial_dict[trial_id].status = Status.paused
        self._attention.halts(trial_id, result)
        self._checkpoints.removal.leave(trial_id)
        self._fleet.halt(trial_id, Status.paused, result)

    def stop_trial(self, trial_id: int, result: dict[str, Any] | None = None) -> None:
        """Drains a trial for good."""
        self._trial_dict[trial_id].status = Status.stopped
        self._attention.halts(trial_id, result)
        self._checkpoints.removal.leave(trial_id, stopped=True)
        self._fleet.halt(trial_id, Status.stopped, result)

    def stop_all(self) -> None:
        """Drains all trials and returns when every process is gone and ``best/`` is up to date."""
        with self._folder_lock, telling_how_to_go_on(self._experiment_path, grace_s=self.grace_s):
            self._fleet.stop_all()
            self._end_pool_control()
            for trial in self._trial_dict.values():
                if trial.status == Status.in_progress:
                    trial.status = Status.stopped
            self._checkpoints.settle({trial_id: trial.config for trial_id, trial in self._trial_dict.items()})
            self._checkpoints.removal.finish(self.trial_ids, self._experiment_path)
            self._events.close()
            self._attention.end()
            self._locks.release()

    def set_path(self, results_root: str | None = None, tuner_name: str | None = None) -> None:
        """Called by the tuner: where trials write, and where the experiment's results are."""
        super().set_path(results_root=results_root, tuner_name=tuner_name)
        path = self.local_path if tuner_name is None else experiment_path(tuner_name=tuner_name)
        if tuner_name is not None:  # the tuner writes to it before it starts a trial
            self._folder_lock.check(Path(path))
        check_is_of(path, getattr(self, "_experiment_path", None), len(self.trial_ids))
        self._experiment_path = path
        if hasattr(self, "_events"):  # the constructor of Syne Tune's backend calls this as well
            self._events.path = self._experiment_path / EVENTS_FILENAME
            self._set_checkpoint_paths()

    def _set_checkpoint_paths(self) -> None:
        self._checkpoints.experiment = Path(self._experiment_path)
        self._checkpoints.room.folder = Path(self.local_path)

    def __str__(self) -> str:
        return f"elastic local entry_point {Path(self.entry_point).name} on {counted(self.num_devices, 'device')}"

    # Launching.

    def _schedule(self, trial_id: int, config: dict[str, Any], event: str = "start") -> None:
        if not self._stopwatch.is_running or not self._fleet.occupied():
            self._claim_devices()
        self._start_clock()
        self._begin_pool_control()
        trial = self._fleet.processes(trial_id)
        path = self.trial_path(trial_id)
        if trial is None:
            self._old_logs.set_aside(Path(path))
            self._old_logs.set_aside_journal(self._experiment_path)
            trial = TrialProcesses(trial_id, path / STDOUT_FILENAME, path / STDERR_FILENAME)
        arguments = self._arguments.of(
            config, trial.config_path if self.pass_args_as_json else None, self.checkpoint_trial_path(trial_id)
        )
        trial.argv = (*(self._binary if self.launch_mode == "cold" else ()), self.entry_point, *arguments)
        trial.unwritten_config = config
        try:
            trial.write_config()
        except OSError as error:
            if error.errno not in UNWRITABLE:  # else the launch waits for room
                raise
        self._fleet.start(trial, self.num_devices_per_trial, event)
        self._attention.starts(trial_id, trial.stdout_path)
        self._checkpoints.removal.start(trial_id)

    def _make_launcher(self, **callbacks: Any) -> Launcher:
        plan = PreloadPlan()
        if self.launch_mode == "warm":
            plan = plan_preloading(Path(self.entry_point), self._preload)
        self._experiment_path.mkdir(parents=True, exist_ok=True)
        callbacks["on_exit"] = self._attention.telling(callbacks["on_exit"])
        return Launcher(
            preload=plan.modules, named=plan.named, log_path=self._experiment_path / SERVER_LOG_FILENAME,
            environment=lambda: server_environment(self.devices, os.environ), **callbacks,
        )  # fmt: skip

    def _spec(self, trial: TrialProcesses, devices: tuple[str, ...]) -> LaunchSpec:
        environments = rank_environments(self.devices, gpus_of(devices), self._per_device, os.environ)
        return launch_spec(trial, environments, self.launch_mode == "warm", self.grace_s)

    def _start_clock(self) -> None:
        self._folder_lock.acquire(self._experiment_path)
        self._tuner_watch.begin(len(self._fleet.pool), self.num_devices_per_trial)
        if not self._stopwatch.is_running:
            self._stopwatch.start()
            self._checkpoints.begin()
            self._events.write(
                "setup", devices=self._fleet.pool.devices, mode=self.launch_mode, grace_s=self.grace_s,
                deadline_s=self.situation.deadline_s,
            )  # fmt: skip

    def _processes(self, trial_id: int) -> TrialProcesses | None:
        return self._fleet.processes(trial_id)
