"""What a page shows of one trial and of one launch, as values of JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from syne_hypersched.experiments._run import Report

#: A curve keeps at most this many of its points; of longer ones, every second point is left out again and again.
MOST_POINTS = 120

Point = tuple[float, float | None, float, float | None, int | None]
"""Seconds of the run at which a trial reported, seconds that it has trained, level, metric, index of the launch."""


@dataclass
class TrialView:
    """A trial, brought up to date with each report and event."""

    trial_id: int
    seq: int = 0
    """Number of the change that was its last one."""

    status: str = "in progress"
    num_reports: int = 0
    best: tuple[float, float, float] | None = None
    """The metric, the level and the time of its best report."""

    last: float | None = None
    resource: float = 0.0
    num_devices: int | None = None
    max_devices: int | None = None
    num_launches: int = 0
    cost_s: float | None = None
    config: dict[str, Any] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    _stride: int = 1

    def add(self, report: Report, time_s: float, do_minimize: bool) -> None:
        """Adds a report."""
        value = finite(report.value)
        self.last, self.resource = value, max(self.resource, report.resource)
        if value is not None:
            is_better = self.best is None or (value < self.best[0] if do_minimize else value > self.best[0])
            if is_better:
                self.best = (value, report.resource, time_s)
        self._append((time_s, report.worker_time_s, report.resource, value, report.launch))
        self.num_reports += 1

    def _append(self, point: Point) -> None:
        # Between two points that stay, the last one is only there until the next one comes.
        if self.points and (self.num_reports - 1) % self._stride:
            self.points[-1] = point
        else:
            self.points.append(point)
        if len(self.points) > MOST_POINTS:
            self.points = self.points[::2]
            self._stride *= 2

    def to_json(self, names: list[str], most_points: int = MOST_POINTS) -> dict[str, Any]:
        """All of it, with the values of the configuration in the order of ``names``."""
        points = thinned(self.points, most_points)
        return {
            "id": self.trial_id,
            "status": self.status,
            "best": None if self.best is None else [short(number) for number in self.best],
            "last": short(self.last),
            "resource": short(self.resource),
            "devices": self.num_devices,
            "most": self.max_devices,
            "launches": self.num_launches or None,
            "cost": short(self.cost_s),
            "config": [plain(self.config.get(name)) for name in names],
            "points": [[short(number) for number in point] for point in points],
        }


@dataclass
class LaunchView:
    """A launch: who held which devices from when to when, and what happened meanwhile."""

    trial_id: int
    launch: int
    devices: list[int]
    """Indices of the devices."""

    start_s: float
    wait_s: float = 0.0
    """Seconds from the order, or from the signal to the launch before, until the processes were there."""

    train_s: float | None = None
    """When it began to train, as far as its first report tells."""

    drain_s: float | None = None
    """When it was asked to checkpoint and exit."""

    end_s: float | None = None
    how: str = ""
    reason: str = ""
    why: str = ""
    """The last decision about the trial while this launch lasted, with the scheduler's reason."""

    cost_s: float | None = None
    part: int = 0
    """A launch whose devices change while it trains has a part for each set of devices."""

    seq: int = 0

    def to_json(self) -> list[Any]:
        """All of it, in the order of ``LAUNCH`` in ``page.js``."""
        times = (self.start_s, self.wait_s, self.train_s, self.drain_s, self.end_s)
        return [
            self.trial_id,
            self.launch,
            stretches(self.devices),
            *(None if time_s is None else round(time_s, 3) for time_s in times),
            self.how,
            self.reason,
            self.why,
            short(self.cost_s),
            self.part,
        ]


def thinned(points: list[Point], most: int) -> list[Point]:
    """At most ``most`` of the points, evenly spaced, with the first and the last one."""
    if len(points) <= most:
        return points
    step = (len(points) - 1) / (most - 1)
    return [points[round(index * step)] for index in range(most)]


def stretches(indices: list[int]) -> list[list[int]]:
    """Neighbouring indices as pairs of the first and the last one."""
    found: list[list[int]] = []
    for index in sorted(indices):
        if found and index == found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return found


def seconds(value: Any) -> float:
    """An entry of an event that is a time; 0 if it is none."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0


def finite(value: float | None) -> float | None:
    """The number, None if it is not finite."""
    return value if value is not None and math.isfinite(value) else None


def short(value: float | None) -> float | None:
    """The number with six digits, which a picture can show; None if it is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.6g}")


def plain(value: Any) -> Any:
    """A value of a configuration as a number, a truth value or a text of JSON."""
    if value is None or isinstance(value, (bool, int, str)):
        return value if not isinstance(value, int) or abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return short(value) if math.isfinite(value) else str(value)
    return str(value)
