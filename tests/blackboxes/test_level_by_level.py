from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from syne_tune.config_space import randint, uniform

from syne_hypersched.blackboxes import LearningCurve, learning_curve
from syne_hypersched.blackboxes._level_by_level import with_levels


class OneLevel:
    """Gives one level at a time, as a mapping or as a row."""

    objectives_names = ("loss", "elapsed_s")

    def __init__(self, as_mapping: bool, fidelity_space: Any = None) -> None:
        self.fidelity_space = {"epoch": randint(2, 4)} if fidelity_space is None else fidelity_space
        self.configuration_space = {"x": uniform(0, 1)}
        self._as_mapping = as_mapping

    def objective_function(
        self, configuration: Mapping[str, Any], fidelity: Mapping[str, int], seed: int | None
    ) -> Any:
        values = {"elapsed_s": 3.0 * fidelity["epoch"], "loss": configuration["x"] / fidelity["epoch"] + (seed or 0)}
        return values if self._as_mapping else np.array([values[name] for name in self.objectives_names])


@pytest.mark.parametrize("as_mapping", [True, False])
def test_all_levels_are_asked_for_one_after_the_other(as_mapping: bool) -> None:
    blackbox = with_levels(OneLevel(as_mapping))
    assert (blackbox.fidelity_values, blackbox.fidelity_name()) == ((2, 3, 4), "epoch")
    found = blackbox.objective_function({"x": 0.5}, seed=1)
    assert found == pytest.approx(np.array([[1.25, 6.0], [1 + 0.5 / 3, 9.0], [1.125, 12.0]]))
    curve = learning_curve(blackbox, {"x": 0.5}, elapsed_time_attr="elapsed_s", seed=1)
    assert [report["epoch"] for report in curve.reports] == [2, 3, 4]
    assert list(curve.epoch_s) == [6.0, 3.0, 3.0]


def test_a_blackbox_that_knows_its_levels_is_left_alone() -> None:
    class HasLevels:
        fidelity_values = (1, 2)

    class HasCurves:
        def learning_curve(self, config: Mapping[str, Any], max_resource: float | None, seed: int) -> LearningCurve:
            raise NotImplementedError

    for blackbox in (HasLevels(), HasCurves()):
        assert with_levels(blackbox) is blackbox


@pytest.mark.parametrize("space", [{}, {"epoch": uniform(0, 1)}, {"epoch": randint(1, 3), "width": randint(1, 3)}])
def test_levels_that_cannot_be_counted_are_refused(space: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="fidelity_space of one domain of integers"):
        with_levels(OneLevel(as_mapping=True, fidelity_space=space))
