"""Learning curves: the reports and epoch times of a simulated trial, from any blackbox."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from syne_hypersched import checks

LEAST_EPOCH_S = 1e-3
"""Minimum time between two reports (s), used if the times of a blackbox (usually a surrogate) do not increase."""


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """The reports of one configuration that trains on one device.

    >>> reports = [{"epoch": 1, "loss": 0.9}, {"epoch": 2, "loss": 0.7}]
    >>> curve = LearningCurve(reports, epoch_s=[2.0, 2.0], speed_up={1: 1.0, 2: 1.8})
    >>> curve.up_to(1, "epoch").reports
    [{'epoch': 1, 'loss': 0.9}]

    Parameters
    ----------
    reports
        One report for each resource level, ascending: the level and the metrics as plain numbers, without times.
    epoch_s
        Seconds of training between each report and the previous one, on one device; all positive.
    speed_up
        Measured speed-up of this configuration by number of devices, if the blackbox has it.
    """

    reports: Sequence[Mapping[str, Any]]
    epoch_s: Sequence[float]
    speed_up: Mapping[int, float] | None = None

    def up_to(self, max_resource: float | None, time_attr: str) -> LearningCurve:
        """The curve of a trial that ends by itself at ``max_resource``."""
        if max_resource is None or not self.reports or self.reports[-1][time_attr] <= max_resource:
            return self
        length = sum(report[time_attr] <= max_resource for report in self.reports)
        return LearningCurve(self.reports[:length], self.epoch_s[:length], self.speed_up)


def learning_curve(
    blackbox: Any,
    config: Mapping[str, Any],
    *,
    elapsed_time_attr: str,
    max_resource: float | None = None,
    seed: int = 0,
) -> LearningCurve:
    """Looks up a configuration in a blackbox.

    Parameters
    ----------
    blackbox
        A :class:`~syne_hypersched.blackboxes.TableBlackbox`, or any blackbox of Syne Tune: an object with
        ``configuration_space``, ``fidelity_values``, ``fidelity_name()``, ``objectives_names`` and
        ``objective_function(configuration, fidelity=None, seed=None)``.
    config
        The configuration. Entries that are not in the blackbox's configuration space are ignored.
    elapsed_time_attr
        The objective with the seconds trained so far. If times do not increase, which can happen with surrogates, they
        are made increasing.
    max_resource
        The resource level at which the trial ends by itself; by default the last one of the blackbox.
    seed
        Index of the repetition, if the blackbox has several.

    Returns
    -------
    LearningCurve
        The curve ends with the times: final levels without a finite time are left out.

    Raises
    ------
    TypeError
        ``config`` is not a dictionary, ``max_resource`` not a number, or ``seed`` not an integer.
    ValueError
        The blackbox has no such objective, no levels, or no time for this configuration.
    """
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be a dictionary, but got {config!r}")
    if max_resource is not None and not checks.is_number(max_resource):
        raise TypeError(f"max_resource must be a number or None, but got {max_resource!r}")
    seed = checks.integer("seed", seed)
    if hasattr(blackbox, "learning_curve"):
        curve: LearningCurve = blackbox.learning_curve(config, max_resource=max_resource, seed=seed)
        return curve
    names = list(blackbox.objectives_names)
    if elapsed_time_attr not in names:
        raise ValueError(f"elapsed_time_attr must be one of {', '.join(names)}, but got {elapsed_time_attr!r}")
    if blackbox.fidelity_values is None:
        raise ValueError("blackbox must have resource levels (fidelity_values), but has none")
    space = blackbox.configuration_space
    known = {name: config[name] for name in config if name in space}
    values = np.asarray(blackbox.objective_function(known, seed=seed), dtype=float)
    column = names.index(elapsed_time_attr)
    time_attr = blackbox.fidelity_name()
    reports, epoch_s, elapsed_s = [], [], 0.0
    for level, row in zip(blackbox.fidelity_values, values.tolist(), strict=True):
        if not math.isfinite(row[column]):
            break
        report = {name: value for name, value in zip(names, row, strict=True) if name != elapsed_time_attr}
        reports.append(report | {time_attr: plain_number(level)})
        epoch_s.append(max(row[column] - elapsed_s, LEAST_EPOCH_S))
        elapsed_s = max(elapsed_s, row[column])
    if not reports:
        raise ValueError(f"blackbox must give seconds under {elapsed_time_attr!r}, but has none for {known}")
    return LearningCurve(tuple(reports), tuple(epoch_s)).up_to(max_resource, time_attr)


def plain_number(number: Any) -> int | float:
    """The number as a Python ``int`` if it is an integer, otherwise as a ``float``."""
    value = float(number)
    return int(value) if value.is_integer() else value
