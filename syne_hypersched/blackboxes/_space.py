"""Configuration spaces of tables: domains inferred from columns, and the distance between configurations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from syne_tune.config_space import Categorical, Domain, choice, lograndint, loguniform, randint, uniform

from syne_hypersched import checks

MOST_CHOICES = 12
"""An integer column with at most this many different values becomes a choice among them."""

LOG_RATIO = 100.0
"""A column of positive numbers gets a logarithmic scale if its largest value is so many times its smallest value."""


def infer_domain(values: Sequence[Any]) -> Domain:
    """The domain of a column of a table.

    Strings, booleans, constant columns, and integers with at most :const:`MOST_CHOICES` different values become a
    choice among the values that occur. Other integers become ``randint`` and other numbers ``uniform``, from the
    smallest to the largest value. If all are positive and span more than two powers of ten, they become ``lograndint``
    and ``loguniform``.

    Raises
    ------
    TypeError
        ``values`` is not a list, or its values cannot be sorted, such as lists, or strings together with numbers.
    ValueError
        ``values`` is empty.
    """
    if isinstance(values, (str, bytes, Mapping)) or not checks.is_iterable(values):
        raise TypeError(f"values must be a list of the values of a column, but got {values!r}")
    values = list(values)
    try:
        distinct = sorted(set(values))
    except TypeError:
        raise TypeError(f"values must be all text, all truth values or all numbers, but got {values!r:.200}") from None
    if not distinct:
        raise ValueError("values must have at least one value, but got none")
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct)
    is_integer = is_number and all(isinstance(value, int) for value in distinct)
    if not is_number or len(distinct) == 1 or (is_integer and len(distinct) <= MOST_CHOICES):
        return choice(distinct)
    low, high = distinct[0], distinct[-1]
    is_log = low > 0 and high > LOG_RATIO * low
    if is_integer:
        return lograndint(low, high) if is_log else randint(low, high)
    return loguniform(low, high) if is_log else uniform(low, high)


class UnitCube:
    """Configurations as points, used to find the row of a table that is nearest to a configuration.

    A numerical domain spans [0, 1] on its own scale (linear or logarithmic). A choice among numbers is spread evenly
    over [0, 1] by rank. Two different values of any other choice have distance 1.
    """

    def __init__(self, space: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
        self._domains = {name: domain for name, domain in space.items() if isinstance(domain, Domain)}
        self._points = np.array([self._point(row) for row in rows], dtype=np.float64)

    def nearest(self, config: Mapping[str, Any]) -> int:
        """Index of the row nearest to a configuration; in a tie, the first one."""
        difference = self._points - np.array(self._point(config))
        return int(np.argmin(np.einsum("ij,ij->i", difference, difference)))

    def _point(self, config: Mapping[str, Any]) -> list[float]:
        return [x for name, domain in self._domains.items() for x in _coordinates(domain, config[name])]


def _coordinates(domain: Domain, value: Any) -> list[float]:
    if isinstance(domain, Categorical):
        categories = list(domain.categories)
        if all(isinstance(category, int | float) and not isinstance(category, bool) for category in categories):
            ordered = sorted(categories)
            positions = [i / max(1, len(ordered) - 1) for i in range(len(ordered))]
            return [float(np.interp(float(value), ordered, positions))]
        return [math.sqrt(0.5) * (value == category) for category in categories]
    low, high = float(domain.lower), float(domain.upper)
    if high == low:
        return [0.0]
    if _is_log(domain):
        return [math.log(max(float(value), 1e-300) / low) / math.log(high / low)]
    return [(float(value) - low) / (high - low)]


def _is_log(domain: Domain) -> bool:
    # A FiniteRange has no sampler, and the other domains do not have the attribute.
    return bool(getattr(domain, "log_scale", False)) or "Log" in type(domain.get_sampler()).__name__
