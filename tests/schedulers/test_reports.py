"""The values that a scheduler reads from a report, and the warning for a report that it skips."""

from __future__ import annotations

import logging
import math
from fractions import Fraction

import dill
import numpy as np
import pytest

from syne_hypersched.schedulers._reports import ReportReader, Unusable, Usable, read_report

BAD = ["0.5", "", None, [0.5], {"a": 1}, True, np.bool_(False), np.array([0.5]), 1j]


@pytest.mark.parametrize(
    ("metric", "minimized", "maximized"),
    [(2, 2, -2), (np.float32(0.5), 0.5, -0.5), (np.int64(3), 3, -3), (Fraction(1, 2), 0.5, -0.5)]
    + [(worst, math.inf, math.inf) for worst in (math.nan, math.inf, -math.inf, np.float64("nan"), 10**400)],
)
def test_values_are_to_be_minimised(metric, minimized, maximized):
    report = {"loss": metric, "epoch": np.int64(3)}
    assert read_report(report, "loss", "epoch", True) == Usable(minimized, 3)
    assert read_report(report, "loss", "epoch", False) == Usable(maximized, 3)
    assert type(read_report(report, "loss", "epoch", True)[1]) is int


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_number_cannot_be_used(bad):
    assert read_report({"loss": bad, "epoch": 1}, "loss", "epoch", True) == Unusable("metric", "no number")
    assert read_report({"loss": 1.0, "epoch": bad}, "loss", "epoch", True) == Unusable("time_attr", "no number")


@pytest.mark.parametrize("level", [math.nan, math.inf, -math.inf, 10**400, -(10**400)])
def test_a_level_is_finite(level):
    assert read_report({"loss": 1.0, "epoch": level}, "loss", "epoch", True) == Unusable("time_attr", "not finite")


def test_what_is_missing_cannot_be_used():
    assert read_report({"epoch": 1}, "loss", "epoch", True) == Unusable("metric", "missing")
    assert read_report({"loss": 1.0}, "loss", "epoch", True) == Unusable("time_attr", "missing")


@pytest.fixture
def reader():
    return ReportReader("val_loss", "epoch", True, 27)


def messages(caplog):
    return [record.getMessage() for record in caplog.records]


def test_each_kind_is_warned_of_once_with_trial_key_and_advice(reader, caplog):
    assert reader.read(0, {"val_loss": 0.5, "epoch": 1}) == Usable(0.5, 1)
    assert messages(caplog) == []
    for _ in range(3):
        assert reader.read(3, {"epoch": 2, "test_score": 0.9, "st_worker_time": 3.0}) is None
        assert reader.read(4, {"epoch": 2, "val_loss": "low"}) is None
        assert reader.read(5, {"val_loss": 0.5}) is None
        assert reader.read(6, {"val_loss": 0.5, "epoch": math.nan}) is None
    missing, text, level, nan = messages(caplog)
    assert missing.startswith("trial 3 has reported without 'val_loss'; it has epoch, test_score. ")
    assert "is the scheduler's metric: the report is left out" in missing
    assert text.startswith("trial 4 has reported val_loss='low', which is no number.")
    assert level.startswith("trial 5 has reported without 'epoch'")
    assert nan.startswith("trial 6 has reported epoch=nan, which is no finite number.")


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (math.inf, "epoch=inf, which is no finite number, or one too large for a float."),
        (10**400, "epoch=1000000000"),
        (10**400, "0000, which is too large for a float."),
        (10**5000, "epoch=an integer of thousands of digits, which is too large for a float."),
    ],
    ids=["infinite", "first digits", "last digits", "not printable"],
)
def test_a_level_that_is_too_large_is_not_called_infinite(reader, caplog, level, said):
    assert reader.read(3, {"val_loss": 0.5, "epoch": level}) is None
    (message,) = messages(caplog)
    assert said in message


def test_a_name_that_is_nearly_right_is_named(reader, caplog):
    reader.read(0, {"epoch": 2, "valid_loss": 0.9})
    assert "without 'val_loss' (did you mean 'valid_loss'?)" in caplog.text


