from __future__ import annotations

import numpy as np
import pytest

from syne_hypersched.allocation.launch_cost import FirstReport, LaunchCosts


def test_the_training_in_between_is_not_part_of_the_cost():
    costs = LaunchCosts()
    costs.first_report(7, FirstReport(signal_to_report_s=12.0, epochs=2))
    assert (len(costs), costs.p90_s()) == (0, 0.0)
    costs.settle(7, epoch_time_s=4.5)
    assert (len(costs), costs.p90_s()) == (1, 3.0)


def test_a_launch_is_measured_once_and_only_when_the_epoch_time_is_known():
    costs = LaunchCosts()
    costs.settle(7, 1.0)
    costs.first_report(7, FirstReport(12.0, 1))
    costs.settle(7, None)
    costs.settle(7, 1.0)
    assert len(costs) == 0


def test_a_cost_is_never_negative():
    costs = LaunchCosts()
    costs.first_report(0, FirstReport(1.0, 1))
    costs.settle(0, 5.0)
    assert costs.p90_s() == 0


def test_the_cost_is_the_90th_percentile_of_the_last_launches():
    costs = LaunchCosts(window=50)
    signals = np.random.RandomState(0).uniform(0, 10, size=120)
    for trial_id, signal_to_report_s in enumerate(signals):
        costs.first_report(trial_id, FirstReport(float(signal_to_report_s), 0))
        costs.settle(trial_id, 1.0)
    assert len(costs) == 50
    assert costs.p90_s() == pytest.approx(float(np.quantile(signals[-50:], 0.9)))


@pytest.mark.parametrize(
    ("trained_s", "cost_s"), [(30.0, 2.0), (0.1, 31.9), (None, 2.0)], ids=["first epoch", "baseline", "not said"]
)
def test_a_first_level_of_zero_comes_after_an_epoch_or_before_it(trained_s, cost_s):
    costs = LaunchCosts()
    costs.first_report(0, FirstReport(32.0, None, trained_s))
    costs.settle(0, epoch_time_s=30.0, epochs=1)
    assert costs.p90_s() == pytest.approx(cost_s)


def test_a_launch_with_one_report_that_does_not_say_what_was_trained_is_left_out():
    costs = LaunchCosts()
    costs.first_report(0, FirstReport(32.0, None, 30.0))
    costs.settle(0, epoch_time_s=30.0)
    assert len(costs) == 0
