"""Schedules in virtual time, against schedules computed by hand."""

from __future__ import annotations

import dill
import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched.backends import Failures, LaunchCost
from tests.backends.virtual.curves import look, make_fleet

COST = LaunchCost(start_s=3, resume_s=2, resize_s=4, drain_s=1)


def held(events):
    """Launches and exits as (time, event, trial, devices)."""
    return [event[:4] for event in events if event[1] in ("launch", "exit")]


def test_a_trial_reports_at_the_end_of_each_epoch_and_completes_with_the_last():
    fleet, events = make_fleet(num_epochs=2)
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    assert look(fleet) == (10, [(0, 1, 1)])
    assert fleet.status(0) == Status.in_progress
    assert look(fleet) == (20, [(0, 2, 1)])
    assert fleet.status(0) == Status.completed
    assert fleet.occupied() == []
    assert held(events) == [(0, "launch", 0, 1), (20, "exit", 0, 1)]
    assert look(fleet) == (20, [])


def test_a_trial_that_begins_where_another_one_has_ended_is_no_failure():
    fleet, events = make_fleet(num_epochs=1)
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    assert look(fleet) == (10, [(0, 1, 1)])
    fleet.start(1, {"epoch_s": 10}, 1, "start", checkpoint_of=0)
    assert look(fleet) == (10, [])
    assert fleet.status(1) == Status.stopped  # Syne Tune's tuner ends if a completed trial has not reported
    assert [event[1] for event in events if event[1] in ("complete", "fail")] == ["complete", "complete"]


def test_a_launch_holds_its_devices_before_the_first_epoch():
    fleet, events = make_fleet(cost=COST)
    fleet.start(0, {"epoch_s": 10}, 2, "start")
    fleet.poll()
    ((_, report),), _ = fleet.take()
    assert held(events) == [(0, "launch", 0, 2)]
    assert report == {
        "epoch": 1,
        "loss": 1.0,
        "elapsed_s": 5.0,
        "st_worker_timestamp": 8.0,
        "st_worker_time": 5.0,
        "st_device_time": 10.0,
        "st_worker_iter": 0,
        "st_num_devices": 2,
        "st_launch": 0,
        "st_tuner_time": 8.0,
        "st_signal_to_report_s": 8.0,
    }


def test_start_resize_pause_and_resume_by_hand():
    fleet, events = make_fleet(num_devices=2, cost=COST)
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    assert look(fleet) == (13, [(0, 1, 1)])
    fleet.wish_devices(0, 2)  # drained until 14, launched until 18
    assert look(fleet) == (14, [])
    assert look(fleet) == (23, [(0, 2, 2)])
    fleet.halt(0, Status.paused)  # drained until 24
    fleet.start(1, {"epoch_s": 20}, 1, "start")  # waits for 24, launched until 27
    assert look(fleet) == (24, [])
    assert look(fleet) == (47, [(1, 1, 1)])
    fleet.start(0, {"epoch_s": 10}, 1, "resume")  # launched until 49
    assert look(fleet) == (59, [(0, 3, 1)])
    assert look(fleet) == (67, [(1, 2, 1)])
    assert held(events) == [
        (0, "launch", 0, 1),
        (14, "exit", 0, 1),
        (14, "launch", 0, 2),
        (24, "exit", 0, 2),
        (24, "launch", 1, 1),
        (47, "launch", 0, 1),
    ]
    signals = [event[5]["signal_to_report_s"] for event in events if event[1] == "first_report"]
    assert signals == [13, 10, 24, 12]
    # Until 67: trial 0 held one device for 14 s and two for 10, and trained 10 s on one and 5 s on two.
    assert fleet.device_seconds_held == 14 + 2 * 10
    assert fleet.device_seconds_training == 10 + 2 * 5 + 2 * 20 + 10


def test_seconds_of_devices_go_on_over_a_resize_and_a_pause():
    fleet, _ = make_fleet(num_devices=2, cost=COST)
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    reports = []

    def until_reported():
        while not (taken := fleet.take()[0]):
            fleet.poll()
        reports.extend(report for _, report in taken)

    until_reported()
    fleet.wish_devices(0, 2)
    until_reported()
    fleet.halt(0, Status.paused)
    fleet.start(0, {"epoch_s": 10}, 1, "resume")
    until_reported()
    times = [(report["st_num_devices"], report["st_worker_time"], report["st_device_time"]) for report in reports]
    assert times == [(1, 10, 10), (2, 15, 20), (1, 25, 30)]


def test_what_was_trained_since_the_last_report_is_lost():
    fleet, _ = make_fleet()
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    fleet.advance_to(19)
    assert look(fleet) == (19, [(0, 1, 1)])
    fleet.wish_devices(0, 2)
    assert look(fleet) == (24, [(0, 2, 2)])
    fleet.halt(0, Status.paused)
    fleet.start(0, {"epoch_s": 10}, 1, "resume")
    assert look(fleet) == (34, [(0, 3, 1)])