def test_many_reports_in_vain_are_said_to_be_so(reader, caplog):
    for _ in range(30):
        reader.read(0, {"epoch": 2, "accuracy": 0.9})
    assert len(messages(caplog)) == 2
    assert "none of the first 20 reports could be used" in messages(caplog)[1]


def test_one_good_report_is_enough_not_to_say_so(reader, caplog):
    reader.read(0, {"epoch": 1, "val_loss": 0.9})
    for _ in range(30):
        reader.read(0, {"epoch": 2, "accuracy": 0.9})
    assert len(messages(caplog)) == 1


def test_what_is_no_number_becomes_nan_so_that_statistics_go_on(reader):
    report = {"epoch": 1, "val_loss": None, "note": "kept"}
    reader.read(0, report)
    assert math.isnan(report["val_loss"])
    assert (report["epoch"], report["note"]) == (1, "kept")
    untouched = {"epoch": 1, "val_loss": math.inf}
    reader.read(0, untouched)
    assert untouched == {"epoch": 1, "val_loss": math.inf}


def test_a_first_level_beyond_max_t_is_said_with_the_likely_cause(reader, caplog):
    assert reader.read(2, {"epoch": 400, "val_loss": 0.5}) == Usable(0.5, 400)
    assert reader.read(3, {"epoch": 400, "val_loss": 0.5}) == Usable(0.5, 400)
    (message,) = messages(caplog)
    assert message.startswith("trial 2 has reported epoch=400 (time_attr) first of all, which is beyond max_t=27")
    assert "steps or samples rather than epochs" in message


@pytest.mark.parametrize("level", [1e15, 1e30, 10**30, 1e308])
def test_a_level_that_is_no_count_is_taken_and_told_once(reader, caplog, level):
    for trial_id in (2, 3):
        reader.read(trial_id, {"epoch": 1, "val_loss": 0.5})
        assert reader.read(trial_id, {"epoch": level, "val_loss": 0.5}) == Usable(0.5, level)
    (message,) = messages(caplog)
    assert message.startswith(f"trial 2 has reported epoch={level:g} (time_attr), which is far beyond max_t=27")


def test_a_later_level_beyond_max_t_is_none_to_speak_of(reader, caplog):
    reader.read(0, {"epoch": 27, "val_loss": 0.5})
    reader.read(0, {"epoch": 28, "val_loss": 0.5})
    reader.end(0)
    reader.resume(0)
    reader.read(0, {"epoch": 29, "val_loss": 0.5})
    assert messages(caplog) == []


def test_the_last_report_that_can_be_used(reader):
    reader.read(0, {"epoch": 1, "val_loss": 0.5})
    reader.read(0, {"epoch": 2})
    assert reader.last(0, {"epoch": 2}) == Usable(0.5, 1)
    assert reader.last(0, {"epoch": 3, "val_loss": 0.25}) == Usable(0.25, 3)
    reader.end(0)
    assert reader.last(0, {"epoch": 2}) is None


def test_it_survives_dill_and_warns_no_second_time(reader, caplog):
    reader.read(0, {"epoch": 1})
    dill.loads(dill.dumps(reader)).read(0, {"epoch": 1})
    assert len(messages(caplog)) == 1


def test_warnings_come_through_the_packages_logger(reader, caplog):
    reader.read(0, {"epoch": 1})
    assert [(record.name, record.levelno) for record in caplog.records] == [
        ("syne_hypersched.schedulers._reports", logging.WARNING)
    ]


