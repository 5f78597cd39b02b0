"""What a scaling means in virtual time."""

from __future__ import annotations

import pytest

from syne_hypersched.allocation.scaling import PUBLISHED_SCALING
from syne_hypersched.backends.virtual._speed import make_speed_up
from syne_hypersched.blackboxes import LearningCurve

CURVE = LearningCurve([{"epoch": 1}], [1.0], {1: 2.0, 2: 3.0})


def speed_ups(scaling, num_devices=8):
    speed_up = make_speed_up(scaling, num_devices)
    return [speed_up(CURVE, size) for size in range(1, num_devices + 1)]


def test_names():
    assert speed_ups("none") == [1] * 8
    assert speed_ups("linear") == list(range(1, 9))
    assert speed_ups("linear", 1) == [1]
    assert speed_ups("resnet18")[3] == PUBLISHED_SCALING["resnet18"][4]
    assert speed_ups("measured", 3) == [1.0, 1.5, 1.5]


def test_tables_and_callables():
    assert speed_ups({1: 1, 4: 2.5})[:4] == [1, 1.5, 2, 2.5]
    assert speed_ups({1: 1, 2: 1.5})[-1] == 1.5
    assert speed_ups(lambda size: size**0.5)[3] == 2


def test_what_is_not_measured_cannot_be_used():
    speed_up = make_speed_up("measured", 4)
    with pytest.raises(ValueError, match='scaling must not be "measured"'):
        speed_up(LearningCurve([{"epoch": 1}], [1.0]), 2)


@pytest.mark.parametrize(
    ("scaling", "error", "message"),
    [
        ("resnet", ValueError, "scaling must be one of 'none', 'linear', 'resnet18'"),
        (None, TypeError, "scaling must be"),
        (3, TypeError, "scaling must be"),
        ({2: 1.5}, ValueError, "entry for 1 device"),
        ({1: 1, 2: 0}, ValueError, "positive"),
        (lambda size: -1, ValueError, "positive"),
    ],
)
def test_a_scaling_that_makes_no_sense_is_an_error(scaling, error, message):
    with pytest.raises(error, match=message):
        make_speed_up(scaling, 4)
