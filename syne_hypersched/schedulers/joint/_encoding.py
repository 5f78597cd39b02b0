"""Configurations as rows of numbers, for the model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from syne_tune.config_space import (
    Categorical,
    Domain,
    FiniteRange,
    Float,
    Integer,
    Ordinal,
    Quantized,
    is_log_space,
    is_reverse_log_space,
)

Array: TypeAlias = npt.NDArray[np.float64]


class _Number:
    """A number. It is uniform in [0, 1] if its domain draws uniformly, either the value or its logarithm."""

    is_choice = False

    def __init__(self, domain: Float | Integer) -> None:
        sampler = domain.get_sampler()
        self._step = 1.0 if isinstance(domain, Integer) else 0.0
        if isinstance(sampler, Quantized):
            self._step, sampler = float(sampler.q), sampler.get_sampler()
        self._lower, self._upper = float(domain.lower), float(domain.upper)
        self._is_integer = isinstance(domain, Integer)
        self._is_log, self._is_reverse_log = is_log_space(domain), is_reverse_log_space(domain)
        if isinstance(domain.get_sampler(), Quantized):
            self._is_log = type(sampler).__name__ == "_LogUniform"
        self.size = math.inf if not self._step else 1 + (self._upper - self._lower) // self._step
        self._ends = self._inner(np.array([self._lower, self._upper]))

    def _inner(self, values: Array) -> Array:
        if self._is_log:
            return np.log(values)
        return -np.log1p(-np.minimum(values, 1 - 1e-12)) if self._is_reverse_log else values

    def _units(self, values: Array) -> Array:
        low, high = self._ends
        return np.asarray((self._inner(values) - low) / (high - low) if high > low else np.full(values.shape, 0.5))

    def to_unit(self, value: Any) -> float:
        return float(self._units(np.array(min(max(float(value), self._lower), self._upper))))

    def values(self, units: Array) -> Array:
        if self._is_integer and not self._is_log and self._step == 1:
            values = np.floor(self._lower + units * (self._upper - self._lower + 1))
        else:
            low, high = self._ends
            values = low + units * (high - low)
            values = np.exp(values) if self._is_log else -np.expm1(-values) if self._is_reverse_log else values
            if self._step:
                values = np.round(values / self._step) * self._step
        return np.asarray(np.clip(values, self._lower, self._upper))

    def snapped(self, units: Array) -> Array:
        """The units of the values that these units represent."""
        return self._units(self.values(units)) if self._step else units

    def from_unit(self, unit: float) -> Any:
        value = float(self.values(np.array([unit]))[0])
        return int(value) if self._is_integer else value


class _Ordered:
    """One of several ordered values, evenly spaced."""

    is_choice = False

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = list(values)
        self.size = float(len(self._values))

    def to_unit(self, value: Any) -> float:
        if value in self._values:
            index = self._values.index(value)
        else:
            index = int(np.argmin([abs(float(known) - float(value)) for known in self._values]))
        return (index + 0.5) / len(self._values)

    def _indices(self, units: Array) -> Array:
        return np.minimum(np.floor(units * len(self._values)), len(self._values) - 1)

    def snapped(self, units: Array) -> Array:
        return (self._indices(units) + 0.5) / len(self._values)

    def from_unit(self, unit: float) -> Any:
        return self._values[int(self._indices(np.array([unit]))[0])]


class _Choice(_Ordered):
    """One of several values without an order. Any two of them have the same distance."""

    is_choice = True

    def to_unit(self, value: Any) -> float:
        return (self._values.index(value) + 0.5) / len(self._values) if value in self._values else -1.0

    def corners(self, units: Array) -> Array:
        """A row for each unit, with a single 1 at its value. The 1 is at the end if the unit is none of the values."""
        number = len(self._values)
        indices = np.where(units < 0, number, self._indices(units))
        return np.asarray(np.eye(number + 1)[indices.astype(int)])


Encoded: TypeAlias = _Number | _Ordered | _Choice


def _encoded(domain: Domain) -> Encoded | None:
    if isinstance(domain, (Float, Integer)):
        return _Number(domain)
    if isinstance(domain, FiniteRange):
        return _Ordered(domain.values)
    if isinstance(domain, Ordinal):
        return _Ordered(domain.categories)
    return _Choice(domain.categories) if isinstance(domain, Categorical) else None


def has_order(config_space: Mapping[str, Any]) -> bool:
    """Whether any hyperparameter of a space is a number, or one of several ordered values."""
    encoding = Encoding(config_space)
    return not bool(encoding.is_choice.all())


class Encoding:
    """Encodes the hyperparameters of a space that have more than one value, each as a number from 0 to 1.

    Parameters
    ----------
    config_space
        Configuration space: names to domains or constants.
    """

    def __init__(self, config_space: Mapping[str, Any]) -> None:
        encoded = {
            name: kind
            for name, domain in config_space.items()
            if isinstance(domain, Domain) and (kind := _encoded(domain)) is not None and kind.size > 1
        }
        self.names = tuple(encoded)
        self._kinds = tuple(encoded.values())
        self.is_choice = np.array([kind.is_choice for kind in self._kinds], dtype=bool)
        self.size = math.prod(kind.size for kind in self._kinds)
        """Number of configurations; may be infinite."""

    def __len__(self) -> int:
        return len(self.names)

    def units(self, config: Mapping[str, Any]) -> Array:
        """A configuration as a row of numbers."""
        return np.array([kind.to_unit(config[name]) for name, kind in zip(self.names, self._kinds, strict=True)])

    def config(self, units: Array) -> dict[str, Any]:
        """The configuration that a row of numbers represents."""
        pairs = zip(self.names, self._kinds, units.tolist(), strict=True)
        return {name: kind.from_unit(unit) for name, kind, unit in pairs}

    def snapped(self, units: Array) -> Array:
        """Rows of numbers, rounded to the nearest configurations."""
        columns = [kind.snapped(units[:, column]) for column, kind in enumerate(self._kinds)]
        return np.stack(columns, axis=1)

    def around(self, centre: Array, number: int, random_state: np.random.RandomState) -> Array:
        """Neighbours of a row, not yet snapped: some hyperparameters change, and numbers change only a little."""
        size = len(self)
        changed = random_state.uniform(size=(number, size)) < max(0.4, min(1.0, 2 / size))
        moved = np.abs(centre + random_state.normal(0.0, 0.12, size=(number, size)))
        moved = np.where(moved > 1, 2 - moved, moved)
        moved = np.where(self.is_choice, random_state.uniform(size=(number, size)), moved)
        return np.clip(np.where(changed, moved, centre), 0.0, 1.0)

    def positions(self, rows: Array, lengths: Array) -> Array:
        """Points whose squared distances are the sums of :meth:`squares`, each divided by the squared length scale.

        Parameters
        ----------
        rows
            Rows of numbers.
        lengths
            Length scale of each hyperparameter.

        Returns
        -------
        ndarray of shape (len(rows), coordinates)
            A number has one coordinate, and a choice has one for each of its values.
        """
        scaled = rows / lengths
        if not self.is_choice.any():
            return scaled
        parts = [
            kind.corners(rows[:, column]) / (math.sqrt(2) * lengths[column])
            if isinstance(kind, _Choice)
            else scaled[:, column, None]
            for column, kind in enumerate(self._kinds)
        ]
        return np.concatenate(parts, axis=1)

    def squares(self, rows: Array, others: Array) -> Array:
        """Squared distances between rows and others in each hyperparameter. Two different choices have distance 1.

        Returns
        -------
        ndarray of shape (len(self), len(rows), len(others))
            The squared distances.
        """
        # In place: a second array of this size would cost more than the calculation.
        squares = rows.T[:, :, None] - others.T[:, None, :]
        for column, is_choice in enumerate(self.is_choice.tolist()):
            if is_choice:
                np.not_equal(squares[column], 0, out=squares[column], casting="unsafe")
            else:
                np.square(squares[column], out=squares[column])
        return np.asarray(squares)
