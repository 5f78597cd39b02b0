"""Trials that want devices, or are not as they are to be, and what the tuner is told of the devices that are there."""

from __future__ import annotations

from syne_tune.backend.trial_status import Status

from syne_hypersched.backends import Failures, LaunchCost
from syne_hypersched.contract import ST_DEVICES_PRESENT
from tests.backends.virtual.curves import make_fleet


def unsettled(fleet):
    return sorted(fleet._unsettled), sorted(fleet._active)


def test_only_a_trial_that_waits_or_is_to_change_concerns_anybody():
    fleet, _ = make_fleet(num_devices=2, cost=LaunchCost(drain_s=3))
    fleet.start(0, {}, 1, "start")
    fleet.start(1, {}, 1, "start")
    assert unsettled(fleet) == ([], [0, 1])
    fleet.halt(0, Status.stopped)
    assert unsettled(fleet) == ([], [0, 1])  # it drains
    fleet.start(2, {}, 1, "start")
    assert unsettled(fleet) == ([2], [0, 1, 2])  # it waits for the device
    fleet.advance_to(3)
    assert unsettled(fleet) == ([], [1, 2])


def test_reports_say_how_many_devices_are_there_while_some_are_missing_whoever_takes_them():
    for take in ("take", "take_all"):
        fleet, _ = make_fleet(num_devices=2, devices_over_time=[(1.5, 1), (3.5, 2)])
        fleet.start(0, {}, 1, "start")
        present = []
        for _ in range(8):
            fleet.poll()
            reports, ended = getattr(fleet, take)()
            assert ended == []
            present += [(report["epoch"], report.get(ST_DEVICES_PRESENT)) for _, report in reports]
        assert present[:4] == [(1, None), (2, 1), (3, 1), (4, None)], take


def test_a_trial_whose_device_goes_is_drained_and_waits_for_another_one():
    fleet, _ = make_fleet(num_devices=1, cost=LaunchCost(drain_s=1), devices_over_time=[(2.5, 0), (6, 1)])
    fleet.start(0, {}, 1, "start")
    fleet.advance_to(2.75)
    assert unsettled(fleet) == ([0], [0])  # it drains, and its device is to go
    fleet.advance_to(4)
    assert unsettled(fleet) == ([0], [0])  # it waits
    fleet.advance_to(6)
    assert unsettled(fleet) == ([], [0])


def busy_fleet(**options):
    fleet, events = make_fleet(num_devices=3, num_epochs=20, cost=LaunchCost(start_s=1, drain_s=1), **options)
    fleet.set_deadline(25, 2)
    for trial_id, epoch_s in enumerate((1, 2, 3)):
        fleet.start(trial_id, {"epoch_s": epoch_s}, 1, "start")
    return fleet, events


def look_often(fleet, look):
    """What is seen and when; a trial is halted at its second report, and resumed at once if it is trial 2."""
    seen = []
    for _ in range(30):
        reports, ended = look()
        told = [(trial.trial_id, trial.status, dict(report)) for trial, report in reports]
        seen.append((fleet.time_s, told, list(ended), fleet.closed))
        for trial_id, _, report in told:
            if trial_id and report["epoch"] == 2:
                fleet.halt(trial_id, Status.paused)
                if trial_id == 2:
                    fleet.start(2, {"epoch_s": 3}, 1, "resume")
    return seen


def test_a_look_at_all_is_a_poll_after_which_all_is_taken():
    for options in ({}, {"failures": Failures(0.3, seed=1)}, {"devices_over_time": [(3.5, 1), (9, 3)]}):
        one, events = busy_fleet(**options)
        other, expected = busy_fleet(**options)

        def look(other=other):
            other.poll()
            return other.take_all()

        assert look_often(one, one.poll_all) == look_often(other, look)
        assert events == expected
        assert one.closed or options
        assert "exit" in [event[1] for event in events]
