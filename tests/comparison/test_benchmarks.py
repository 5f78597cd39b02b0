from __future__ import annotations

import math

import pytest

from syne_hypersched.comparison.benchmarks import benchmark_names, load_benchmark
from syne_hypersched.comparison.settings import TableFile
from tests.comparison.learning_curves import NUM_CONFIGS, NUM_EPOCHS


@pytest.fixture
def benchmark(table_path):
    return load_benchmark("table", TableFile(str(table_path), "error", True, elapsed_time_attr="seconds"))


def test_the_embedded_table_and_the_stand_in_have_names():
    assert "digits" in benchmark_names()
    assert "nasbench201-synthetic-cifar10" in benchmark_names()
    digits = load_benchmark("digits")
    assert (digits.metric, digits.do_minimize, digits.title) == ("val_accuracy", False, "digits")
    assert digits.problem.max_t >= 81


def test_a_synthetic_table_says_so():
    assert load_benchmark("nasbench201-synthetic-cifar10").title.endswith("(synthetic)")


def test_a_table_of_ones_own(benchmark):
    assert benchmark.title == "curves"
    assert benchmark.problem.max_t == NUM_EPOCHS
    assert sorted(benchmark.problem.config_space) == ["lr", "width"]
    assert benchmark.full_run_s == pytest.approx(NUM_EPOCHS * 2, rel=0.03)


def test_the_scale_of_regret_is_that_of_the_table(benchmark):
    scale = benchmark.regret_scale(seed=3)
    curves = [benchmark.table.learning_curve(row) for row in benchmark.table.configurations]
    errors = [[report["error"] for report in curve.reports] for curve in curves]
    assert scale.best == pytest.approx(min(map(min, errors)))
    assert scale.worst == pytest.approx(max(curve[0] for curve in errors))
    assert scale.best < scale.median < scale.worst
    assert scale.regret(math.nan) > 1


def test_points_are_the_rows_in_an_order_that_the_seed_decides(benchmark):
    points = benchmark.points(0, 4, 100.0, None)
    as_keys = [tuple(point.items()) for point in points]
    assert len(set(as_keys[:NUM_CONFIGS])) == NUM_CONFIGS
    assert set(as_keys[NUM_CONFIGS : 2 * NUM_CONFIGS]) == set(as_keys[:NUM_CONFIGS])
    assert benchmark.points(0, 4, 20.0, None) == points[: len(benchmark.points(0, 4, 20.0, None))]
    assert benchmark.points(1, 4, 100.0, None) != points
    assert len(benchmark.points(0, 4, 100.0, 7)) == 7


def test_names_that_are_not_known(table_path):
    with pytest.raises(ValueError, match="unknown benchmark 'digit': did you mean 'digits'"):
        load_benchmark("digit")
    with pytest.raises(ValueError, match="needs a file: --table FILE"):
        load_benchmark("table")
    with pytest.raises(ValueError, match="eror"):
        load_benchmark("table", TableFile(str(table_path), "eror", True, elapsed_time_attr="seconds"))
