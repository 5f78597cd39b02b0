from __future__ import annotations

import pytest
from syne_tune.config_space import (
    Categorical,
    Float,
    Integer,
    choice,
    finrange,
    lograndint,
    loguniform,
    ordinal,
    randint,
    uniform,
)

from syne_hypersched.blackboxes import infer_domain
from syne_hypersched.blackboxes._space import UnitCube


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        (["b", "a"], Categorical, "choice"),
        ([True, False], Categorical, "choice"),
        ([32, 64, 32], Categorical, "choice"),
        ([0.5, 0.5], Categorical, "choice"),
        ([1, True], Categorical, "choice"),
        (list(range(12)), Categorical, "choice"),
        (list(range(13)), Integer, "randint(0, 12)"),
        ([*range(1, 13), 100], Integer, "randint(1, 100)"),
        ([*range(1, 13), 101], Integer, "lograndint(1, 101)"),
        ([1, 2.5, *range(3, 20)], Float, "uniform(1, 19)"),
        (list(range(20)), Integer, "randint(0, 19)"),
        ([2**i for i in range(14)], Integer, "lograndint(1, 8192)"),
        ([0.1, 0.3], Float, "uniform(0.1, 0.3)"),
        ([0.001, 0.3], Float, "loguniform(0.001, 0.3)"),
        ([-0.001, 0.3], Float, "uniform(-0.001, 0.3)"),
    ],
)
def test_domains_of_columns(values, kind, text):
    domain = infer_domain(values)
    assert isinstance(domain, kind)
    assert str(domain).startswith(text) or kind is Categorical
    assert all(domain.is_valid(value) for value in values)


@pytest.mark.parametrize(
    ("domain", "rows", "value", "nearest"),
    [
        (uniform(0, 10), [0, 4, 10], 6.9, 1),
        (uniform(0, 10), [0, 4, 10], 7.1, 2),
        (uniform(0, 10), [4, 4, 5], 4, 0),
        (loguniform(1, 100), [1, 100], 9.0, 0),
        (loguniform(1, 100), [1, 100], 11.0, 1),
        (lograndint(1, 100), [1, 100], 9, 0),
        (finrange(1, 5, 5), [1, 5], 2.9, 0),
        (randint(3, 3), [3, 3], 3, 0),
        # Numbers to choose from have the distance of their ranks, in whatever order they are listed.
        (choice([1000, 1, 10]), [1, 1000], 4, 0),
        (choice([1000, 1, 10]), [1, 1000], 505, 1),
        (ordinal([1, 2, 512]), [2, 512], 250, 0),
        (choice(["a", "b", "c"]), ["a", "c"], "c", 1),
        (choice(["a", "b", "c"]), ["a", "c"], "b", 0),
        (choice([True, False]), [True, False], False, 1),
    ],
)
def test_the_nearest_row_on_the_scale_of_each_domain(domain, rows, value, nearest):
    cube = UnitCube({"x": domain, "constant": 7}, [{"x": row} for row in rows])
    assert cube.nearest({"x": value}) == nearest


def test_another_category_is_as_far_as_the_whole_range():
    cube = UnitCube(
        {"x": uniform(0, 1), "kind": choice(["a", "b"])}, [{"x": 0.0, "kind": "a"}, {"x": 1.0, "kind": "b"}]
    )
    assert cube.nearest({"x": 1.0, "kind": "a"}) == 0, "a tie, and the first one counts"
    assert cube.nearest({"x": 0.99, "kind": "b"}) == 1
    assert cube.nearest({"x": 0.49, "kind": "a"}) == 0
    cube = UnitCube(
        {"x": uniform(0, 1), "kind": choice(["a", "b"])}, [{"x": 0.02, "kind": "a"}, {"x": 1.0, "kind": "b"}]
    )
    assert cube.nearest({"x": 1.0, "kind": "a"}) == 0
    assert cube.nearest({"x": 0.0, "kind": "b"}) == 1


def test_the_scales_of_several_domains_are_alike():
    space = {"small": uniform(0, 1), "large": uniform(0, 1000)}
    cube = UnitCube(space, [{"small": 0.0, "large": 100.0}, {"small": 0.2, "large": 0.0}])
    assert cube.nearest({"small": 0.0, "large": 0.0}) == 0


def test_a_choice_among_numbers_spans_as_much_as_a_range():
    space = {"c": choice([1, 2, 3]), "x": uniform(0, 1)}
    cube = UnitCube(space, [{"c": 3, "x": 0.0}, {"c": 1, "x": 0.9}])
    assert cube.nearest({"c": 1, "x": 0.0}) == 1
