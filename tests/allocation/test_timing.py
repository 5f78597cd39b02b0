from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.allocation.learnt_throughput import UNKNOWN_STEPS, Steps
from syne_hypersched.allocation.scaling import TableScaling
from syne_hypersched.allocation.timing import TimedReport, TrialTimes


def test_epoch_times_are_those_between_reports_of_one_launch():
    times = TrialTimes()
    times.start(0, 0.0)
    times.report(0, TimedReport(1, 7.0), 7.0)
    assert times.epoch_time_s is None
    times.report(0, TimedReport(3, 11.0), 11.0)
    assert times.epoch_time_s == 2.0
    times.report(0, TimedReport(4, 25.0, num_devices=2, launch=1), 25.0)
    times.report(0, TimedReport(5, 26.0, num_devices=2, launch=1), 26.0)
    assert times.epoch_time_s == 2.0
    assert times.learnt.epoch_time_s(0, 2) == 1.0


def test_the_longest_trial_counts_all_its_launches_but_no_pause():
    times = TrialTimes()
    assert times.longest_trial_s is None
    times.start(0, 10.0)
    times.report(0, TimedReport(1, 13.0), 13.0)
    assert times.longest_trial_s == 3.0
    times.end(0, 14.0, resumable=True)
    times.start(1, 14.0)
    times.report(1, TimedReport(1, 15.0), 15.0)
    assert times.longest_trial_s == 3.0
    times.start(0, 100.0)
    times.report(0, TimedReport(2, 102.0), 102.0)
    assert times.longest_trial_s == 6.0


def test_a_launch_costs_what_its_first_report_took_beyond_the_epochs():
    times = TrialTimes()
    times.start(0, 0.0)
    times.report(0, TimedReport(1, 5.0, launch=0, signal_to_report_s=5.0), 5.0)
    assert times.launch_cost_s == 0
    times.report(0, TimedReport(2, 7.0, launch=0), 7.0)
    assert times.launch_cost_s == 3.0


def test_a_launch_that_begins_with_the_last_report_anew_has_trained_nothing_before_it():
    times = TrialTimes()
    times.start(0, 0.0)
    for epoch in (1, 2, 3):
        times.report(0, TimedReport(epoch, 2.0 * epoch, launch=0), 2.0 * epoch)
    times.report(0, TimedReport(3, 13.0, launch=1, signal_to_report_s=5.0), 13.0)
    times.report(0, TimedReport(4, 15.0, launch=1), 15.0)
    assert times.launch_cost_s == times.relaunch_cost_s == 5.0


def test_a_resize_is_measured_with_the_epoch_time_on_the_new_devices():
    times = TrialTimes()
    times.start(0, 0.0)
    for epoch in range(1, 5):
        times.report(0, TimedReport(epoch, 2.0 * epoch, launch=0), 2.0 * epoch)
    times.report(0, TimedReport(5, 13.0, num_devices=2, launch=1, signal_to_report_s=5.0), 13.0)
    assert times.launch_cost_s == 0
    times.report(0, TimedReport(6, 14.0, num_devices=2, launch=1), 14.0)
    assert times.launch_cost_s == 4.0


def test_a_launch_of_one_report_is_measured_by_an_earlier_launch_of_the_same_trial_only():
    times = TrialTimes()
    times.start(0, 0.0)
    times.report(0, TimedReport(1, 5.0, launch=0, signal_to_report_s=5.0), 5.0)
    times.end(0, 5.0, resumable=True)
    assert times.launch_cost_s == 0
    times.start(1, 0.0)
    times.report(1, TimedReport(1, 1.0, launch=0), 1.0)
    times.report(1, TimedReport(2, 2.0, launch=0), 2.0)
    times.report(1, TimedReport(3, 9.0, launch=1, signal_to_report_s=7.0), 9.0)
    times.end(1, 9.0, resumable=False)
    assert times.launch_cost_s == 6.0


def test_reports_of_trials_that_do_not_run_are_left_out():
    times = TrialTimes()
    times.report(0, TimedReport(1, 1.0), 1.0)
    times.end(0, 2.0, resumable=True)
    assert times.longest_trial_s is None
    assert times.epoch_time_s is None


