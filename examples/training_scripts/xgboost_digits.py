"""Boosted trees on scikit-learn's handwritten digits, with XGBoost, on all cores of the trial.

The script also runs alone: ``python xgboost_digits.py --st_checkpoint_dir results --rounds 20``.
"""

from __future__ import annotations

import argparse

import xgboost
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from syne_hypersched.integrations.xgboost import XGBoostCallback


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--eta", type=float, default=0.3)
    parser.add_argument("--max_depth", type=int, default=4)
    parser.add_argument("--min_child_weight", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--st_checkpoint_dir", default="checkpoints")
    args = parser.parse_args()
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images, labels, test_size=0.25, random_state=0, stratify=labels)
    train, val = xgboost.DMatrix(parts[0], parts[2]), xgboost.DMatrix(parts[1], parts[3])

    elastic = XGBoostCallback(args.st_checkpoint_dir, metrics=("val-mlogloss", "val-merror"))
    params = {
        "objective": "multi:softprob", "num_class": 10, "eval_metric": ["merror", "mlogloss"], "eta": args.eta,
        "max_depth": args.max_depth, "min_child_weight": args.min_child_weight, "seed": args.seed,
        "nthread": elastic.num_threads,
    }  # fmt: skip
    xgboost.train(
        params, train, elastic.rounds_left(args.rounds), evals=[(val, "val")], callbacks=[elastic],
        xgb_model=elastic.model, verbose_eval=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
