"""Runs a scheduler in virtual time, without a tuner: fast enough for studies of many runs."""

from __future__ import annotations

import math
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from syne_tune.backend.trial_status import Status
from syne_tune.constants import (
    ST_DECISION,
    ST_METADATA_FILENAME,
    ST_RESULTS_DATAFRAME_FILENAME,
    ST_STATUS,
    ST_TRIAL_ID,
    ST_TUNER_CREATION_TIMESTAMP,
    ST_TUNER_TIME,
)
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialScheduler
from syne_tune.util import dump_json_with_numpy

from syne_hypersched.backends.shared.elastic import ElasticTrial
from syne_hypersched.backends.shared.events import EVENTS_FILENAME, EventLog
from syne_hypersched.backends.virtual import (
    NO_COST,
    Failures,
    LaunchCost,
    ScalingLike,
    VirtualFleet,
    make_virtual_fleet,
    virtual_moment,
)
from syne_hypersched.checks import positive_integer, positive_seconds

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd


class _Result(NamedTuple):
    trial_id: int
    config: dict[str, Any]
    status: str
    report: dict[str, Any]
    decision: str


@dataclass(frozen=True)
class Simulation:
    """What came out of :func:`simulate`."""

    num_devices: int
    """Devices that there were."""

    num_trials: int
    """Trials that were started."""

    end_s: float
    """Virtual seconds until the last device was free again."""

    device_seconds_held: float
    """Seconds for which devices were held by trials, summed over devices."""

    device_seconds_training: float
    """Seconds of these that went into epochs that were reported. Launches, drains and lost work are the rest."""

    metadata: dict[str, Any]
    """What Syne Tune stores with the results: the scheduler and its arguments."""

    events_path: Path | None = None
    """The file with the events, if they were to be written."""

    _results: list[_Result] = field(default_factory=list, repr=False)

    @property
    def num_results(self) -> int:
        """Reports that the scheduler has received."""
        return len(self._results)

    @property
    def utilisation(self) -> float:
        """Share of the devices' time until the end that went into epochs that were reported; 0 if there was none."""
        return self.device_seconds_training / (self.num_devices * self.end_s) if self.end_s else 0.0

    @cached_property
    def results(self) -> pd.DataFrame:
        """All reports in the order of time, with the columns that the tuner stores.

        Columns: the entries of the report, ``st_decision``, ``st_status``, ``trial_id`` and ``config_...``. Virtual
        seconds are in ``st_tuner_time``.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                result
                | {ST_DECISION: decision, ST_STATUS: status, ST_TRIAL_ID: trial_id}
                | {f"config_{name}": value for name, value in config.items()}
                for trial_id, config, status, result, decision in self._results
            ]
        )

    def best(self, metric: str, do_minimize: bool = True) -> float:
        """The best value that was reported; NaN if none was.

        Parameters
        ----------
        metric
            Entry of the reports.
        do_minimize
            Whether the least value is the best.

        Raises
        ------
        ValueError
            There are reports, and none has such an entry.
        """
        _, best = self.trajectory(metric, do_minimize)
        return float(best[-1]) if len(best) else float("nan")

    def trajectory(
        self, metric: str, do_minimize: bool = True
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The best value so far, over time.

        Parameters
        ----------
        metric
            Entry of the reports; NaN counts as no value, and so does what is no number or is missing in a report.
        do_minimize
            Whether the least value is the best.

        Returns
        -------
        tuple of ndarray, each of shape (num_results,)
            Virtual seconds of each report, ascending, and the best value up to then.

        Raises
        ------
        ValueError
            There are reports, and none has such an entry.
        """
        reports = [entry.report for entry in self._results]
        if reports and not any(metric in report for report in reports):
            raise ValueError(
                f"metric must be an entry of the reports, one of {', '.join(reports[0])}, but got {metric!r}"
            )
        times_s = np.array([report[ST_TUNER_TIME] for report in reports], dtype=float)
        values = np.array([_number(report.get(metric)) for report in reports], dtype=float)
        return times_s, (np.fmin if do_minimize else np.fmax).accumulate(values)

    def save(self, path: Path | str) -> None:
        """Stores metadata, results and, if they were written, events, as Syne Tune's ``load_experiment`` reads them.

        The same simulation gives the same bytes.

        Parameters
        ----------
        path
            Folder of the experiment; created if need be.
        """
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        dump_json_with_numpy(self.metadata, path / ST_METADATA_FILENAME)
        # What pandas would write carries the time of writing.
        name = ST_RESULTS_DATAFRAME_FILENAME.removesuffix(".zip")
        with zipfile.ZipFile(path / ST_RESULTS_DATAFRAME_FILENAME, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(name), self.results.to_csv(index=False), zipfile.ZIP_DEFLATED)
        events_path = path / EVENTS_FILENAME
        if self.events_path is not None and self.events_path.resolve() != events_path.resolve():
            shutil.copyfile(self.events_path, events_path)


