"""XGBoost and LightGBM under a tuner: one process with all devices of its trial, ended at any moment."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from syne_hypersched.checkpoint_folder import CheckpointFolder
from tests.integrations import _elastic

pytestmark = pytest.mark.usefixtures("no_process_left")

DATA = """
import numpy as np
random = np.random.default_rng(0)
x = random.normal(size=(400, 5))
y = x[:, 0] * x[:, 1] + 0.1 * random.normal(size=400)
assert len(os.sched_getaffinity(0)) >= 1
num_devices = int(os.environ["ST_NUM_DEVICES"])

def say(elastic):
    print("threads", num_devices, elastic.num_threads, flush=True)

def disturb(num_rounds):
    wait_for_sigterm(num_rounds, lambda: False)  # SIGTERM is left to its default
"""

XGBOOST = (
    DATA
    + """
import xgboost
from syne_hypersched.integrations.xgboost import XGBoostCallback

elastic = XGBoostCallback(args.st_checkpoint_dir, metrics=("val-rmse",))
say(elastic)

class Disturb(xgboost.callback.TrainingCallback):
    def before_iteration(self, model, epoch, evals_log):
        disturb(model.num_boosted_rounds())
        return False

save = xgboost.Booster.save_model

def save_and_die(self, path):
    if self.num_boosted_rounds() == 4 and once("died"):
        die_writing(path)
    save(self, path)

xgboost.Booster.save_model = save_and_die
val = xgboost.DMatrix(x[300:], y[300:])
xgboost.train(
    {"objective": "reg:squarederror", "max_depth": 3, "nthread": elastic.num_threads},
    xgboost.DMatrix(x[:300], y[:300]), elastic.rounds_left(args.epochs), evals=[(val, "val")],
    callbacks=[Disturb(), elastic], xgb_model=elastic.model, verbose_eval=False,
)
"""
)

LIGHTGBM = (
    DATA
    + """
import lightgbm
from syne_hypersched.integrations.lightgbm import LightGBMCallback

elastic = LightGBMCallback(args.st_checkpoint_dir, metrics=("val-l2",))
say(elastic)

def before(env):
    disturb(env.iteration)

before.before_iteration = True
save = lightgbm.Booster.save_model

def save_and_die(self, path, *rest, **options):
    if self.current_iteration() == 4 and once("died"):
        die_writing(path)
    return save(self, path, *rest, **options)

