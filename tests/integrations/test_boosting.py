"""XGBoost and LightGBM under a tuner: one process with all devices of its trial, ended at any moment."""

from __future__ import annotations

import json
from pathlib import Path

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

def disturb(num_rounds):
    wait_for_sigterm(num_rounds, lambda: False)  # SIGTERM is left to its default
"""

XGBOOST = (
    DATA
    + """
import xgboost
from syne_hypersched.integrations.xgboost import XGBoostCallback

elastic = XGBoostCallback(args.st_checkpoint_dir, metrics=("val-rmse",))

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
    [("xgboost", XGBOOST, "val-rmse", "model.ubj"), ("lightgbm", LIGHTGBM, "val-l2", "model.txt")],
)
def test_a_model_is_boosted_on_changing_devices(tmp_path, library, script, metric, file):
    module = pytest.importorskip(library)
    outcome = _elastic.tune(
        tmp_path, script, time_attr="round", metric=metric, processes="single", preload=("syne_tune", "numpy", library),
    )  # fmt: skip
    assert len(outcome.failures()) == 1
    disturbed, undisturbed = (outcome.values(trial, metric) for trial in range(2))
    assert disturbed == pytest.approx(undisturbed, abs=1e-3)
    newest = CheckpointFolder(outcome.best).newest()
    assert newest is not None
    model = Path(newest, file)
    booster = module.Booster(model_file=str(model))
    num_rounds = booster.num_boosted_rounds() if library == "xgboost" else booster.current_iteration()
    report = json.loads(Path(newest, "elastic.json").read_text())["report"]
    assert report["round"] == num_rounds
    assert report[metric] == pytest.approx(min(outcome.rows[metric]))
