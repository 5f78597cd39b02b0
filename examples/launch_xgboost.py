"""HyperSched tunes boosted trees: one process for each trial, with a thread for each of its cores."""

from __future__ import annotations

from syne_tune.config_space import loguniform, randint
from tune_frameworks import tune

MAX_ROUNDS = 81
CONFIG_SPACE = {
    "eta": loguniform(0.01, 1.0),
    "max_depth": randint(2, 8),
    "min_child_weight": loguniform(0.1, 10.0),
    "rounds": MAX_ROUNDS,
}

if __name__ == "__main__":
    tune(
        __doc__,
        "xgboost_digits.py",
        CONFIG_SPACE,
        metric="val-mlogloss",
        time_attr="round",
        max_t=MAX_ROUNDS,
        processes="single",
        preload=["syne_tune", "numpy", "sklearn.datasets", "sklearn.model_selection", "xgboost"],
    )
