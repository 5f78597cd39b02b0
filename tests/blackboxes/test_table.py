"""Learning curves in memory: looking up, regret, Syne Tune's interface, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from syne_tune.config_space import choice, loguniform, randint, uniform

from syne_hypersched.blackboxes import TableBlackbox, learning_curve

SPACE = {"lr": loguniform(1e-4, 1.0), "layers": choice([1, 2, 4]), "kind": choice(["a", "b"])}
ROWS = [
    {"lr": 0.001, "layers": 1, "kind": "a"},
    {"lr": 0.1, "layers": 2, "kind": "b"},
    {"lr": 0.5, "layers": 4, "kind": "a"},
]
LOSS = np.array([[3.0, 2.0, 1.5], [2.5, 2.4, 2.3], [4.0, math.nan, 5.0]])
ELAPSED_S = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 3.0, math.nan]])


def make(**kwargs) -> TableBlackbox:
    given = {"metrics": {"loss": LOSS}, "elapsed_s": ELAPSED_S, "configuration_space": SPACE}
    return TableBlackbox(ROWS, **{**given, **kwargs})


class TestLookup:
    def test_a_curve_has_plain_numbers_and_the_seconds_of_each_epoch(self):
        curve = make().learning_curve(ROWS[1] | {"epochs": 81})
        assert curve.reports == ({"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 2.4}, {"epoch": 3, "loss": 2.3})
        assert curve.epoch_s == (2.0, 2.0, 2.0)
        assert type(curve.reports[0]["loss"]) is float
        assert type(curve.reports[0]["epoch"]) is int
        assert curve.speed_up is None

    def test_a_curve_ends_where_its_times_do_and_may_report_nan(self):
        curve = make().learning_curve(ROWS[2])
        assert [report["epoch"] for report in curve.reports] == [1, 2]
        assert math.isnan(curve.reports[1]["loss"])
        assert curve.epoch_s == (1.0, 2.0)

    def test_a_trial_may_end_earlier(self):
        assert len(make().learning_curve(ROWS[0], max_resource=2).reports) == 2
        assert len(make().learning_curve(ROWS[0], max_resource=99).reports) == 3

    def test_nearest_row_on_the_scale_of_each_domain(self):
        table = make()
        assert table.row({"lr": 0.002, "layers": 1, "kind": "a"}) == 0
        # Another kind is as far as from one end of a scale to the other.
        assert table.row({"lr": 0.001, "layers": 1, "kind": "b"}) == 1
        assert table.row({"lr": 0.08, "layers": 2, "kind": "b"}) == 1
        # Half way between 0.001 and 0.5 is 0.25 on a linear scale, but 0.022 on this one.
        assert table.row({"lr": 0.2, "layers": 4, "kind": "a"}) == 2

    @given(x=st.floats(0, 1), y=st.integers(1, 100))
    def test_nearest_is_what_brute_force_finds(self, x, y):
        random_state = np.random.RandomState(0)
        xs, ys = random_state.rand(50).tolist(), (random_state.permutation(100)[:50] + 1).tolist()
        rows = [{"x": a, "y": b} for a, b in zip(xs, ys, strict=True)]
        table = TableBlackbox(
            rows,
            {"m": np.zeros((50, 1))},
            np.ones((50, 1)),
            configuration_space={"x": uniform(0, 1), "y": randint(1, 100)},
        )
        distances = [(row["x"] - x) ** 2 + ((row["y"] - y) / 99) ** 2 for row in rows]
        assert distances[table.row({"x": x, "y": y})] == pytest.approx(min(distances), abs=1e-12)

    def test_exact_lookup_refuses_other_configurations(self):
        table = make(lookup="exact")
        assert table.row(ROWS[2]) == 2
        with pytest.raises(ValueError, match="config must be one of the 3 configurations of 'table'"):
            table.row({"lr": 0.002, "layers": 1, "kind": "a"})

    def test_a_missing_hyperparameter_is_named(self):
        with pytest.raises(ValueError, match="config must have the hyperparameter 'kind'"):
            make().row({"lr": 0.1, "layers": 1})

    def test_measured_speed_up_goes_with_the_curve(self):
        table = make(speed_up=[{1: 1.0, 2: 1.9}, None, {1: 1.0, 2: 0.7}])
        assert [table.learning_curve(row).speed_up for row in ROWS] == [{1: 1.0, 2: 1.9}, None, {1: 1.0, 2: 0.7}]

    def test_repetitions(self):
        table = make(metrics={"loss": np.stack([LOSS, LOSS + 1], axis=1)}, elapsed_s=np.stack([ELAPSED_S] * 2, axis=1))
        assert table.num_seeds == 2
        assert table.learning_curve(ROWS[0], seed=1).reports[0]["loss"] == 4.0
        with pytest.raises(ValueError, match="seed must be from 0 to 1"):
            table.learning_curve(ROWS[0], seed=2)

    def test_a_table_with_a_single_hyperparameter(self):
        table = TableBlackbox([{"x": 1}, {"x": 2}], {"m": [[1.0], [2.0]]}, [[1.0], [1.0]])
        assert table.learning_curve({"x": 2}).reports == ({"epoch": 1, "m": 2.0},)


class TestRegret:
    def test_best_median_and_time(self):
        table = make()
        assert table.best("loss", do_minimize=True) == 1.5
        assert table.best("loss", do_minimize=False) == 4.0
        assert table.median_value("loss", do_minimize=True) == 2.3
        assert table.full_run_s() == 3.0
        assert [table.full_run_s(row) for row in range(3)] == [3.0, 6.0, 3.0]

    def test_where_most_configurations_diverge_the_median_is_that_of_the_others(self):
        losses = np.array([[3.0, 1.0], [2.0, 2.0], *[[np.nan, np.nan]] * 3])
        table = TableBlackbox([{"x": x} for x in range(5)], {"m": losses}, np.ones((5, 2)).cumsum(axis=1))
        assert table.median_value("m", do_minimize=True) == 1.5
        assert table.median_value("m", do_minimize=False) == 2.5
        # Where few do, they count as the worst ones.
        table = TableBlackbox([{"x": x} for x in range(3)], {"m": losses[:3]}, np.ones((3, 2)).cumsum(axis=1))
        assert table.median_value("m", do_minimize=True) == 2.0

    def test_an_unknown_metric_names_the_nearest(self):
        with pytest.raises(ValueError, match="metric must be one of loss, but got 'los'; did you mean 'loss'"):
            make().best("los", True)


class TestSyneTune:
    def test_objective_function(self):
        table = make()
        assert table.objectives_names == ["loss", "elapsed_s"]
        assert table.objective_function(ROWS[0]).tolist() == [[3.0, 1.0], [2.0, 2.0], [1.5, 3.0]]
        assert table(ROWS[0], fidelity=2) == table(ROWS[0], fidelity={"epoch": 2}) == {"loss": 2.0, "elapsed_s": 2.0}
        with pytest.raises(ValueError, match="fidelity must be a level from 1 to 3, but got 7"):
            table.objective_function(ROWS[0], fidelity=7)

    def test_inputs_of_a_surrogate(self):
        inputs, objectives = make().hyperparameter_objectives_values()
        assert inputs.shape == (9, 4)
        assert objectives.loss.tolist()[:6] == [3.0, 2.5, 4.0, 2.0, 2.4, pytest.approx(math.nan, nan_ok=True)]
        inputs, objectives = make().hyperparameter_objectives_values(predict_curves=True)
        assert inputs.shape == (3, 3)
        assert objectives.loc[0].tolist() == [3.0, 1.0, 2.0, 2.0, 1.5, 3.0]

    def test_a_surrogate_of_a_table_can_be_simulated(self):
        from syne_tune.blackbox_repository import add_surrogate

        complete = TableBlackbox(ROWS[:2], {"loss": LOSS[:2]}, ELAPSED_S[:2], configuration_space=SPACE)
        curve = learning_curve(add_surrogate(complete), ROWS[0], elapsed_time_attr="elapsed_s")
        assert len(curve.reports) == 3
        assert curve.reports[0]["loss"] == pytest.approx(3.0, abs=0.5)

    def test_a_tabular_blackbox_of_syne_tune_gives_the_same_curve(self):
        import pandas as pd
        from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular

        stock = BlackboxTabular(
            pd.DataFrame(ROWS[:2]),
            SPACE,
            {"epoch": randint(1, 3)},
            np.stack([LOSS[:2], ELAPSED_S[:2]], axis=2)[:, None],
            objectives_names=["loss", "elapsed_s"],
        )
        ours = make().learning_curve(ROWS[1])
        theirs = learning_curve(stock, ROWS[1] | {"epochs": 81}, elapsed_time_attr="elapsed_s")
        assert (theirs.reports, theirs.epoch_s) == (ours.reports, ours.epoch_s)
        with pytest.raises(ValueError, match="elapsed_time_attr must be one of loss, elapsed_s, but got 'seconds'"):
            learning_curve(stock, ROWS[1], elapsed_time_attr="seconds")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {}}, "metrics must name at least one metric"),
        ({"metrics": {"loss": LOSS[:, :2]}}, r"metric 'loss' must have the shape of elapsed_s, \(3, 1, 3\)"),
        ({"metrics": {"loss": LOSS[:2]}}, r"metric 'loss' must have the shape \(3, levels\)"),
        ({"metrics": {"loss": [["a"] * 3] * 3}}, "metric 'loss' must be numbers"),
        ({"metrics": {"epoch": LOSS}}, "time_attr, elapsed_time_attr and the metrics must have different names"),
        (
            {"elapsed_s": [[1, 2, 3], [2, 1, 3], [1, 2, 3]]},
            "never fall .* in row 1, repetition 0, position 1 it is 1.0",
        ),
        ({"elapsed_s": [[1, math.nan, 3]] * 3}, "finite from the first level .* but row 0 is not"),
        ({"elapsed_s": [[1, 2, 3], [math.nan] * 3, [1, 2, 3]]}, "a curve for every row, but row 1 has none"),
        ({"levels": [1, 1, 2]}, "levels must be 3 ascending numbers"),
        ({"lookup": "close"}, 'lookup must be "exact" or "nearest", but got'),
        (
            {"configuration_space": {"lr": SPACE["lr"]}},
            "configuration_space must have the hyperparameters of the table",
        ),
        ({"speed_up": [None]}, "speed_up must have 3 entries, but has 1"),
    ],
)
def test_what_makes_no_table(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_a_configuration_occurs_once():
    with pytest.raises(ValueError, match="each occur once, but rows 0 and 1 are both"):
        TableBlackbox([{"x": 1}, {"x": 1}], {"m": [[1.0], [2.0]]}, [[1.0], [1.0]])
    with pytest.raises(ValueError, match="same hyperparameters, but row 0 has"):
        TableBlackbox([{"x": 1}, {"y": 1}], {"m": [[1.0], [2.0]]}, [[1.0], [1.0]])
