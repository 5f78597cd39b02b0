from __future__ import annotations

import math

import pytest

from syne_hypersched.comparison.benchmarks import MOST_TRIALS, NOISE, benchmark_names, load_benchmark
from syne_hypersched.comparison.presets import make_study
from syne_hypersched.comparison.runner import check_study, run_study
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


def test_noise_is_added_to_what_is_reported_and_regret_is_without_it(table_path):
    table = TableFile(str(table_path), "error", True, elapsed_time_attr="seconds")
    smooth, noisy = (load_benchmark(name, table) for name in ("table", "table" + NOISE))
    assert (noisy.title, noisy.metric, noisy.true_metric) == ("curves+noise", "error", "true_error")
    assert noisy.problem == smooth.problem
    assert noisy.regret_scale(seed=3) == smooth.regret_scale(seed=0)
    study = make_study(
        benchmarks=["table" + NOISE], table=table, schedulers=["random"], num_devices=[2], deadlines=["1x"], seeds=[1]
    )
    (reading,) = run_study(study).readings_of(study.scenarios[0], "random", study.deadlines[0])
    reported = [
        (report["error"], report["true_error"])
        for row in noisy.table.configurations
        for report in noisy.table.learning_curve(row, seed=1).reports
    ]
    true = next(true for value, true in reported if value == reading.value)
    assert true != reading.value
    assert reading.regret == pytest.approx(smooth.regret_scale(0).regret(true))


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


def test_a_metric_without_any_value_is_refused(tmp_path):
    table = tmp_path / "curves.csv"
    table.write_text("lr,epoch,error,elapsed_s\n1,1,,1\n1,2,nan,2\n2,1,inf,1\n2,2,,2\n")
    with pytest.raises(ValueError, match="'error' of curves must have at least one finite value, but has none"):
        load_benchmark("table", TableFile(str(table), "error", True))


FAMILIES = ("hypersched", "hypersched-published", "asha", "asha-promotion", "pasha", "i-epoch", "random", "syne-asha")


def write_table(path, levels, first_s=1.0, epoch_s=1.0):
    lines = ["lr,epoch,error,elapsed_s"]
    for lr in range(1, 7):
        lines += [f"{lr},{level},{lr + 1 / (k + 1)},{first_s + k * epoch_s}" for k, level in enumerate(levels)]
    path.write_text("\n".join(lines) + "\n")
    return TableFile(str(path), "error", True)


@pytest.mark.parametrize(
    ("levels", "first_s", "max_t"),
    [
        (range(5), 0.0, 4),  # a baseline before training, which takes no time
        ([0.1, 0.2, 0.3, 0.4, 0.9], 1.0, 0.9),
        ([1.5, 2.5, 3.5], 1.0, 3.5),
        ([1.0, 2.0, 9.0], 1.0, 9),
    ],
)
def test_levels_of_any_kind_can_be_compared(levels, first_s, max_t, tmp_path):
    table = write_table(tmp_path / "curves.csv", levels, first_s)
    problem = load_benchmark("table", table).problem
    assert problem.max_t == max_t
    assert type(problem.max_t) is type(max_t)
    study = make_study(
        benchmarks=("table",), table=table, schedulers=FAMILIES,
        deadlines=("4x",), num_devices=(4,), seeds=(0,),
    )  # fmt: skip
    (scenario,) = study.scenarios
    results = run_study(study)
    for scheduler in scenario.schedulers:
        (reading,) = results.readings_of(scenario, scheduler, study.deadlines[0])
        # Others may well end before one of their trials has got to the last level.
        assert scheduler not in ("hypersched", "asha", "random") or max(reading.top_lengths) == max_t
        assert reading.best_resource in levels


def test_points_of_curves_that_begin_at_once(tmp_path):
    """A baseline may take no time; then the first epoch says how many trials a run can start."""
    benchmark = load_benchmark("table", write_table(tmp_path / "zero.csv", range(3), 0.0))
    assert len(benchmark.points(0, 2, 10.0, None)) == 2 * 11
    brief = load_benchmark("table", write_table(tmp_path / "brief.csv", range(3), 1e-300))
    assert len(brief.points(0, 2, 10.0, None)) == MOST_TRIALS


@pytest.mark.parametrize(("levels", "grace_period"), [([0.1, 0.9], False), ([1], False), ([1, 2], True)])
def test_the_schedulers_of_a_preset_are_those_that_can_decide(levels, grace_period, tmp_path):
    study = make_study(benchmarks=("table",), table=write_table(tmp_path / "curves.csv", levels))
    (scenario,) = study.scenarios
    check_study(study)
    assert ("asha:grace_period=2" in scenario.schedulers) == grace_period
    assert {"hypersched", "asha", "pasha"} <= set(scenario.schedulers)
