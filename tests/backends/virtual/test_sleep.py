"""A tuner that sleeps gets one warning, and one that is busy gets none."""

from __future__ import annotations

import logging

import dill
import pytest

from syne_hypersched.backends.virtual._sleep import SleepWatch


class Clocks:
    def __init__(self):
        self.real_s = self.processor_s = 0.0

    def watch(self):
        return SleepWatch(lambda: self.real_s, lambda: self.processor_s)


def polls(clocks, watch, number, real_s, processor_s):
    for _ in range(number):
        watch.enter()
        watch.leave()
        clocks.real_s += real_s
        clocks.processor_s += processor_s


@pytest.mark.parametrize(("number", "real_s"), [(3, 5.0), (50, 0.1)])
def test_a_tuner_that_sleeps_gets_one_warning(caplog, number, real_s):
    clocks = Clocks()
    watch = clocks.watch()
    with caplog.at_level(logging.WARNING):
        polls(clocks, watch, number, real_s, processor_s=0.001)
        assert "sleep_time=0" in caplog.text
        polls(clocks, watch, number, real_s, processor_s=0.001)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("processor_s", [1.0, 0.2])
def test_one_that_works_or_shares_its_machine_is_not(caplog, processor_s):
    clocks = Clocks()
    polls(clocks, clocks.watch(), 100, real_s=1.0, processor_s=processor_s)
    assert caplog.records == []


def test_the_time_in_a_file_is_not_slept(caplog):
    watch = SleepWatch()
    watch.enter()
    watch.leave()
    copy = dill.loads(dill.dumps(watch))
    assert copy._left is None
    copy.enter()
    assert caplog.records == []