def test_a_drain_that_takes_no_time_costs_nothing():
    fleet, events = make_fleet(num_devices=2)
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    look(fleet)
    fleet.wish_devices(0, 2)
    assert look(fleet) == (15, [(0, 2, 2)])
    fleet.halt(0, Status.stopped)
    fleet.start(1, {"epoch_s": 10}, 2, "start")
    assert look(fleet) == (20, [(1, 1, 2)])
    assert held(events)[1:5] == [(10, "exit", 0, 1), (10, "launch", 0, 2), (15, "exit", 0, 2), (15, "launch", 1, 2)]


def test_wishes_before_the_next_poll_cost_one_launch():
    fleet, events = make_fleet()
    fleet.start(0, {}, 1, "start")
    look(fleet)
    for size in (2, 4, 3):
        fleet.wish_devices(0, size)
    look(fleet)
    assert held(events) == [(0, "launch", 0, 1), (1, "exit", 0, 1), (1, "launch", 0, 3)]


def test_growing_waits_for_devices_while_the_trial_trains_on():
    fleet, _ = make_fleet(num_devices=2)
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    fleet.start(1, {"epoch_s": 15, "epochs": 1}, 1, "start")
    assert look(fleet) == (10, [(0, 1, 1)])
    fleet.wish_devices(0, 2)
    assert fleet.wished_devices(0) == 2
    assert look(fleet) == (15, [(1, 1, 1)])  # trial 1 has completed, trial 0 is drained and loses 5 s
    assert look(fleet) == (20, [(0, 2, 2)])


def test_shrinking_gives_devices_to_those_who_wait():
    fleet, _ = make_fleet(num_devices=4)
    fleet.start(0, {"epoch_s": 12}, 4, "start")
    assert look(fleet) == (3, [(0, 1, 4)])
    fleet.wish_devices(0, 3)
    fleet.start(1, {"epoch_s": 3}, 1, "start")
    assert look(fleet) == (6, [(1, 1, 1)])
    assert look(fleet) == (7, [(0, 2, 3)])


def test_reports_at_the_same_time_come_in_the_order_of_launches():
    fleet, _ = make_fleet(num_devices=3)
    fleet.start(0, {"epoch_s": 4}, 1, "start")
    fleet.start(1, {"epoch_s": 2}, 1, "start")
    fleet.start(2, {"epoch_s": 1}, 1, "start")
    fleet.advance_to(4)
    _, reports = look(fleet)
    assert reports == [(2, 1, 1), (1, 1, 1), (2, 2, 1), (2, 3, 1), (0, 1, 1), (1, 2, 1), (2, 4, 1)]


def test_reports_after_the_decision_to_pause_come_after_the_resume():
    fleet, _ = make_fleet()
    fleet.start(0, {}, 1, "start")
    fleet.advance_to(4)
    fleet.poll()
    reports, _ = fleet.take()
    fleet.halt(0, Status.paused, reports[1][1])
    assert look(fleet) == (4, [])
    fleet.start(0, {}, 1, "resume")
    assert look(fleet) == (4, [(0, 3, 1), (0, 4, 1)])
    assert look(fleet) == (5, [(0, 5, 1)])


def test_a_trial_that_has_ended_before_it_was_paused_ends_once_after_its_resume():
    fleet, _ = make_fleet(1, "resnet50", LaunchCost(start_s=0.0, resume_s=0.5, resize_s=0.0, drain_s=0.0), None, 2)
    fleet.start(0, {"epoch_s": 1.0}, 1, "start")
    fleet.advance_to(2.0)
    fleet.halt(0, Status.paused)
    fleet.start(0, {"epoch_s": 1.0}, 1, "resume")
    seen = []
    while fleet.occupied():
        fleet.poll()
        reports, ended = fleet.take()
        seen += [(fleet.time_s, report["epoch"]) for _, report in reports] + [(fleet.time_s, "ended") for _ in ended]
    assert seen == [(2.0, 1), (2.0, 2), (2.5, "ended")]


def test_a_trial_paused_at_its_last_report_completes_when_it_is_resumed():
    fleet, _ = make_fleet(num_epochs=1, cost=COST)
    fleet.start(0, {}, 1, "start")
    assert look(fleet) == (4, [(0, 1, 1)])
    fleet.halt(0, Status.paused)
    fleet.start(0, {}, 1, "resume")
    assert look(fleet) == (6, [])
    assert fleet.status(0) == Status.completed


def test_a_resume_may_bring_another_configuration():
    fleet, _ = make_fleet()
    fleet.start(0, {"epochs": 2}, 1, "start")
    look(fleet)
    fleet.halt(0, Status.paused)
    fleet.start(0, {"epochs": 3, "epoch_s": 5}, 1, "resume")
    assert look(fleet) == (6, [(0, 2, 1)])
    assert look(fleet) == (11, [(0, 3, 1)])
    assert fleet.status(0) == Status.completed


