"""The result of a run at a deadline: metric, regret, trials, utilisation and the summary of its trials.

All functions are pure functions of the reports of a run, simulated or real. So one run of a scheduler that does not
know the deadline can be read at several deadlines.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

NUM_TOP = 3
"""Number of best trials that the summary lists."""


@dataclass(frozen=True)
class Reports:
    """The reports of a run in order of time, as columns of equal length."""

    trial_id: np.ndarray
    time_s: np.ndarray
    """Seconds since the start of the tuning."""
    resource: np.ndarray
    value: np.ndarray
    """The metric; a value that is not finite counts as no value."""
    worker_time_s: np.ndarray
    """Seconds that the trial had trained, over all its launches."""
    num_devices: np.ndarray
    """Devices that the trial held."""
    true_value: np.ndarray | None = None
    """The metric without noise, if noise was added."""

    def until(self, deadline_s: float) -> Reports:
        """The reports up to a deadline, inclusive."""
        kept = self.time_s <= deadline_s
        return replace(self, **{name: column[kept] for name, column in vars(self).items() if column is not None})

    def __len__(self) -> int:
        return len(self.time_s)


@dataclass(frozen=True)
class RegretScale:
    """The scale of normalised regret.

    Regret is 0 at the best value in the table, and 1 at the best value of the median configuration. Without a finite
    report, a run has the regret of ``worst``, the worst value at the first level of the table.
    """

    best: float
    median: float
    worst: float

    def regret(self, value: float) -> float:
        """The normalised regret of a value, of a metric that is minimised or maximised.

        NaN means that there is no report. If the best and median values of the table are equal, the regret is NaN.
        """
        if self.best == self.median:
            return math.nan
        regret = (self.best - (self.worst if math.isnan(value) else value)) / (self.best - self.median)
        return regret + 0.0  # avoids -0.0 for the best value


@dataclass(frozen=True)
class Reading:
    """The result of a run at a deadline. NaN means unknown."""

    deadline: str
    deadline_s: float
    value: float
    """The best metric reported by the deadline."""
    regret: float
    """Normalised regret of the report with the best metric. If noise was added, regret uses its value without noise."""
    num_trials: int
    """Number of trials with a report by the deadline."""
    num_reports: int
    utilisation: float
    """Share of all device-seconds up to the deadline that were spent on training reported by then. The rest is idle
    time, launches, and epochs that were not finished in time."""
    best_resource: float
    """Resource level (epoch) of the best value."""
    length_mean: float
    """Statistics of the lengths of the trials. A length is the highest resource level that a trial reported."""
    length_median: float
    length_p10: float
    length_p90: float
    top_lengths: tuple[float, ...]
    """Lengths of the three trials with the best values, the best one first."""
    top_values: tuple[float, ...]
    """Their best values."""

    def as_json(self) -> dict[str, Any]:
        """The reading as values of JSON; NaN becomes null."""
        return {name: _none_for_nan(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Reading:
        """The reading from the result of :meth:`as_json`."""
        read: dict[str, Any] = {name: math.nan if value is None else value for name, value in values.items()}
        return cls(**(read | {name: tuple(read[name]) for name in ("top_lengths", "top_values")}))


def read_at(
    reports: Reports,
    deadline: str,
    deadline_s: float,
    num_devices: int,
    do_minimize: bool,
    scale: RegretScale | None = None,
) -> Reading:
    """Reads a run at a deadline.

    Parameters
    ----------
    reports
        Reports of the run.
    deadline
        The deadline as the user wrote it.
    deadline_s
        The deadline in seconds.
    num_devices
        Devices of the machine.
    do_minimize
        Whether the metric is minimised.
    scale
        Scale of the regret; without it the regret is NaN.
    """
    seen = reports.until(deadline_s)
    sign = 1.0 if do_minimize else -1.0
    cost = np.where(np.isfinite(seen.value), sign * seen.value, math.inf)
    trials, of_trial = np.unique(seen.trial_id, return_inverse=True)
    lengths, costs = np.zeros(len(trials)), np.full(len(trials), math.inf)
    np.maximum.at(lengths, of_trial, seen.resource)
    np.minimum.at(costs, of_trial, cost)
    best = int(cost.argmin()) if len(cost) and math.isfinite(cost.min()) else None
    value = math.nan if best is None else float(seen.value[best])
    true = value if best is None or seen.true_value is None else float(seen.true_value[best])
    top = [int(i) for i in np.argsort(costs, kind="stable")[:NUM_TOP] if math.isfinite(costs[i])]
    p10, p50, p90 = np.percentile(lengths, (10, 50, 90)) if len(lengths) else (math.nan,) * 3
    return Reading(
        deadline=deadline,
        deadline_s=deadline_s,
        value=value,
        regret=math.nan if scale is None else scale.regret(true),
        num_trials=len(trials),
        num_reports=len(seen),
        utilisation=device_seconds(seen) / (num_devices * deadline_s),
        best_resource=math.nan if best is None else float(seen.resource[best]),
        length_mean=float(lengths.mean()) if len(lengths) else math.nan,
        length_median=float(p50),
        length_p10=float(p10),
        length_p90=float(p90),
        top_lengths=tuple(float(lengths[i]) for i in top),
        top_values=tuple(float(sign * costs[i]) for i in top),
    )


def device_seconds(reports: Reports) -> float:
    """Device-seconds of training before each report: seconds trained since the trial's last report × devices."""
    order = np.lexsort((reports.time_s, reports.trial_id))
    trial_id, worker_time_s = reports.trial_id[order], reports.worker_time_s[order]
    before = np.where(np.diff(trial_id, prepend=-1) == 0, np.roll(worker_time_s, 1), 0.0)
    return float(((worker_time_s - before) * reports.num_devices[order]).sum())


def trajectory(reports: Reports, do_minimize: bool) -> tuple[np.ndarray, np.ndarray]:
    """The best metric so far, as the seconds and values of its improvements.

    Returns
    -------
    tuple
        Two arrays of shape ``(improvements,)``.
    """
    finite = np.isfinite(reports.value)
    time_s, value = reports.time_s[finite], reports.value[finite]
    so_far = np.minimum.accumulate(value) if do_minimize else np.maximum.accumulate(value)
    improved = np.diff(so_far, prepend=math.nan) != 0
    return time_s[improved], so_far[improved]


def _none_for_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
