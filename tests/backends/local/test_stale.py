"""A tuner that sleeps too long gets one warning, with numbers."""

from __future__ import annotations

import logging

import dill
import pytest

from syne_hypersched.backends.local._stale import StaleWatch


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Tuner:
    """Polls at intervals, and stops every trial at its first report."""

    def __init__(self, every_s=5.0, report_s=0.05, busy=False):
        self.clock, self.processor = Clock(), Clock()
        self.watch = StaleWatch(self.clock, self.processor)
        self.every_s, self.report_s, self.busy = every_s, report_s, busy
        self.trial_id = 0

    def poll(self, num_reports=None, halt_at=0):
        self.watch.enter()
        count = max(1, int(self.every_s / self.report_s)) if num_reports is None else num_reports
        reports = [
            (self.trial_id, {"st_worker_timestamp": self.clock.now + i * self.report_s, "st_launch": 0})
            for i in range(count)
        ]
        self.watch.leave(reports)
        if halt_at is not None and count:
            self.watch.halt(self.trial_id, reports[halt_at][1])
            self.trial_id += 1
        self.clock.now += self.every_s
        self.processor.now += self.every_s if self.busy else 0.001

    def polls(self, count, **options):
        for _ in range(count):
            self.poll(**options)


def test_there_is_one_warning_with_numbers(caplog):
    tuner = Tuner()
    tuner.polls(10)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "looks every 5 s" in record.message
    assert "report every 0.05 s" in record.message
    assert "99% of the epochs" in record.message
    assert "WaitForReports" in record.message
    assert "sleep_time=0.02" in record.message or "sleep_time=0.03" in record.message


@pytest.mark.parametrize(
    ("options", "polls"),
    [
        ({"every_s": 0.01}, {}),  # looks often
        ({"every_s": 5.0, "report_s": 60.0}, {}),  # reports are rare
        ({"busy": True}, {}),  # a slow searcher is another matter
        ({}, {"halt_at": None}),  # nothing was decided
        ({}, {"halt_at": -1}),  # nothing came after
    ],
)
def test_other_settings_give_no_warning(options, polls, caplog):
    Tuner(**options).polls(50, **polls)
    assert not caplog.records


def test_not_before_enough_was_seen(caplog):
    tuner = Tuner()
    tuner.polls(3)
    assert not caplog.records
    tuner.polls(1)
    assert caplog.records


def test_what_is_resumed_was_not_in_vain():
    tuner = Tuner()
    tuner.polls(3)
    assert tuner.watch.advice() is not None
    for trial_id in range(3):
        tuner.watch.resume(trial_id)
    assert tuner.watch.advice() is None


def test_a_tuner_that_waits_gets_no_warning(caplog):
    tuner = Tuner()
    tuner.watch.calm()
    tuner.polls(10)
    assert not caplog.records


def test_a_copy_goes_on(caplog):
    tuner = Tuner()
    tuner.polls(2)
    tuner.watch = dill.loads(dill.dumps(tuner.watch))
    tuner.watch._clock, tuner.watch._processor_clock = tuner.clock, tuner.processor
    tuner.polls(3)
    assert len(caplog.records) == 1


def test_trials_that_could_not_be_stopped(caplog):
    tuner = Tuner()
    for trial_id in range(4):
        tuner.watch.enter()
        reports = [(trial_id, {"st_worker_timestamp": 0.05 * i, "st_worker_iter": i}) for i in range(9)]
        tuner.watch.leave(reports, completed=[trial_id])
        tuner.clock.now += 5.0
    tuner.watch.leave([])
    (record,) = caplog.records
    assert "trials have trained from start to end between two looks" in record.message


@pytest.mark.parametrize("starts_between", [1, 3])
def test_the_starts_of_trials_between_two_sleeps_are_no_sleeps(starts_between, caplog):
    """After a sleep the tuner starts trials, which takes a moment, and looks at once."""
    tuner = Tuner()
    for _ in range(6):
        tuner.every_s = 5.0
        tuner.poll()
        tuner.every_s = 0.24
        tuner.polls(starts_between, num_reports=0)
    (record,) = caplog.records
    assert "looks every 5 s" in record.message
