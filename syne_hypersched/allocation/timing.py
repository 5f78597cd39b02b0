"""Times of trials from their reports: epoch times, launch costs, the longest trial time, and throughput."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from syne_hypersched.allocation._shape_fit import Floats
from syne_hypersched.allocation.launch_cost import FirstReport, LaunchCosts
from syne_hypersched.allocation.learnt_throughput import UNKNOWN_STEPS, LearntThroughput, Steps
from syne_hypersched.allocation.scaling import LearntScaling, Scaling
from syne_hypersched.allocation.window import QuantileWindow
from syne_hypersched.contract import (
    ST_IN_PLACE,
    ST_LAUNCH,
    ST_NUM_DEVICES,
    ST_RESIZE_PAUSE_S,
    ST_SIGNAL_TO_REPORT_S,
    ST_WORKER_TIME,
    num_nodes,
)

_COLD_FACTOR, _COLD_SHARE = 2, 0.25
"""Factor and share for cold starts. A first launch is a cold start if its cost exceeds this factor times the 90th
percentile of all launches, and this share of its trial's running time. Its cost is not training time of the trial."""

_PAUSES = 256
"""Number of changes of processes over which their cost is measured."""

_EPOCHS = 1024
"""Number of epoch times on one device over which the median is taken."""


@dataclass(frozen=True)
class TimedReport:
    """Time and place of a report.

    Example
    -------
    >>> TimedReport.from_result({"epoch": 3, "st_worker_time": 30.0}, resource=3, now_s=41.0).time_s
    30.0
    """

    resource: float
    """Reported resource level."""
    time_s: float
    """Seconds on a clock that runs within a launch: the training time of the trial, or the time of the report."""
    num_devices: int = 1
    """Number of devices of the launch that reported."""
    launch: int | None = None
    """Index of the launch that reported; None if the backend does not give it. Then a launch is a start or a resume."""
    signal_to_report_s: float | None = None
    """Seconds from the signal that led to the launch, in the first report of a launch, if the backend reports them."""
    steps: Steps = UNKNOWN_STEPS
    """The script's data about its optimiser steps."""
    num_nodes: int = 1
    """Number of nodes of these devices."""
    trained_s: float | None = None
    """Seconds that the trial has trained, if its script reports them."""
    resize_pause_s: float | None = None
    """In the first report after processes have joined or left: seconds during which no device trained."""
    in_place: bool = False
    """Whether the report states that processes can join and leave the launch."""

    @classmethod
    def from_result(cls, result: Mapping[str, Any], resource: float, now_s: float) -> TimedReport:
        """Reads the times in a report of a script; ``now_s`` is its arrival time."""
        trained_s = _finite(result.get(ST_WORKER_TIME))
        num_devices = max(result.get(ST_NUM_DEVICES, 1), 1)
        return cls(
            resource=resource,
            time_s=now_s if trained_s is None else trained_s,
            num_devices=num_devices,
            num_nodes=min(num_nodes(result), num_devices),
            launch=result.get(ST_LAUNCH),
            signal_to_report_s=_finite(result.get(ST_SIGNAL_TO_REPORT_S)),
            steps=Steps.from_result(result),
            trained_s=trained_s,
            resize_pause_s=_finite(result.get(ST_RESIZE_PAUSE_S)),
            in_place=bool(result.get(ST_IN_PLACE)),
        )


@dataclass
class _Running:
    started_s: float
    last: TimedReport | None = None
    total_s: float = 0.0
    """Seconds that it had been running at its last report, over all its launches."""
    is_first: bool = False
    """Whether it was started before the first report of any trial."""


