from __future__ import annotations

import pytest

from syne_hypersched.experiments.page._rungs import describe_rung, rung_levels


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        ({"grace_period": 1, "reduction_factor": 3, "max_t": 9}, (1, 3, 9)),
        ({"grace_period": 2, "reduction_factor": 2, "max_t": 9}, (2, 4, 8, 9)),
        ({"grace_period": 1, "reduction_factor": 3}, ()),
        ({"grace_period": None, "reduction_factor": 3, "max_t": 9}, ()),
        ({"grace_period": 1, "reduction_factor": 1, "max_t": 9}, ()),
        ("no options", ()),
    ],
)
def test_the_levels_follow_from_the_options_of_the_scheduler(options, levels):
    assert rung_levels({"scheduler_kwargs": options}) == levels
    assert rung_levels({}) == ()


def test_of_many_levels_the_highest_are_shown():
    levels = rung_levels({"scheduler_kwargs": {"grace_period": 1, "reduction_factor": 1.1, "max_t": 1000}})
    assert len(levels) == 60
    assert levels[-1] == 1000
    assert levels[-2] > 900


def test_a_rung_in_numbers():
    values = {0: 0.5, 1: 0.1, 2: None, 3: 0.3, 4: 0.2, 5: 0.4}
    assert describe_rung(3, values, {0: 3, 1: 9, 2: 4, 4: 3.5}) == {
        "level": 3,
        "count": 6,
        "further": 3,
        "quartiles": [0.2, 0.3, 0.4],
        "range": [0.1, 0.5],
        "values": [[1, 0.1, True], [4, 0.2, True], [3, 0.3, False], [5, 0.4, False], [0, 0.5, False]],
    }


@pytest.mark.parametrize(("values", "span"), [({}, None), ({0: None}, None), ({0: 0.5}, [0.5, 0.5])])
def test_few_values_have_no_quartiles(values, span):
    rung = describe_rung(1, values, {})
    assert rung["quartiles"] is None
    assert rung["range"] == span


def test_of_many_values_some_are_shown_evenly():
    rung = describe_rung(1, {index: float(index) for index in range(601)}, {})
    assert rung["count"] == 601
    assert [value for _, value, _ in rung["values"]] == list(range(0, 601, 3))
    assert len(describe_rung(1, {index: float(index) for index in range(300)}, {})["values"]) == 300
