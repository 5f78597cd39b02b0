from __future__ import annotations

import math

import numpy as np
import pytest

from syne_hypersched.blackboxes import LearningCurve, learning_curve
from syne_hypersched.blackboxes._curve import LEAST_EPOCH_S, plain_number


class Blackbox:
    """As one of Syne Tune's, with a row of objectives for each level."""

    def __init__(self, rows, levels=None):
        self.configuration_space = {"lr": None}
        self.objectives_names = ["loss", "seconds"]
        self.rows = rows
        self.fidelity_values = list(range(1, len(rows) + 1)) if levels is None else levels
        self.asked = []

    def fidelity_name(self):
        return "epoch"

    def objective_function(self, configuration, fidelity=None, seed=None):
        self.asked.append((configuration, seed))
        return np.array(self.rows)


def look_up(blackbox, config=None, **options):
    return learning_curve(blackbox, config or {"lr": 0.1}, **{"elapsed_time_attr": "seconds", **options})


def test_seconds_so_far_become_seconds_of_each_epoch():
    blackbox = Blackbox([[0.5, 2.0], [0.25, 5.0]], np.array([1.0, 2.0]))
    curve = look_up(blackbox, {"lr": 0.1, "other": 7}, seed=3)
    assert curve.reports == ({"loss": 0.5, "epoch": 1}, {"loss": 0.25, "epoch": 2})
    assert curve.epoch_s == (2.0, 3.0)
    assert type(curve.reports[0]["epoch"]) is int
    assert blackbox.asked == [({"lr": 0.1}, 3)], "what is not of its space is left out"


def test_times_that_do_not_increase_are_made_to():
    curve = look_up(Blackbox([[1.0, 3.0], [1.0, 2.0], [1.0, 3.5]]))
    assert curve.epoch_s == (3.0, LEAST_EPOCH_S, 0.5)


def test_the_curve_ends_with_its_times_and_a_metric_may_be_nan():
    curve = look_up(Blackbox([[math.nan, 1.0], [0.5, 2.0], [0.4, math.nan], [0.3, 9.0]]))
    assert len(curve.reports) == len(curve.epoch_s) == 2
    assert math.isnan(curve.reports[0]["loss"])


@pytest.mark.parametrize(("max_resource", "length"), [(None, 3), (3, 3), (9, 3), (2, 2), (2.5, 2), (0, 0)])
def test_a_trial_may_end_earlier(max_resource, length):
    blackbox = Blackbox([[0.5, 1.0], [0.4, 2.0], [0.3, 3.0]])
    curve = look_up(blackbox, max_resource=max_resource)
    assert len(curve.reports) == len(curve.epoch_s) == length


def test_a_shorter_curve_keeps_its_speed_up():
    curve = LearningCurve([{"epoch": 1}, {"epoch": 2}], [1.0, 2.0], {2: 1.5})
    assert curve.up_to(1, "epoch") == LearningCurve([{"epoch": 1}], [1.0], {2: 1.5})
    assert curve.up_to(2, "epoch") is curve
    empty = LearningCurve((), ())
    assert empty.up_to(1, "epoch") is empty


def test_a_blackbox_that_has_curves_is_asked_for_them():
    class Own:
        def learning_curve(self, config, max_resource, seed):
            return config, max_resource, seed

    assert look_up(Own(), {"a": 1}, max_resource=5, seed=2) == ({"a": 1}, 5, 2)


@pytest.mark.parametrize(
    ("blackbox", "options", "message"),
    [
        (Blackbox([[0.5, 1.0]]), {"elapsed_time_attr": "s"}, r"elapsed_time_attr must be one of loss, seconds, .* 's'"),
        (Blackbox([[0.5, math.nan]]), {}, r"must give seconds under 'seconds', but has none for \{'lr': 0.1\}"),
    ],
)
def test_what_is_no_blackbox_with_times(blackbox, options, message):
    with pytest.raises(ValueError, match=message):
        look_up(blackbox, **options)


def test_a_blackbox_without_levels():
    blackbox = Blackbox([[0.5, 1.0]])
    blackbox.fidelity_values = None
    with pytest.raises(ValueError, match="must have resource levels"):
        look_up(blackbox)


def test_numbers_are_pythons_own():
    assert [plain_number(number) for number in (np.int64(3), 2.0, 2.5)] == [3, 2, 2.5]
    assert type(plain_number(np.float32(4.0))) is int
    assert type(plain_number(np.float32(0.5))) is float