class TrialTimes:
    """Epoch times, launch costs and running times of all trials.

    Example
    -------
    >>> times = TrialTimes()
    >>> times.start(trial_id=0, now_s=0.0)
    >>> for epoch in (1, 2, 3):
    ...     times.report(0, TimedReport(resource=epoch, time_s=10.0 * epoch), now_s=2 + 10.0 * epoch)
    >>> times.epoch_time_s, times.longest_trial_s
    (10.0, 32.0)

    Attributes
    ----------
    learnt
        Scaling learnt from the epoch times, shared by all trials.
    throughput
        Throughput of each trial, learnt from the step times or, without them, from the epoch times.
    longest_trial_s
        Running time (s) of the longest trial, over all its launches, from the order to start it to its last report;
        None before the first report.
    """

    def __init__(self) -> None:
        self.learnt = LearntScaling()
        self.throughput = LearntThroughput()
        self.longest_trial_s: float | None = None
        self._running: dict[int, _Running] = {}
        self._earlier_s: dict[int, float] = {}
        self._resource: dict[int, float] = {}
        #: First reports of trials that have not reported twice in one launch, and costs of all other first launches.
        self._first: dict[int, FirstReport] = {}
        self._first_launch_s: dict[int, float] = {}
        self._longest_ended_s = 0.0
        self._has_reported = self._has_evidence = False
        self._launch_costs = LaunchCosts()
        #: Costs of the launches that continue from a checkpoint.
        self._relaunch_costs = LaunchCosts()
        #: Seconds lost by the last changes of processes, and whether any launch supports such changes.
        self._pauses_s = QuantileWindow(_PAUSES)
        self._has_in_place = False
        self._single_device_epochs_s = QuantileWindow(_EPOCHS)
        #: The first epoch time on one device of each of the last trials, and all trials with such a time.
        self._first_epochs_s = QuantileWindow(_EPOCHS)
        self._timed: set[int] = set()

    def start(self, trial_id: int, now_s: float) -> None:
        """Notes that a trial is started or resumed."""
        self._running[trial_id] = _Running(now_s, is_first=not self._has_reported)

    def report(self, trial_id: int, report: TimedReport, now_s: float) -> None:
        """Notes a report of a running trial. A report of a trial that does not run is ignored."""
        running = self._running.get(trial_id)
        if running is None:
            return
        running.total_s = self._earlier_s.get(trial_id, 0.0) + now_s - running.started_s
        self.longest_trial_s = max(self.longest_trial_s or 0.0, running.total_s)
        self._has_reported, self._has_evidence = True, self._has_evidence or not running.is_first
        last, running.last = running.last, report
        self._has_in_place |= report.in_place
        if report.resize_pause_s is not None:
            self._pauses_s.add(max(report.resize_pause_s, 0.0))
        same = last is not None and last.launch == report.launch and last.num_devices == report.num_devices
        if last is not None and same and report.resize_pause_s is None:
            self._epochs(trial_id, last, report)
        else:
            if last is not None:
                self._settle_launch(trial_id, last)
            self._begin_launch(trial_id, report, now_s - running.started_s)
        self._resource[trial_id] = max(report.resource, self._resource.get(trial_id, report.resource))

    def _begin_launch(self, trial_id: int, report: TimedReport, running_s: float) -> None:
        before, epochs = self._resource.get(trial_id), None
        if before is not None:
            epochs = report.resource - before
        elif report.resource > 0:
            epochs = report.resource
        signal_to_report_s = running_s if report.signal_to_report_s is None else report.signal_to_report_s
        first = FirstReport(signal_to_report_s, epochs, report.trained_s)
        if before is None:
            self._first[trial_id] = first
        if report.signal_to_report_s is not None and (epochs is None or epochs >= 0):
            self._launch_costs.first_report(trial_id, first)
            if report.launch:
                self._relaunch_costs.first_report(trial_id, first)

    def end(self, trial_id: int, now_s: float, resumable: bool) -> None:
        """Notes that a trial has ended or is paused."""
        running = self._running.pop(trial_id, None)
        if running is None:
            return
        if running.last is not None:
            self._settle_launch(trial_id, running.last)
        self.learnt.forget(trial_id)
        self.throughput.forget(trial_id)
        self._longest_ended_s = max(self._longest_ended_s, self._training_s(trial_id, running))
        if resumable:
            self._earlier_s[trial_id] = self._earlier_s.get(trial_id, 0.0) + now_s - running.started_s
        else:
            self._earlier_s.pop(trial_id, None)
            self._resource.pop(trial_id, None)
            self._first.pop(trial_id, None)
            self._first_launch_s.pop(trial_id, None)

    @property
    def longest_training_s(self) -> float | None:
        """The same as :attr:`longest_trial_s` without cold starts; None as long as only cold starts were seen.

        The first launches find nothing in any cache, and a first epoch alone looks the same as such a launch. So the
        trials that were started before the first report of any trial count from their second report on. A first launch
        that took unusually long does not count.
        took unusually long does not count.
        """
        if not self._has_evidence:
            return None
        trained = (self._training_s(trial_id, running) for trial_id, running in self._running.items())
        return max(self._longest_ended_s, max(trained, default=0.0))

    def _training_s(self, trial_id: int, running: _Running) -> float:
        first = self._first.get(trial_id)
        if first is None:
            launch_s = self._first_launch_s.get(trial_id, 0.0)
        elif running.is_first:
            return 0.0
        else:
            launch_s = 0.0 if first.trained_s is None else first.signal_to_report_s - first.trained_s
        is_cold = launch_s > max(_COLD_FACTOR * self.launch_cost_s, _COLD_SHARE * running.total_s)
        return running.total_s - launch_s if is_cold else running.total_s

    @property
    def epoch_time_s(self) -> float | None:
        """Median epoch time on one device, over the last reports of all trials; None if it is unknown."""
        return self._single_device_epochs_s.median if len(self._single_device_epochs_s) else None

    @property
    def typical_epoch_time_s(self) -> float | None:
        """Median over trials of their epoch time on one device; None if it is unknown.

        Each trial counts once. In :attr:`epoch_time_s`, a trial counts more the longer it trains.
        """
        return self._first_epochs_s.median if len(self._first_epochs_s) else None

    @property
    def launch_cost_s(self) -> float:
        """90th percentile of the cost of a launch; 0 before any is measured."""
        return self._launch_costs.p90_s()

    @property
    def relaunch_cost_s(self) -> float:
        """Like :attr:`launch_cost_s`, but only for launches that continue from a checkpoint, once there are any."""
        return self._relaunch_costs.p90_s() if len(self._relaunch_costs) else self._launch_costs.p90_s()

    @property
    def in_place_cost_s(self) -> float | None:
        """Seconds of training lost by a change of the number of devices in which processes join and leave.

        The 90th percentile of the measurements, 0 before any; None if no launch has reported that it supports this.
        """
        if len(self._pauses_s):
            return self._pauses_s.quantile(0.9)
        return 0.0 if self._has_in_place else None

    @property
    def resize_cost_s(self) -> float:
        """Cost of a resize (s): :attr:`in_place_cost_s` if it is known, otherwise :attr:`relaunch_cost_s`."""
        in_place_s = self.in_place_cost_s
        return self.relaunch_cost_s if in_place_s is None else in_place_s

    def rates(self, trial_id: int, num_devices: int, scaling: Scaling | None = None) -> Floats | None:
        """Resource per second of a running trial on 1 to ``num_devices`` devices.

        Parameters
        ----------
        trial_id
            The trial.
        num_devices
            The largest size.
        scaling
            Speed-ups that are known and hold for all trials; by default, the throughput of each trial is learnt.

        Returns
        -------
        array or None
            Of shape (num_devices,); None before the trial has reported an epoch time.
        """
        if scaling is None:
            return self.throughput.rates(trial_id, num_devices)
        seen = self.throughput.epoch_time_s(trial_id)
        if seen is None:
            return None
        held, epoch_time_s = seen
        speed_ups = np.array([scaling.speed_up(size) for size in range(1, num_devices + 1)])
        return speed_ups / (scaling.speed_up(held) * epoch_time_s)

    def _epochs(self, trial_id: int, last: TimedReport, report: TimedReport) -> None:
        epochs, seconds = report.resource - last.resource, report.time_s - last.time_s
        if epochs <= 0 or seconds <= 0:
            return
        epoch_time_s = seconds / epochs
        if not 0 < epoch_time_s < math.inf:
            return
        self._has_evidence = True
        if (first := self._first.pop(trial_id, None)) is not None:
            self._first_launch_s[trial_id] = first.cost_s(epoch_time_s, epochs) or 0.0
        self.learnt.observe(trial_id, report.num_devices, epoch_time_s, report.num_nodes)
        self.throughput.observe(trial_id, report.num_devices, epoch_time_s, report.steps, report.num_nodes)
        if report.num_devices == 1:
            self._single_device_epochs_s.add(epoch_time_s)
            if trial_id not in self._timed:
                self._timed.add(trial_id)
                self._first_epochs_s.add(epoch_time_s)
        self._settle(trial_id, epoch_time_s, epochs)

    def _settle_launch(self, trial_id: int, last: TimedReport) -> None:
        self._settle(trial_id, self.learnt.epoch_time_s(trial_id, last.num_devices, last.num_nodes))

    def _settle(self, trial_id: int, epoch_time_s: float | None, epochs: float = 0.0) -> None:
        self._launch_costs.settle(trial_id, epoch_time_s, epochs)
        self._relaunch_costs.settle(trial_id, epoch_time_s, epochs)


def _finite(entry: object) -> float | None:
    """An entry of a report if it is a finite number. An invalid entry must not end a tuning."""
    if type(entry) is float:  # almost always, and much faster than the abstract class
        return entry if math.isfinite(entry) else None
    if isinstance(entry, bool) or not isinstance(entry, Real) or not math.isfinite(entry):
        return None
    return float(entry)