lightgbm.Booster.save_model = save_and_die
train = lightgbm.Dataset(x[:300], y[:300])
lightgbm.train(
    {"objective": "regression", "verbose": -1, "num_leaves": 7, "num_threads": elastic.num_threads},
    train, elastic.rounds_left(args.epochs), valid_sets=[lightgbm.Dataset(x[300:], y[300:], reference=train)],
    valid_names=["val"], callbacks=[before, elastic], init_model=elastic.model,
)
"""
)


@pytest.mark.parametrize(
    ("library", "script", "metric", "file"),
    [
        pytest.param("xgboost", XGBOOST, "val-rmse", "model.ubj", id="xgboost"),
        pytest.param("lightgbm", LIGHTGBM, "val-l2", "model.txt", id="lightgbm", marks=pytest.mark.slow),
    ],
)
def test_a_model_is_boosted_on_changing_devices(tmp_path, library, script, metric, file):
    module = pytest.importorskip(library)
    outcome = _elastic.tune(
        tmp_path, script, time_attr="round", metric=metric, processes="single", preload=("syne_tune", "numpy", library),
    )  # fmt: skip
    assert len(outcome.failures()) == 1
    disturbed, undisturbed = (outcome.values(trial, metric) for trial in range(2))
    assert disturbed == pytest.approx(undisturbed, rel=1e-6)
    launches = [
        tuple(map(int, line.split()[1:])) for line in outcome.logs[0].splitlines() if line.startswith("threads")
    ]
    assert [devices for devices, _ in launches] == [1, 2, 1, 2, 2, 1]  # the second of three on 2 was killed
    assert len({threads / devices for devices, threads in launches}) == 1
    models = [
        Path(str(CheckpointFolder(outcome.path / str(trial) / "checkpoints").newest()), file) for trial in range(2)
    ]
    if library == "xgboost":
        assert models[0].read_bytes() == models[1].read_bytes()
    newest = CheckpointFolder(outcome.best).newest()
    assert newest is not None
    model = Path(newest, file)
    booster = module.Booster(model_file=str(model))
    num_rounds = booster.num_boosted_rounds() if library == "xgboost" else booster.current_iteration()
    report = json.loads(Path(newest, "elastic.json").read_text())["report"]
    assert report["round"] == num_rounds
    assert report[metric] == pytest.approx(min(outcome.rows[metric]))


def boost(library, folder, num_rounds, *, model="own", asks=True, **options):
    """A launch in this process: the rounds that it reports, and the model."""
    module = pytest.importorskip(library)
    reports = []
    x = np.random.default_rng(0).normal(size=(200, 3))
    y = x[:, 0] * x[:, 1]
    options["reporter"] = lambda **report: reports.append(report["round"])
    if library == "xgboost":
        from syne_hypersched.integrations.xgboost import XGBoostCallback

        elastic = XGBoostCallback(folder, ("val-rmse",), **options)
        booster = module.train(
            {"nthread": 1}, module.DMatrix(x[:150], y[:150]), elastic.rounds_left(num_rounds) if asks else num_rounds,
            evals=[(module.DMatrix(x[150:], y[150:]), "val")], callbacks=[elastic],
            xgb_model=elastic.model if model == "own" else model, verbose_eval=False,
        )  # fmt: skip
        return reports, booster.num_boosted_rounds(), booster
    from syne_hypersched.integrations.lightgbm import LightGBMCallback

    elastic = LightGBMCallback(folder, ("val-l2",), **options)
    train = module.Dataset(x[:150], y[:150])
    booster = module.train(
        {"verbose": -1, "num_leaves": 7, "num_threads": 1}, train,
        elastic.rounds_left(num_rounds) if asks else num_rounds,
        valid_sets=[module.Dataset(x[150:], y[150:], reference=train)], valid_names=["val"], callbacks=[elastic],
        init_model=elastic.model if model == "own" else model,
    )  # fmt: skip
    assert booster.num_trees() == booster.current_iteration()
    return reports, booster.current_iteration(), booster


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
class TestRounds:
    def test_a_launch_with_nothing_left_trains_nothing(self, tmp_path, library):
        assert boost(library, tmp_path, 3)[:2] == ([1, 2, 3], 3)
        assert boost(library, tmp_path, 3)[:2] == ([], 3)
        assert boost(library, tmp_path, 5)[:2] == ([4, 5], 5)

    def test_the_rounds_after_the_last_report_are_saved(self, tmp_path, library):
        assert boost(library, tmp_path, 5, every=2)[:2] == ([2, 4], 5)
        assert boost(library, tmp_path, 6, every=2)[:2] == ([6], 6)

    def test_a_relaunch_without_the_saved_model_is_refused(self, tmp_path, library):
        boost(library, tmp_path, 3)
        with pytest.raises(ValueError, match=r"_model must be model of the callback, with 3 rounds.* begins with 0"):
            boost(library, tmp_path, 5, model=None)

    def test_a_script_that_does_not_ask_how_many_rounds_are_left_is_refused(self, tmp_path, library):
        with pytest.raises(ValueError, match=r"must be rounds_left\(N\) of the callback"):
            boost(library, tmp_path, 3, asks=False)

    def test_rounds_are_counted_from_the_model_of_somebody_else(self, tmp_path, library):
        *_, other = boost(library, tmp_path / "other", 2)
        assert boost(library, tmp_path / "own", 2, model=other)[:2] == ([1, 2], 4)
        assert boost(library, tmp_path / "own", 3)[:2] == ([3], 5)


def test_xgboost_stops_when_all_rounds_are_there(tmp_path):
    xgboost = pytest.importorskip("xgboost")
    from syne_hypersched.integrations.xgboost import XGBoostCallback

    elastic = XGBoostCallback(tmp_path, reporter=lambda **report: None)
    elastic.rounds_left(2)
    data = xgboost.DMatrix(np.arange(20.0).reshape(10, 2), np.arange(10.0))
    assert xgboost.train({}, data, 9, evals=[(data, "train")], callbacks=[elastic]).num_boosted_rounds() == 2


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_schedule_of_the_learning_rate_goes_on(tmp_path, library):
    module = pytest.importorskip(library)
    x = np.random.default_rng(0).normal(size=(200, 3))
    y = x[:, 0] * x[:, 1]

    def rate(num_rounds):
        return 0.5 * 0.7**num_rounds

    def boost_to(num_rounds, folder):
        if library == "xgboost":
            from syne_hypersched.integrations.xgboost import XGBoostCallback

            elastic = XGBoostCallback(folder, reporter=lambda **report: None)
            data = module.DMatrix(x, y)
            schedule = module.callback.LearningRateScheduler(lambda i: rate(elastic.rounds_done + i + 1))
            booster = module.train(
                {"nthread": 1, "eta": rate(elastic.rounds_done)}, data, elastic.rounds_left(num_rounds),
                evals=[(data, "train")], callbacks=[elastic, schedule], xgb_model=elastic.model, verbose_eval=False,
            )  # fmt: skip
            return booster.predict(data)
        from syne_hypersched.integrations.lightgbm import LightGBMCallback

        elastic = LightGBMCallback(folder, reporter=lambda **report: None)
        schedule = module.reset_parameter(learning_rate=lambda i: rate(elastic.rounds_done + i))
        data = module.Dataset(x, y)
        booster = module.train(
            {"verbose": -1, "num_leaves": 7, "num_threads": 1}, data, elastic.rounds_left(num_rounds),
            valid_sets=[data], callbacks=[elastic, schedule], init_model=elastic.model,
        )  # fmt: skip
        return booster.predict(x)

    whole = boost_to(8, tmp_path / "whole")
    boost_to(3, tmp_path / "left")
    assert boost_to(8, tmp_path / "left") == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("name", ["boosting", "boosting_type"])
def test_a_forest_with_which_lightgbm_does_not_go_on_is_refused_at_once(tmp_path, name):
    lightgbm = pytest.importorskip("lightgbm")
    from syne_hypersched.integrations.lightgbm import LightGBMCallback

    elastic = LightGBMCallback(tmp_path, reporter=lambda **report: None)
    data = lightgbm.Dataset(np.arange(80.0).reshape(40, 2), np.arange(40.0))
    params = {name: "rf", "bagging_freq": 1, "bagging_fraction": 0.5, "verbose": -1, "num_threads": 1}
    with pytest.raises(ValueError, match=f"{name} must be one with which LightGBM goes on from a model.* got 'rf'"):
        lightgbm.train(params, data, elastic.rounds_left(3), valid_sets=[data], callbacks=[elastic])
    assert not list(tmp_path.iterdir())