def _number(entry: object) -> float:
    return float(entry) if isinstance(entry, Real) and not isinstance(entry, bool) else float("nan")


OnResult = Callable[[ElasticTrial, dict[str, Any], str], None]


def simulate(
    scheduler: TrialScheduler,
    blackbox: Any,
    *,
    num_devices: int,
    n_workers: int | None = None,
    deadline_s: float | None = None,
    max_num_trials: int | None = None,
    max_num_results: int | None = None,
    elapsed_time_attr: str | None = None,
    scaling: ScalingLike = "resnet50",
    launch_cost: LaunchCost = NO_COST,
    failures: Failures | None = None,
    num_devices_per_trial: int = 1,
    max_resource_attr: str | None = None,
    seed: int = 0,
    events_path: Path | str | None = None,
    on_result: OnResult | None = None,
) -> Simulation:
    """Runs a scheduler on a blackbox in virtual time and gives what came out.

    Makes the same decisions as the stock :class:`syne_tune.Tuner` with
    :class:`~syne_hypersched.ElasticSimulatorBackend`, in a small part of the time. It ends at the deadline, when one
    more trial than ``max_num_trials`` would start, at ``max_num_results``, or when the scheduler has no more to run.

    Parameters
    ----------
    scheduler
        Any scheduler of this package's or Syne Tune's, which must not have been used before.
    blackbox, elapsed_time_attr, num_devices, scaling, launch_cost, failures, num_devices_per_trial
        As in :class:`~syne_hypersched.ElasticSimulatorBackend`; ``elapsed_time_attr`` is not needed where the blackbox
        knows it.
    max_resource_attr, seed
        As in :class:`~syne_hypersched.ElasticSimulatorBackend`.
    n_workers
        Trials that run at the same time, by default as many as devices allow.
    deadline_s
        Virtual seconds after which nothing is reported. Drains are over by then.
    max_num_trials
        Trials that may be started.
    max_num_results
        Reports that the scheduler gets.
    events_path
        Where to write the events, as ``events.jsonl``; a file that exists is replaced. By default nowhere.
    on_result
        Called after each decision with the trial, the report (with what the scheduler has added) and the decision.

    Returns
    -------
    Simulation
        The results.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; the message names it.
    """
    for name, number in (("max_num_trials", max_num_trials), ("max_num_results", max_num_results)):
        if number is not None:
            positive_integer(name, number)
    if deadline_s is not None:
        positive_seconds("deadline_s", deadline_s)
        deadline_s = float(deadline_s)
    if not all(callable(getattr(scheduler, name, None)) for name in ("suggest", "on_trial_result")):
        raise TypeError(f"scheduler must be a scheduler, with suggest() and on_trial_result(), but got {scheduler!r}")
    if on_result is not None and not callable(on_result):
        raise TypeError(f"on_result must be a function or None, but got {on_result!r}")
    fleet = make_virtual_fleet(
        blackbox,
        elapsed_time_attr,
        num_devices,
        scaling,
        launch_cost,
        failures,
        num_devices_per_trial,
        max_resource_attr,
        seed,
    )
    if n_workers is None:
        n_workers = num_devices // num_devices_per_trial
    positive_integer("n_workers", n_workers)
    # NumPy's integers are no values of JSON, in which events are written.
    num_devices, n_workers, num_devices_per_trial = int(num_devices), int(n_workers), int(num_devices_per_trial)
    if deadline_s is not None:
        fleet.set_deadline(deadline_s, min(launch_cost.drain_s, deadline_s / 20))
    else:
        fleet.situation.deadline_s = math.inf
    loop = _TuningLoop(scheduler, fleet, n_workers, num_devices_per_trial, max_num_trials, max_num_results, on_result)
    events = None if events_path is None else _record_events(fleet, Path(events_path))
    loop.run()
    fleet.stop_all()
    if events is not None:
        events.close()
    metadata = {ST_TUNER_CREATION_TIMESTAMP: 0.0, "entrypoint": "simulate", "backend": "ElasticSimulatorBackend"}
    return Simulation(
        num_devices,
        loop.num_trials,
        fleet.time_s,
        fleet.device_seconds_held,
        fleet.device_seconds_training,
        metadata | scheduler.metadata(),
        None if events is None else events.path,
        loop.results,
    )


