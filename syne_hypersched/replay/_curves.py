"""The learning curves of a run, and what the run shows about the machine: speed-ups and launch costs.

The curve of a trial that was paused or stopped is *censored*: it is known up to the level to which the run trained it.
Nothing is known about its continuation.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from syne_hypersched import checks
from syne_hypersched.experiments import Report, Run, holdings, launch_costs_s, run_metadata


@dataclass(frozen=True)
class KnownCurve:
    """The known part of one trial's learning curve.

    >>> KnownCurve(trial_id=3, levels=(1, 2), values=(0.9, 0.7), seconds=(2.0, 2.0), is_whole=False).last_level
    2

    Attributes
    ----------
    trial_id
        The trial.
    levels
        Resource levels, ascending.
    values
        The metric at each level; NaN if it was not finite.
    seconds
        Seconds of training from the previous level to each level, on one device.
    is_whole
        Whether the trial was trained to the end, so that its whole curve is known.
    """

    trial_id: int
    levels: tuple[float, ...]
    values: tuple[float, ...]
    seconds: tuple[float, ...]
    is_whole: bool

    @property
    def last_level(self) -> float:
        """The highest known level."""
        return self.levels[-1]


@dataclass(frozen=True)
class RunCurves:
    """The learning curves of a run, and its circumstances.

    .. code-block:: python

        known = run_curves(load_run("my-experiment"))
        print(known.best_trial, known.best_value, known.speed_up)

    Attributes
    ----------
    metric
        Name of the metric.
    do_minimize
        Whether the metric is to be minimised.
    time_attr
        Name of the resource level in reports.
    max_t
        Level to which a trial trains.
    curves
        The trials in the order in which they were started.
    num_devices
        Devices of the run.
    deadline_s
        Seconds from the first launch to the deadline, or to the last report if there was no deadline.
    speed_up
        Speed-up by number of devices, as measured in this run; it contains 1.
    start_s
        Seconds that the launch of a new trial costs.
    resume_s
        Seconds that a later launch of a trial costs.
    scheduler_name, scheduler_kwargs
        Class and arguments of the run's scheduler, from the metadata.
    best_trial
        The trial with the best result of the run.
    best_value
        Its best metric.
    best_level
        The level at which this metric was reported.
    """

    metric: str
    do_minimize: bool
    time_attr: str
    max_t: float
    curves: tuple[KnownCurve, ...]
    num_devices: int
    deadline_s: float
    speed_up: Mapping[int, float]
    start_s: float
    resume_s: float
    scheduler_name: str
    scheduler_kwargs: Mapping[str, Any]
    best_trial: int
    best_value: float
    best_level: float

    @property
    def num_censored(self) -> int:
        """Number of trials whose curves are not known to the end."""
        return sum(not curve.is_whole for curve in self.curves)


def run_curves(run: Run, num_devices: int | None = None) -> RunCurves:
    """Reads the learning curves of a run.

    Parameters
    ----------
    run
        The experiment, finished or running.
    num_devices
        Number of devices; by default it is read from the run's events.

    Raises
    ------
    TypeError
        ``run`` is not an experiment (for example its name), or ``num_devices`` is not an integer.
    ValueError
        ``num_devices`` is below 1, or the run has no report with a finite metric, or does not record how long trials
        trained or how many devices there were.
    """
    checks.instance("run", run, Run, "an experiment that load_run has read")
    if num_devices is not None:
        num_devices = checks.positive_integer("num_devices", num_devices)
    best = run.incumbent
    if best is None:
        raise ValueError(f"the run must have a report with a finite {run.metric!r}, but has none")
    count = num_devices or len(run.devices)
    if not count:
        raise ValueError("--num-devices must be given, since the run has no events that show the number of devices")
    metadata = run_metadata(run)
    kwargs = dict(metadata.get("scheduler_kwargs") or {})
    highest = max(report.resource for report in run.reports)
    known_max = kwargs.get("max_t")
    max_t = float(known_max) if isinstance(known_max, (int, float)) else highest
    of_trial: dict[int, list[Report]] = defaultdict(list)
    for report in run.reports:
        of_trial[report.trial_id].append(report)
    rates = _rates(run.reports)
    if not rates:
        raise ValueError("the run must say how long its trials trained (st_worker_time of reports), but does not")
    speed_up = measured_speed_up(rates)
    completed = {event.trial_id for event in run.events if event.event == "complete"}
    usual = _usual_rates(rates, speed_up)
    every = median(usual.values())
    curves = tuple(
        _curve(trial_id, reports, usual.get(trial_id, every), speed_up, max_t, trial_id in completed)
        for trial_id, reports in sorted(of_trial.items())
    )
    costs = launch_costs_s(run.reports, holdings(run.events))
    starts = [cost for (_, launch), cost in costs.items() if launch == 0]
    others = [cost for (_, launch), cost in costs.items() if launch > 0]
    first_s = min((event.time_s for event in run.events if event.event == "launch"), default=0.0)
    end_s = run.deadline_s if run.deadline_s is not None else max(report.time_s for report in run.reports)
    start_s = median(starts) if starts else 0.0
    return RunCurves(
        metric=run.metric,
        do_minimize=run.do_minimize,
        time_attr=run.time_attr,
        max_t=max_t,
        curves=curves,
        num_devices=count,
        deadline_s=max(end_s - first_s, 1e-3),
        speed_up=speed_up,
        start_s=start_s,
        resume_s=median(others) if others else start_s,
        scheduler_name=str(metadata.get("scheduler_name", "")),
        scheduler_kwargs=kwargs,
        best_trial=best.trial_id,
        best_value=best.value,
        best_level=best.resource,
    )


Rates = Mapping[tuple[int, int], Sequence[float]]
"""Seconds of training for each unit of the resource, by trial and number of devices."""


def _rates(reports: Iterable[Report]) -> dict[tuple[int, int], list[float]]:
    by_launch: dict[tuple[int, int | None], list[Report]] = defaultdict(list)
    for report in reports:
        by_launch[report.trial_id, report.launch].append(report)
    rates: dict[tuple[int, int], list[float]] = defaultdict(list)
    for (trial_id, _), of_launch in by_launch.items():
        for earlier, later in pairwise(of_launch):
            rate = _rate(earlier, later)
            if rate is not None:
                rates[trial_id, later.num_devices or 1].append(rate)
    if not rates:  # every launch has reported only once: use the first report of each trial
        for report in reports:
            if report.worker_time_s and report.resource > 0:
                rates[report.trial_id, report.num_devices or 1].append(report.worker_time_s / report.resource)
    return dict(rates)


def _rate(earlier: Report, later: Report) -> float | None:
    if earlier.worker_time_s is None or later.worker_time_s is None or later.resource <= earlier.resource:
        return None
    seconds = later.worker_time_s - earlier.worker_time_s
    return seconds / (later.resource - earlier.resource) if seconds > 0 else None


def measured_speed_up(rates: Rates) -> dict[int, float]:
    """Speed-up by number of devices, from trials that trained on one device and on several.

    Parameters
    ----------
    rates
        Seconds for each unit of the resource, by trial and number of devices.

    Returns
    -------
    dict
        The median over trials for each number of devices that occurred; for 1 it is 1.
    """
    ratios: dict[int, list[float]] = defaultdict(list)
    for (trial_id, num_devices), seconds in rates.items():
        alone = rates.get((trial_id, 1))
        if num_devices > 1 and alone:
            ratios[num_devices].append(median(alone) / median(seconds))
    return {1: 1.0} | {num_devices: median(found) for num_devices, found in sorted(ratios.items())}


def _usual_rates(rates: Rates, speed_up: Mapping[int, float]) -> dict[int, float]:
    """The median time of each trial for a unit of the resource (s), converted to one device."""
    found: dict[int, list[float]] = defaultdict(list)
    for (trial_id, num_devices), seconds in rates.items():
        found[trial_id] += [rate * _nearest(speed_up, num_devices) for rate in seconds]
    return {trial_id: median(own) for trial_id, own in found.items()}


def _curve(
    trial_id: int,
    reports: Sequence[Report],
    usual: float,
    speed_up: Mapping[int, float],
    max_t: float,
    has_completed: bool,
) -> KnownCurve:
    levels: list[float] = []
    values: list[float] = []
    seconds: list[float] = []
    before: Report | None = None
    for report in reports:
        rate = None
        if before is not None and before.launch == report.launch:
            rate = _rate(before, report)
        before = report
        done = levels[-1] if levels else min(0.0, report.resource)
        if levels and report.resource <= done:
            continue  # reported again after a relaunch
        one_device = usual if rate is None else rate * _nearest(speed_up, report.num_devices or 1)
        levels.append(report.resource)
        values.append(report.value if math.isfinite(report.value) else math.nan)
        seconds.append(max(one_device * (report.resource - done), 1e-3))
    is_whole = has_completed or levels[-1] >= max_t
    return KnownCurve(trial_id, tuple(levels), tuple(values), tuple(seconds), is_whole)


def _nearest(speed_up: Mapping[int, float], num_devices: int) -> float:
    """The speed-up for the largest measured number of devices that is not above ``num_devices``."""
    return speed_up[max(size for size in speed_up if size <= num_devices)]
