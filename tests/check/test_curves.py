"""Which entries of the reports are the resource and the metric, and how close two curves are."""

from __future__ import annotations

import pytest

from syne_hypersched.check._curves import (
    Apart,
    CurveNames,
    allowed,
    apart,
    curve,
    find_names,
    goes_back,
    levels,
    why_no_metric,
    why_no_resource,
    within_an_epoch,
)


@pytest.mark.parametrize(
    ("report", "names"),
    [
        ({"epoch": 1, "loss": 0.5}, ("epoch", "loss")),
        ({"acc": 0.5, "step": 1, "val_loss": 2.0, "loss": 1.0}, ("step", "val_loss")),
        ({"stage": 1, "quality": 0.5, "batch_size": 1}, ("stage", "quality")),
        ({"epoch": 1.0, "name": "x", "good": True}, ("epoch", "")),
        ({"loss": 1.5}, ("", "loss")),
        ({"epoch": 1, "epoch_time": 0.1, "rmse": 3.0}, ("epoch", "rmse")),
        ({"round": 1, "train-rmse": 0.1, "val-rmse": 3.0}, ("round", "val-rmse")),
        ({"epoch": 1, "val_seconds": 0.1, "lr": 1.5, "memory_mb": 2.5, "bleu": 3.0}, ("epoch", "bleu")),
        ({"epoch": 1, "time_s": 0.1, "quality": 3.0}, ("epoch", "quality")),
        ({"epoch": 1, "train_loss": 0.1, "perplexity": 3.0}, ("epoch", "perplexity")),
        ({"epoch": 1, "loss": 0.1, "test_f1": 3.0}, ("epoch", "test_f1")),
        ({"epoch": 1, "learning_rate": 0.1, "episode_reward": 3.0}, ("epoch", "episode_reward")),
        ({"epoch": 1, "elapsed": 0.1}, ("epoch", "elapsed")),
    ],
)
def test_names_are_found(report, names):
    later = [{**report, **{name: report[name] + by for name in report if name in (names[0],)}} for by in (1, 2)]
    assert find_names([report, *later], None, None) == CurveNames(*names)


def test_names_that_are_given_count():
    assert find_names([{"epoch": 1, "loss": 2.0}], "round", "auc") == CurveNames("round", "auc")
    assert find_names([], None, None) == CurveNames("", "")


@pytest.mark.parametrize(
    ("levels", "why"),
    [
        ([1, 2, 3], ""),
        ([2.0, 4.0], ""),
        ([0, 1], "at least 1"),
        ([1.5, 2.5], "integer"),
        ([1, "2"], "integer"),
        ([1, None], "integer"),
        ([1, 1], "must grow"),
        ([1, 1, 2, 2, 3], ""),
        ([1, 1, 2, 1], "must grow"),
        ([3, 2], "must grow"),
        ([1, 2, 4], "same number"),
        ([float("nan"), 1], "integer"),
    ],
)
def test_what_can_be_a_resource(levels, why):
    found = why_no_resource([{"epoch": level} for level in levels], "epoch")
    assert why in found
    assert bool(found) == bool(why)


def test_what_can_be_a_metric():
    assert why_no_metric([{"loss": 1}, {"loss": 0.5}], "loss") == ""
    assert "nan" in why_no_metric([{"loss": float("nan")}], "loss")
    assert "missing" in why_no_metric([{"loss": 1}, {"epoch": 2}], "loss")
    assert "'1'" in why_no_metric([{"loss": "1"}], "loss")


def test_one_of_several_reports_of_a_level_has_the_metric():
    train, valid = ({"epoch": 1, "train_loss": 1.0}, {"epoch": 1, "val_loss": 2.0})
    reports = [train, valid, train | {"epoch": 2}, valid | {"epoch": 2}]
    assert find_names(reports, None, None) == CurveNames("epoch", "val_loss")
    assert why_no_metric(reports, "val_loss", "epoch") == ""
    assert why_no_metric([*reports, train | {"epoch": 3}], "val_loss", "epoch") == ""  # ended in between
    assert "missing" in why_no_metric([train, valid, train | {"epoch": 2}, train | {"epoch": 2}], "val_loss", "epoch")


def test_the_first_report_of_a_level_counts():
    reports = [{"e": 1, "m": 5}, {"e": 1, "m": 6}, {"e": 2, "m": float("inf")}, {"m": 3}]
    assert curve(reports, CurveNames("e", "m")) == {1.0: 5.0}


def test_where_curves_differ_most():
    worst = apart({1: 0.5, 2: 1.0, 9: 7.0}, {1: 0.4, 2: 0.5, 3: 0.0})
    assert worst is not None
    assert (worst.level, worst.distance) == (2, 0.5)
    assert apart({1: 1.0}, {2: 1.0}) is None


def test_a_script_that_differs_from_run_to_run_may_differ_after_a_relaunch():
    exact = {1: 1.0, 2: 0.0}
    assert allowed(exact, [{1: 1.0}], 0.05) == pytest.approx(0.05)
    assert allowed(exact, [{1: 1.2}], 0.05) == pytest.approx(0.6)
    assert allowed({1: 2.0, 2: 2.0}, [], 0.05) == pytest.approx(2e-6)


def test_another_number_of_devices_may_be_as_far_away_as_an_epoch():
    expected = {1: 1.0, 2: 0.5, 3: 0.4}
    assert within_an_epoch(Apart(2, 0.95, 0.5), expected)
    assert not within_an_epoch(Apart(2, 1.05, 0.5), expected)
    assert within_an_epoch(Apart(3, 0.31, 0.4), expected)
    assert not within_an_epoch(Apart(3, 0.6, 0.4), expected)


def test_levels_of_one_launch():
    reports = [{"epoch": 3}, {"epoch": 3}, {"epoch": "x"}, {}, {"epoch": 4}]
    assert levels(reports, "epoch") == [3, 4]
    assert goes_back(reports, "epoch") is None
    assert goes_back([{"epoch": 3}, {"epoch": 1}], "epoch") == (3, 1)
    assert goes_back([], "epoch") is None
