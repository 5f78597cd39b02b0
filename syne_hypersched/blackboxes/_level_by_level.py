"""Blackboxes that return only one resource level per call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from syne_tune.config_space import Integer

if TYPE_CHECKING:
    import numpy.typing as npt


def with_levels(blackbox: Any) -> Any:
    """The blackbox itself, or a view of it that returns all resource levels in one call.

    Raises
    ------
    ValueError
        The blackbox has no resource levels, or several kinds of them.
    """
    knows_levels = hasattr(blackbox, "learning_curve") or getattr(blackbox, "fidelity_values", None) is not None
    return blackbox if knows_levels else LevelByLevel(blackbox)


class LevelByLevel:
    """A view of a blackbox that returns only one level per call. The view returns all levels of the fidelity space.

    Blackboxes from Syne Tune's ``from_function`` are of this kind.

    Parameters
    ----------
    blackbox
        The blackbox. Its ``fidelity_space`` must have one domain of integers.

    Raises
    ------
    ValueError
        The blackbox has no resource levels, or several kinds of them.
    """

    def __init__(self, blackbox: Any) -> None:
        space = getattr(blackbox, "fidelity_space", None) or {}
        domains = [(domain.lower, domain.upper) for domain in space.values() if isinstance(domain, Integer)]
        if len(space) != 1 or len(domains) != 1:
            raise ValueError(f"blackbox must have a fidelity_space of one domain of integers, but has {space!r}")
        ((lower, upper),) = domains
        self.fidelity_values = tuple(range(lower, upper + 1))
        self.configuration_space = blackbox.configuration_space
        self.objectives_names = list(blackbox.objectives_names)
        self._blackbox = blackbox
        (self._fidelity_name,) = space

    def fidelity_name(self) -> str:
        """Name of the resource level."""
        return str(self._fidelity_name)

    def objective_function(
        self, configuration: Mapping[str, Any], fidelity: None = None, seed: int | None = None
    ) -> npt.NDArray[np.float64]:
        """All levels of a configuration, as an array of shape ``(levels, objectives)``."""
        rows = []
        for level in self.fidelity_values:
            row = self._blackbox.objective_function(configuration, {self._fidelity_name: level}, seed)
            rows.append([row[name] for name in self.objectives_names] if isinstance(row, Mapping) else row)
        return np.array(rows, dtype=float)
