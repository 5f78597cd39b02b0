from __future__ import annotations

import pytest

from syne_hypersched._direction import doubt_of_direction, is_more_better, is_news


@pytest.mark.parametrize(
    "metric",
    [
        "accuracy", "val_accuracy", "valAcc", "ACC", "val/acc", "top5-acc", "acc5", "acc_1", "auc", "ROC_AUC", "f1",
        "F1Score", "macro-f1", "r2", "R2", "reward", "mean_reward", "score", "eval.score",
        "neg_mean_squared_error_loss", "neg_rmse", "negative_log_loss",
    ],
)  # fmt: skip
def test_more_is_better(metric):
    assert is_more_better(metric) is True
    assert "is minimised, although a higher value" in doubt_of_direction(metric, do_minimize=True)
    assert doubt_of_direction(metric, do_minimize=False) == ""


@pytest.mark.parametrize(
    "metric",
    [
        "loss", "val_loss", "valLoss", "LOSS", "error", "top1_err", "error_rate", "rmse", "RMSE", "test/mse",
        "neg_accuracy",
    ],
)  # fmt: skip
def test_less_is_better(metric):
    assert is_more_better(metric) is False
    assert "is maximised, although a lower value" in doubt_of_direction(metric, do_minimize=False)
    assert doubt_of_direction(metric, do_minimize=True) == ""


@pytest.mark.parametrize(
    "metric",
    [
        "", "y", "metric", "objective", "energy", "latency", "brier_score", "accuracy_loss", "1-accuracy",
        "1 - auc", "loss_improvement", "accuracy gap", "loss_weight", "fid_score", "transaccion", "scoreboard",
        "glossy", "genauigkeit", "דיוק",
    ],
)  # fmt: skip
def test_the_name_does_not_say(metric):
    assert is_more_better(metric) is None
    assert doubt_of_direction(metric, True) == doubt_of_direction(metric, False) == ""


def test_the_same_is_said_once():
    metric = "accuracy of this test"
    assert [is_news(metric, True), is_news(metric, True), is_news(metric, False)] == [True, False, True]
