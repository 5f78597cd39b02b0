"""Reports that wait for the tuner."""

from __future__ import annotations

import io
import json

import dill
import numpy as np
import pytest

from syne_hypersched.backends.local._report_queue import ReportQueue


@pytest.fixture
def reports(tmp_path):
    return ReportQueue(tmp_path / "std.out")


def accept(reports, *epochs):
    return [reports.accept({"epoch": epoch}, "epoch", now=0.0) for epoch in epochs]


def test_what_the_tuner_has_not_looked_at_is_delivered_again(reports):
    first = accept(reports, 1, 2, 3)
    assert reports.deliver() == first
    assert reports.deliver() == []
    second = accept(reports, 4, 5, 6)
    reports.take_back(reports.deliver()[0])
    assert reports.deliver() == second[1:]
    reports.take_back(dict(second[1]))  # equal to one, but not that one: the tuner says after which it has decided
    assert reports.deliver() == []


def test_reports_are_numbered_as_they_are_in_the_log(reports, tmp_path):
    reports.skip(4, {2: 3})
    first, second = accept(reports, 1, 2)
    assert (reports.number_of(first), reports.number_of(second), reports.num_read) == (5, 6, 6)
    reports.stream.begin_launch(1, 1, 0.0)
    assert accept(reports, 2) == [None]  # an earlier launch has reported this level
    (third,) = accept(reports, 3)
    assert reports.number_of(third) == 8
    assert reports.number_of({"epoch": 3}) is None
    assert not reports.was_delivered(5)
    reports.deliver()
    assert [number for number in range(10) if reports.was_delivered(number)] == [5, 6, 8]


def test_only_the_numbers_of_the_last_reports_are_kept(reports):
    first, *_, last = accept(reports, *range(1, 1502))
    reports.deliver()
    assert (reports.number_of(first), reports.number_of(last)) == (None, 1501)


def test_there_is_news_while_the_tuner_may_take_a_report_back(reports):
    assert not reports.has_news
    accept(reports, 1)
    assert reports.has_news
    reports.deliver()
    assert reports.has_news
    reports.deliver()
    assert not reports.has_news


def test_no_launch_answers_before_the_signal_that_led_to_it(reports, tmp_path):
    report = {"epoch": 1, "st_worker_timestamp": 5_000.0}
    (tmp_path / "std.out").write_text(f"[tune-metric]: {json.dumps(report)}\n")
    reports.stream.begin_launch(0, 1, signal_timestamp=1_000.0)
    (read,) = reports.read("epoch", answers_to=float("inf"))
    assert read.values["st_signal_to_report_s"] == 0.0
    reports.tail.close()


def test_a_copy_has_what_waits_and_is_made_fast(reports):
    """A tuner is stored by ``dill``, a pickler in Python, which would take a microsecond for each byte of them."""
    first = accept(reports, *range(1, 5))
    reports.deliver()
    first[3]["weight"] = np.float64(0.5)  # as a scheduler may have added
    second = accept(reports, 5, 6)
    copy = dill.loads(dill.dumps(reports))
    assert copy.deliver() == second
    assert copy.number_of(first[2]) == 3
    assert copy.accept({"epoch": 7}, "epoch", now=0.0)["st_worker_iter"] == 6
    pickler = Counting(io.BytesIO())
    pickler.dump(reports)
    accept(reports, *range(7, 1_007))
    more = Counting(io.BytesIO())
    more.dump(reports)
    assert more.num_reports == pickler.num_reports == 0


class Counting(dill.Pickler):
    """Counts the reports that it stores one by one."""

    num_reports = 0

    def save(self, obj, save_persistent_id=True):
        self.num_reports += isinstance(obj, dict) and "st_worker_iter" in obj
        super().save(obj, save_persistent_id)