def test_values_that_are_all_nan_are_no_accident_of_one_trial(reader, caplog):
    for i in range(30):
        reader.read(i % 2, {"val_loss": math.nan, "epoch": i // 2 + 1})
    assert messages(caplog) == []  # two trials may diverge
    for i in range(3):
        reader.read(2, {"val_loss": math.inf, "epoch": i + 1})
    (message,) = messages(caplog)
    assert "none of the first 31 reports, of 3 trials, has a finite 'val_loss'" in message


@pytest.mark.parametrize("value", [1.0, 1, np.float32(1)])
def test_one_finite_value_shows_that_the_metric_is_one(reader, caplog, value):
    reader.read(0, {"val_loss": value, "epoch": 1})
    for i in range(60):
        reader.read(i % 5, {"val_loss": math.nan, "epoch": i // 5 + 2})
    assert messages(caplog) == []


def test_a_level_that_falls_is_warned_of_once(reader, caplog):
    for level in (3, 3, 4):
        reader.read(0, {"val_loss": 1.0, "epoch": level})
    reader.resume(0)  # it may go on from an older checkpoint
    reader.read(0, {"val_loss": 1.0, "epoch": 2})
    assert messages(caplog) == []
    for level in (1, 0.5):
        reader.read(0, {"val_loss": 1.0, "epoch": level})
    (message,) = messages(caplog)
    assert "trial 0 has reported epoch=1 (time_attr) after 2" in message


def test_a_level_that_never_rises_is_warned_of_when_a_script_ends(reader, caplog):
    for trial, levels in enumerate([[5, 5], [1, 5, 5, 5], [27, 27, 27], [5, 5, 5]]):
        assert messages(caplog) == []
        for level in levels:
            reader.read(trial, {"val_loss": 1.0, "epoch": level})
        reader.complete(trial)
    (message,) = messages(caplog)
    assert "trial 3 has ended after 3 reports, all of them with epoch=5 (time_attr), which is below max_t=27" in message


@pytest.mark.parametrize("kind", [float, np.float32])
def test_a_level_that_has_risen_once_may_stay(reader, caplog, kind):
    for level in (1, 5, 5, 5):
        reader.read(0, {"val_loss": kind(1.0), "epoch": level})
    reader.complete(0)
    assert messages(caplog) == []


def test_several_reports_at_the_level_of_a_pause_are_no_fault(reader, caplog):
    for _ in range(4):
        reader.read(0, {"val_loss": 1.0, "epoch": 3})
    reader.end(0)
    reader.resume(0)
    reader.read(0, {"val_loss": 1.0, "epoch": 9})
    reader.complete(0)
    assert messages(caplog) == []


@pytest.fixture
def comparing_reader():
    return ReportReader("val_loss", "epoch", True, 27, grace_period=3)


def train(reader, trial, levels):
    for level in levels:
        reader.read(trial, {"val_loss": 1.0, "epoch": level})
    reader.complete(trial)


def test_scripts_that_report_only_at_their_end_are_warned_of_once(comparing_reader, caplog):
    for trial in range(3):
        assert messages(caplog) == []
        train(comparing_reader, trial, [27])
    train(comparing_reader, 3, [27])
    (message,) = messages(caplog)
    assert "the first report of each of 3 trials has epoch=27 (time_attr), which is max_t" in message
    assert "Have the script report as it trains" in message


def test_scripts_that_end_below_the_lowest_rung_are_warned_of_once(comparing_reader, caplog):
    for trial in range(3):
        assert messages(caplog) == []
        train(comparing_reader, trial, [-1, 0.5, 2.5])
    train(comparing_reader, 3, [1, 2])
    (message,) = messages(caplog)
    assert "3 trials have ended below epoch=3 (grace_period), trial 2 at 2.5" in message
    assert "Give grace_period and max_t in the unit of 'epoch'" in message


@pytest.mark.parametrize(
    "levels", [[[27], [27], [26, 27], [27]], [[1, 2, 3], [1], [2], [1, 2]], [[1], [2], [9], [1]]], ids=str
)
def test_one_trial_that_can_be_compared_is_enough(comparing_reader, levels, caplog):
    for trial, of_trial in enumerate(levels):
        train(comparing_reader, trial, of_trial)
    assert messages(caplog) == []


def test_a_trial_that_is_resumed_has_reported_before(comparing_reader, caplog):
    for trial in range(3):
        comparing_reader.resume(trial)
        train(comparing_reader, trial, [27])
    assert messages(caplog) == []


def test_a_maximum_at_the_lowest_rung_asks_for_no_other_report(caplog):
    reader = ReportReader("val_loss", "epoch", True, 27, grace_period=27)
    for trial in range(3):
        train(reader, trial, [27])
    assert messages(caplog) == []
