"""Finds metric and resource in the reports of a script, and compares learning curves. Pure functions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from syne_hypersched import checks
from syne_hypersched.contract import (
    ACCUMULATION_STEPS,
    BATCH_SIZE,
    EFFICIENCY,
    MAX_BATCH_SIZE,
    MIN_BATCH_SIZE,
    NOISE_SCALE,
    STEP_TIME_S,
    THROUGHPUT,
)

Reports = Sequence[Mapping[str, Any]]

#: Entries that are neither the metric nor the resource.
_OTHER = frozenset({
    ACCUMULATION_STEPS, BATCH_SIZE, EFFICIENCY, MAX_BATCH_SIZE, MIN_BATCH_SIZE, NOISE_SCALE, STEP_TIME_S, THROUGHPUT,
})  # fmt: skip
#: Usual names of the resource, and parts of usual metric names, the best ones first.
_RESOURCES = ("epoch", "epochs", "step", "steps", "iteration", "iter", "round", "resource", "global_step")
_METRICS = (
    "loss", "error", "err", "rmse", "mae", "mse", "perplexity", "ppl", "nll", "accuracy", "acc", "f1", "auc", "map",
    "iou", "bleu", "rouge", "reward", "return", "score",
)  # fmt: skip
#: First letters of words for held-out data in metric names, and words in names that are not metrics.
_HELD_OUT = ("val", "eval", "test", "dev")
_COSTS = frozenset({
    "time", "runtime", "walltime", "timestamp", "elapsed", "duration", "sec", "secs", "second", "seconds", "ms", "lr",
    "step", "steps", "memory", "mem", "gb", "mb", "throughput", "speed",
})  # fmt: skip


@dataclass(frozen=True)
class CurveNames:
    """Names of the resource and the metric in the reports; empty: none was found."""

    resource: str
    metric: str


def find_names(reports: Reports, resource: str | None, metric: str | None) -> CurveNames:
    """Finds the resource and the metric in the reports of one launch, unless they are given."""
    common = [name for name in reports[0] if all(name in report for report in reports)] if reports else []
    numbers = [name for name in common if all(checks.is_number(report[name]) for report in reports)]
    if resource is None:
        growing = [name for name in numbers if name not in _OTHER and why_no_resource(reports, name) == ""]
        named = [name for name in _RESOURCES if name in (growing or numbers)]
        resource = next(iter((*named, *growing)), "")
    if metric is None:
        known = {name: value for report in reversed(reports) for name, value in report.items()}
        first = dict.fromkeys(name for report in reports for name in report)
        others = [name for name in first if name not in _OTHER and name != resource and not _is_text(known[name])]
        metric = min(others, key=_metric_order, default="")
    return CurveNames(resource, metric)


def _metric_order(name: str) -> tuple[bool, bool, bool, bool, int]:
    """Sort key: names that look most like a metric come first."""
    words = [word for word in re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()) if word]
    places = [
        place
        for place, part in enumerate(_METRICS)
        if part in words or (len(part) > 3 and any(part in word for word in words))
    ]
    is_cost = bool(_COSTS & {*words}) or "learning_rate" in name.lower()
    is_held_out = any(word.startswith(_HELD_OUT) for word in words)
    is_training = any(word.startswith("train") for word in words)
    return is_cost, not (places and is_held_out), not is_held_out, is_training, min(places, default=len(_METRICS))


def level_sizes(reports: Reports, name: str) -> list[int]:
    """Number of successive reports at each level: training and validation may each have one."""
    levels = [report.get(name) if name else None for report in reports]
    sizes: list[int] = []
    for index, level in enumerate(levels):
        if index and name and level == levels[index - 1]:
            sizes[-1] += 1
        else:
            sizes.append(1)
    return sizes


def levels(reports: Reports, name: str) -> list[float]:
    """The numeric resource levels of reports, each once."""
    return list(dict.fromkeys(report[name] for report in reports if checks.is_number(report.get(name))))


def goes_back(reports: Reports, name: str) -> tuple[float, float] | None:
    """Two successive resource levels of one launch of which the second is lower; None: there are none."""
    found = [report[name] for report in reports if checks.is_number(report.get(name))]
    return next(((earlier, later) for earlier, later in pairwise(found) if later < earlier), None)


def _is_text(value: object) -> bool:
    return isinstance(value, (str, bool, list, dict))


def why_no_resource(reports: Reports, name: str) -> str:
    """Why an entry cannot be the resource level; empty if it can be."""
    levels = [report.get(name) for report in reports]
    for level in levels:
        if not checks.is_number(level) or not math.isfinite(level) or level != int(level) or level < 1:
            return f"{name} must be an integer of at least 1 in every report, but is {level!r} in one"
    # One level may have several reports.
    levels = [level for index, level in enumerate(levels) if not index or level != levels[index - 1]]
    if len(levels) == 1 < len(reports):
        return f"{name} must grow from report to report, but is always {_listed(levels)}"
    steps = {later - earlier for earlier, later in pairwise(levels)}  # type: ignore[operator]
    if any(step <= 0 for step in steps):
        return f"{name} must grow from report to report, but is {_listed(levels)}"
    if len(steps) > 1:
        return f"{name} must grow by the same number in each report, but is {_listed(levels)}"
    return ""


def why_no_metric(reports: Reports, name: str, resource: str = "") -> str:
    """Why an entry cannot be the metric; empty if it can be. Only one of several reports of a level must have it."""
    sizes, end = level_sizes(reports, resource), 0
    for number, size in enumerate(sizes):
        end += size
        is_cut = number + 1 == len(sizes) > 1 and size < max(sizes)  # the launch ended between two reports of a level
        together = reports[end - size : end]
        if not is_cut and not any(name in report for report in together):
            return f"{name} must be in every report, but is missing in one with {', '.join(together[-1])}"
        for report in together:
            if name in report and (not checks.is_number(report[name]) or not math.isfinite(report[name])):
                return f"{name} must be a finite number, but is {report[name]!r} in one report"
    return ""


def _listed(values: Sequence[object]) -> str:
    return ", ".join(f"{value:g}" if checks.is_number(value) else repr(value) for value in values)


def curve(reports: Reports, names: CurveNames) -> dict[float, float]:
    """The metric by resource level, where both are finite numbers. The first report of a level counts."""
    found: dict[float, float] = {}
    for report in reports:
        level, value = report.get(names.resource), report.get(names.metric)
        if checks.is_number(level) and checks.is_number(value) and math.isfinite(level) and math.isfinite(value):
            found.setdefault(float(level), float(value))
    return found


@dataclass(frozen=True)
class Apart:
    """The point at which two curves differ most."""

    level: float
    value: float
    expected: float

    @property
    def distance(self) -> float:
        """Absolute difference."""
        return abs(self.value - self.expected)


def apart(found: Mapping[float, float], expected: Mapping[float, float]) -> Apart | None:
    """The point at which two curves differ most; None: they have no common level."""
    pairs = [Apart(level, value, expected[level]) for level, value in found.items() if level in expected]
    return max(pairs, key=lambda pair: pair.distance, default=None)


def allowed(expected: Mapping[float, float], repeats: Sequence[Mapping[float, float]], tolerance: float) -> float:
    """How far a curve may be from the undisturbed curve.

    Parameters
    ----------
    expected
        The undisturbed curve.
    repeats
        Curves of other undisturbed launches: they show how much the script differs from run to run.
    tolerance
        Share of the range of the undisturbed curve.
    """
    noise = max((found.distance for other in repeats if (found := apart(other, expected))), default=0.0)
    values = list(expected.values())
    spread = max(values) - min(values) if values else 0.0
    rounding = 1e-6 * max(map(abs, values), default=0.0)
    return max(3 * noise, tolerance * spread, rounding)


def within_an_epoch(worst: Apart, expected: Mapping[float, float]) -> bool:
    """Whether the distance from the undisturbed curve is at most the change of that curve to a neighbouring level.

    On another number of devices, batch normalisation and dropout differ, and small differences grow.
    """
    levels = sorted(expected)
    here = levels.index(worst.level)
    near = levels[max(0, here - 1) : here + 2]
    return worst.distance <= max(abs(expected[level] - worst.expected) for level in near)