events = st.lists(
    st.tuples(
        st.sampled_from(["start", "report", "pause", "end"]),
        st.integers(0, 2),
        st.floats(-5, 50),
        st.floats(-5, 50),
        st.integers(1, 4),
        st.one_of(st.none(), st.integers(0, 3)),
        st.one_of(st.none(), st.floats(-1, 20)),
    ),
    max_size=40,
)


@given(events)
def test_whatever_is_reported_times_stay_sensible(events):
    times = TrialTimes()
    now_s = 0.0
    for what, trial_id, resource, time_s, num_devices, launch, signal_s in events:
        now_s += 1
        if what == "start":
            times.start(trial_id, now_s)
        elif what == "report":
            times.report(trial_id, TimedReport(resource, time_s, num_devices, launch, signal_s), now_s)
        else:
            times.end(trial_id, now_s, resumable=what == "pause")
        assert times.launch_cost_s >= 0
        assert times.longest_trial_s is None or 0 <= times.longest_trial_s <= now_s
        assert times.epoch_time_s is None or times.epoch_time_s > 0
        assert 0 < times.learnt.speed_up(4) < math.inf


def test_a_level_that_is_reported_again_says_nothing_of_an_epoch():
    times = TrialTimes()
    times.start(0, 0.0)
    for level, time_s in ((1, 7.0), (1, 9.0), (2, 9.0)):
        times.report(0, TimedReport(level, time_s), time_s)
    assert times.epoch_time_s is None
    times.report(0, TimedReport(3, 12.0), 12.0)
    assert times.epoch_time_s == 3.0


def test_rates_are_learnt_for_each_trial_or_follow_a_scaling_that_is_known():
    times = TrialTimes()
    times.start(0, 0.0)
    times.report(0, TimedReport(1, 5.0, 2), 5.0)
    assert times.rates(0, 4) is None
    assert times.rates(0, 4, TableScaling({1: 1, 4: 4})) is None
    times.report(0, TimedReport(2, 9.0, 2), 9.0)
    assert times.rates(0, 4, TableScaling({1: 1, 4: 4})).tolist() == [0.125, 0.25, 0.375, 0.5]
    learned = times.rates(0, 4)
    assert learned[1] == 0.25
    assert list(learned) == sorted(learned)
    times.end(0, 10.0, resumable=True)
    assert times.rates(0, 4) is None


def test_what_a_script_says_of_its_steps_is_used():
    plain, says = TrialTimes(), TrialTimes()
    for times, steps in ((plain, UNKNOWN_STEPS), (says, Steps(step_time_s=0.1, batch_size=64.0))):
        times.start(0, 0.0)
        for epoch in (1, 2, 3):
            times.report(0, TimedReport(epoch, 10.0 * epoch, 1, 0, steps=steps), 10.0 * epoch)
    assert plain.throughput.model(0).step_time_s(1, 1) == pytest.approx(10.0)
    assert says.throughput.model(0).step_time_s(1, 64) == pytest.approx(0.1)


def times_of(*reports):
    """Times after reports of trial, level, time, seconds from the order, and whether the trial starts just before."""
    times = TrialTimes()
    for trial_id, _, _, _, started_s in reports:
        if started_s == 0:
            times.start(trial_id, 0.0)
    for trial_id, level, now_s, signal_s, started_s in reports:
        if started_s:
            times.start(trial_id, started_s)
        times.report(trial_id, TimedReport(level, now_s, launch=0, signal_to_report_s=signal_s), now_s)
    return times


def test_first_trials_count_from_their_second_report_on():
    assert times_of((0, 1, 19.0, 19.0, 0.0), (1, 1, 19.5, 19.5, 0.0)).longest_training_s is None
    assert times_of((0, 1, 19.0, 19.0, 0.0), (0, 2, 20.0, None, None)).longest_training_s is not None
    # Who starts later says at once how long an epoch takes.
    assert times_of((0, 1, 19.0, 19.0, 0.0), (1, 1, 29.0, 10.0, 19.0)).longest_training_s == pytest.approx(10.0)


