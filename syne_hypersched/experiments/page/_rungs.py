"""The rungs of a run: at which levels trials are compared, and how they did there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import quantiles
from typing import Any

from syne_hypersched.rungs import rung_levels as known_levels

#: Most values of a rung that are shown one by one.
_MOST_VALUES = 300
_MOST_LEVELS = 60


def rung_levels(metadata: Mapping[str, Any]) -> tuple[float, ...]:
    """The levels of the first bracket and the last level, as far as the scheduler has stored what they follow from.

    Parameters
    ----------
    metadata
        Content of ``metadata.json``; ``scheduler_kwargs`` may have ``grace_period``, ``reduction_factor`` and
        ``max_t``.
    """
    options = metadata.get("scheduler_kwargs")
    if not isinstance(options, Mapping):
        return ()
    try:
        levels = known_levels(options["grace_period"], options["reduction_factor"], options["max_t"])
        return (*levels, options["max_t"])[-_MOST_LEVELS:]
    except (KeyError, TypeError, ValueError):
        return ()


def describe_rung(level: float, values: Mapping[int, float | None], furthest: Mapping[int, float]) -> dict[str, Any]:
    """A rung in numbers.

    Parameters
    ----------
    level
        The resource level.
    values
        The metric of each trial that has reached it.
    furthest
        The highest level that each trial has reached.
    """
    known = sorted((value, trial_id) for trial_id, value in values.items() if value is not None)
    numbers = [value for value, _ in known]
    step = max(1, math.ceil(len(known) / _MOST_VALUES))
    shown = known[::step]
    return {
        "level": level,
        "count": len(values),
        "further": sum(furthest.get(trial_id, 0.0) > level for trial_id in values),
        "quartiles": quantiles(numbers, n=4, method="inclusive") if len(numbers) > 1 else None,
        "range": [numbers[0], numbers[-1]] if numbers else None,
        "values": [[trial_id, value, furthest.get(trial_id, 0.0) > level] for value, trial_id in shown],
    }