def _record_events(fleet: VirtualFleet, path: Path) -> EventLog:
    path.unlink(missing_ok=True)
    events = EventLog(path, lambda: fleet.time_s)
    fleet.record = events.write
    return events


class _TuningLoop:
    """The loop of :class:`syne_tune.Tuner`: looks for results, tells the scheduler, starts what it suggests."""

    def __init__(
        self,
        scheduler: TrialScheduler,
        fleet: VirtualFleet,
        n_workers: int,
        num_devices_per_trial: int,
        max_num_trials: int | None,
        max_num_results: int | None,
        on_result: OnResult | None,
    ) -> None:
        self.results: list[_Result] = []
        self._trials: list[ElasticTrial] = []
        self._scheduler = scheduler
        self._fleet = fleet
        self._n_workers = n_workers
        self._num_devices_per_trial = num_devices_per_trial
        self._max_num_trials = max_num_trials
        self._max_num_results = max_num_results
        self._on_result = on_result
        #: Trials that run, and the last result of each trial.
        self._running: dict[int, None] = {}
        self._last: dict[int, dict[str, Any]] = {}
        self._exhausted = False

    @property
    def num_trials(self) -> int:
        """Trials that were started."""
        return len(self._trials)

    def run(self) -> None:
        """Goes on until there is nothing left to do, or a limit is reached."""
        goes_on = True
        while goes_on:
            self._fleet.poll()
            reports, ended = self._fleet.take()
            for trial_id, result in reports:
                self._tell(trial_id, result)
                if len(self.results) == self._max_num_results:
                    return
            for trial_id in ended:
                self._end(trial_id)
            goes_on = self._start_trials() and not self._fleet.closed

    def _tell(self, trial_id: int, result: dict[str, Any]) -> None:
        trial, status = self._trials[trial_id], self._fleet.status(trial_id)
        self._last[trial_id] = result
        decision = self._scheduler.on_trial_result(trial=trial, result=result)
        self.results.append(_Result(trial_id, trial.config, status, result, decision))
        if self._on_result is not None:
            self._on_result(trial, result, decision)
        if decision == SchedulerDecision.CONTINUE:
            return
        if decision == SchedulerDecision.PAUSE:
            self._fleet.halt(trial_id, Status.paused)
        elif status != Status.completed:
            self._fleet.halt(trial_id, Status.stopped)
        del self._running[trial_id]
        self._scheduler.on_trial_remove(trial=trial)

    def _end(self, trial_id: int) -> None:
        """A trial has ended by itself; nothing is left to do if the scheduler has stopped or paused it at the end."""
        if trial_id not in self._running:
            return
        trial = self._trials[trial_id]
        del self._running[trial_id]
        if self._fleet.status(trial_id) == Status.failed:
            self._scheduler.on_trial_error(trial)
        else:
            self._scheduler.on_trial_complete(trial, self._last.get(trial_id, {}))

    def _start_trials(self) -> bool:
        """Starts what the scheduler suggests, and says whether there is anything left to wait for."""
        while not self._exhausted and len(self._running) < self._n_workers:
            suggestion = self._scheduler.suggest()
            if suggestion is None:
                self._exhausted = True
            elif not suggestion.spawn_new_trial_id:
                self._resume(suggestion.checkpoint_trial_id, suggestion.config)
            elif len(self._trials) == self._max_num_trials:
                return False
            else:
                self._start(dict(suggestion.config), suggestion.checkpoint_trial_id)
        return bool(self._running)

    def _start(self, config: dict[str, Any], checkpoint_of: int | None) -> None:
        trial_id = len(self._trials)
        self._fleet.start(trial_id, config, self._num_devices_per_trial, "start", checkpoint_of)
        trial = ElasticTrial(
            trial_id, config, virtual_moment(self._fleet.time_s), [], Status.in_progress, backend=self._fleet
        )
        self._trials.append(trial)
        self._running[trial_id] = None
        self._scheduler.on_trial_add(trial=trial)

    def _resume(self, trial_id: int, config: dict[str, Any] | None) -> None:
        trial = self._trials[trial_id]
        if config is not None:
            trial.config = config
        self._fleet.start(trial_id, trial.config, self._num_devices_per_trial, "resume")
        self._running[trial_id] = None