def test_a_trial_may_go_on_from_the_checkpoint_of_another():
    fleet, _ = make_fleet()
    fleet.start(0, {}, 1, "start")
    fleet.advance_to(2)
    look(fleet)
    fleet.start(1, {"epoch_s": 0.5}, 1, "start", checkpoint_of=0)
    assert look(fleet) == (2.5, [(1, 3, 1)])


def test_at_the_deadline_every_device_is_free_and_nothing_was_reported_since_the_drain():
    fleet, events = make_fleet(num_devices=2, cost=COST)
    fleet.set_deadline(30, 1)
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    fleet.start(1, {"epoch_s": 26}, 1, "start")
    assert look(fleet) == (13, [(0, 1, 1)])
    assert look(fleet) == (23, [(0, 2, 1)])
    assert look(fleet) == (29, [(1, 1, 1)])  # just in time
    assert fleet.closed
    assert fleet.status(0) == fleet.status(1) == Status.in_progress
    fleet.stop_all()
    assert fleet.time_s == 30
    assert fleet.status(0) == fleet.status(1) == Status.stopped
    assert [event[:5] for event in events if event[1] == "exit"] == [
        (30, "exit", 0, 1, "deadline"),
        (30, "exit", 1, 1, "deadline"),
    ]


def test_a_drain_that_would_take_longer_is_cut_at_the_deadline():
    fleet, events = make_fleet(cost=LaunchCost(drain_s=5))
    fleet.set_deadline(10, 2)
    fleet.start(0, {"epoch_s": 100}, 1, "start")
    assert look(fleet) == (8, [])
    fleet.stop_all()
    assert fleet.time_s == 10
    assert events[-1][5] == {"how": "killed", "drain_s": 2}


def test_nothing_is_launched_once_the_deadline_drains():
    fleet, events = make_fleet(num_devices=1)
    fleet.set_deadline(5, 0)
    fleet.start(0, {"epoch_s": 5}, 1, "start")
    assert look(fleet) == (5, [(0, 1, 1)])
    fleet.halt(0, Status.stopped)
    fleet.start(1, {}, 1, "start")
    assert look(fleet) == (5, [])
    assert [event[2] for event in events if event[1] == "launch"] == [0]


def test_a_tuner_that_waits_for_its_trials_learns_that_the_deadline_has_stopped_them():
    fleet, _ = make_fleet()
    fleet.set_deadline(5, 0)
    fleet.start(0, {"epoch_s": 100}, 1, "start")
    for _ in range(3):
        look(fleet)
    assert fleet.status(0) == Status.stopped


def test_time_does_not_run_to_the_deadline_while_nothing_runs():
    fleet, _ = make_fleet()
    fleet.set_deadline(5, 0)
    assert look(fleet) == (0, [])


def test_a_trial_fails_in_the_middle_of_an_epoch():
    fleet, events = make_fleet(failures=Failures(1.0))
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    time_s, reports = look(fleet)
    assert reports == []
    assert time_s == 10 * Failures(1.0).share_trained(0, 0)
    assert fleet.status(0) == Status.failed
    assert events[-2][5]["how"] == "failed"


def test_a_trial_that_completes_without_a_report_has_failed():
    fleet, _ = make_fleet(num_epochs=0)
    fleet.start(0, {}, 1, "start")
    look(fleet)
    assert fleet.status(0) == Status.failed


def test_there_is_one_setup_and_it_says_what_is_assumed():
    fleet, events = make_fleet(num_devices=2, cost=COST)
    fleet.set_deadline(100, 1)
    fleet.start(0, {}, 1, "start")
    fleet.start(1, {}, 1, "start")
    (setup,) = [event for event in events if event[1] == "setup"]
    assert setup[3] == 2
    assert setup[5] == {
        "mode": "simulated",
        "grace_s": 1.0,
        "deadline_s": 100.0,
        "launch_s": {"start": 3.0, "resume": 2.0, "resize": 4.0},
    }


def test_more_trials_than_devices_is_an_error():
    fleet, _ = make_fleet(num_devices=3)
    fleet.start(0, {}, 2, "start")
    with pytest.raises(ValueError, match="n_workers must be at most 1 with 3 devices and 2 per trial"):
        fleet.start(1, {}, 2, "start")


def test_a_copy_knows_the_trials_and_holds_no_devices():
    fleet, _ = make_fleet(num_devices=2)
    fleet.start(0, {}, 1, "start")
    fleet.start(1, {}, 1, "start")
    look(fleet)
    fleet.halt(1, Status.paused)
    copy = dill.loads(dill.dumps(fleet))
    assert copy.occupied() == []
    assert copy.status(1) == Status.paused
    copy.start(1, {}, 2, "resume")
    assert look(copy) == (1.5, [(1, 2, 2)])