def test_a_cold_start_does_not_count_for_ever():
    """With many warm launches, the percentile of their costs hides a cold start: 18 of 19 s were not an epoch."""
    cold = [(0, 1, 19.0, 19.0, 0.0), (0, 2, 20.0, None, None)]
    warm = [
        entry
        for trial_id in range(1, 16)
        for start_s in [20.0 + 4 * trial_id]
        for entry in ((trial_id, 1, start_s + 2, 2.0, start_s), (trial_id, 2, start_s + 3, None, None))
    ]
    times = times_of(*cold, *warm)
    assert times.launch_cost_s == pytest.approx(1.0)
    assert times.longest_trial_s == 20.0
    assert times.longest_training_s == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("launch_s", "num_epochs", "longest_s"),
    [(1.9, 2, 3.9), (2.1, 2, 3.0), (2.1, 6, 6.0), (2.1, 7, 9.1)],
    ids=["less than two launches", "more", "more, after a while", "less than a quarter of all"],
)
def test_a_cold_start_takes_more_than_two_launches_and_a_quarter_of_the_time(launch_s, num_epochs, longest_s):
    first = [
        (0, epoch, launch_s + epoch, launch_s + 1 if epoch == 1 else None, 0.0 if epoch == 1 else None)
        for epoch in range(1, num_epochs + 1)
    ]
    others = [
        entry
        for trial_id in range(1, 16)
        for entry in ((trial_id, 1, 102.0, 2.0, 100.0), (trial_id, 2, 103.0, None, None))
    ]
    times = times_of(*first, *others)
    assert times.launch_cost_s == pytest.approx(1.0)
    assert times.longest_training_s == pytest.approx(longest_s)


def test_a_launch_that_is_ordinary_counts_as_in_the_paper():
    reports = [(0, 1, 3.0, 3.0, 0.0), (1, 1, 6.0, 3.0, 3.0), (0, 2, 7.0, None, None), (1, 2, 8.0, None, None)]
    times = times_of(*reports)
    assert times.longest_training_s == times.longest_trial_s == 7.0


def test_epoch_times_on_several_nodes_are_kept_apart():
    times = TrialTimes()
    times.start(0, 0.0)
    for epoch, (time_s, nodes) in enumerate([(1.0, 1), (2.0, 1), (9.0, 2), (19.0, 2)]):
        result = {"st_worker_time": time_s, "st_num_devices": nodes, "st_num_nodes": nodes, "st_launch": nodes}
        times.report(0, TimedReport.from_result(result, epoch, time_s), time_s)
    assert times.learnt.epoch_time_s(0, 1) == 1.0
    assert times.learnt.epoch_time_s(0, 2, num_nodes=2) == 10.0
    assert times.learnt._log_ratios[2][2][0] == pytest.approx(-math.log(10))


def test_a_launch_has_no_more_nodes_than_devices():
    assert TimedReport.from_result({"st_num_devices": 2, "st_num_nodes": 5}, 1, 0.0).num_nodes == 2


def test_an_epoch_in_which_processes_joined_is_no_measurement():
    times = TrialTimes()
    times.start(0, 0.0)
    times.report(0, TimedReport(1, 7.0, launch=0, signal_to_report_s=7.0), 7.0)
    assert times.in_place_cost_s is None
    times.report(0, TimedReport(2, 9.0, launch=0), 9.0)
    times.report(0, TimedReport(3, 9.5, launch=0, resize_pause_s=0.25), 9.5)  # two devices came and one went
    times.report(0, TimedReport(4, 9.75, num_devices=2, launch=0, resize_pause_s=0.25), 9.75)
    assert times.learnt.epoch_time_s(0, 1) == times.epoch_time_s == 2.0
    times.report(0, TimedReport(5, 10.75, num_devices=2, launch=0), 10.75)
    assert times.learnt.epoch_time_s(0, 2) == 1.0
    assert times.in_place_cost_s == times.resize_cost_s == 0.25
    assert times.launch_cost_s == 5.0, "that of a launch is another one"


def test_where_processes_can_join_a_resize_costs_nothing_before_it_is_measured():
    times = TrialTimes()
    times.start(0, 0.0)
    times.report(0, TimedReport(1, 7.0, launch=0, signal_to_report_s=7.0), 7.0)
    times.report(0, TimedReport(2, 9.0, launch=0), 9.0)
    assert times.resize_cost_s == times.relaunch_cost_s == 5.0
    result = {"st_in_place": True, "st_launch": 0, "st_signal_to_report_s": 7.0, "st_worker_time": 7.0}
    report = TimedReport.from_result(result, 1, 7.0)
    assert report.in_place
    times.report(0, report, 11.0)
    assert (times.in_place_cost_s, times.resize_cost_s, times.relaunch_cost_s) == (0.0, 0.0, 5.0)
