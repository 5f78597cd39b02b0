"""Processes that join and leave in virtual time, against schedules computed by hand."""

from __future__ import annotations

import pytest

from syne_hypersched.backends import LaunchCost
from syne_hypersched.backends.shared import pool_changes
from tests.backends.virtual.curves import look, make_fleet

COST = LaunchCost(start_s=3, resize_s=100, drain_s=1, prepare_s=4, join_s=1)


def told(events):
    """Events about devices as (time, event, devices)."""
    names = ("launch", "prepare", "joined", "left", "withdraw", "abandon", "exit")
    return [(event[0], event[1], event[3]) for event in events if event[1] in names]


def reports_at_next(fleet):
    fleet.poll()
    return [report for _, report in fleet.take()[0]]


def test_a_trial_trains_on_while_others_get_ready_to_join_it():
    fleet, events = make_fleet(num_devices=2, cost=COST)
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    (first,) = reports_at_next(fleet)
    assert (fleet.time_s, first["st_in_place"]) == (13, True)
    fleet.wish_devices(0, 2)
    assert fleet.pool.num_free == 0, "devices that are prepared are held"
    assert look(fleet) == (17, [])
    # 4 of 10 s are trained on one device, the rest takes 3 s on two, and joining takes 1 s.
    (second,) = reports_at_next(fleet)
    assert fleet.time_s == 21
    assert (second["st_num_devices"], second["st_worker_time"], second["st_resize_pause_s"]) == (2, 18, 1)
    assert second["st_device_time"] == 10 + 4 * 1 + 4 * 2
    assert (second["st_launch"], "st_signal_to_report_s" in second) == (0, False)
    fleet.wish_devices(0, 1)
    (third,) = reports_at_next(fleet)
    assert fleet.pool.num_free == 1
    assert (fleet.time_s, third["st_num_devices"], third["st_resize_pause_s"]) == (32, 1, 1)
    assert told(events) == [
        (0, "launch", 1),
        (13, "prepare", 2),
        (17, "joined", 2),
        (21, "left", 1),
    ]
    fleet.stop_all()
    assert told(events)[-1] == (33, "exit", 1)
    assert fleet.device_seconds_held == 13 * 1 + 8 * 2 + 12 * 1
    assert fleet.device_seconds_training == 10 + 12 + 11


def test_a_newer_wish_gives_up_what_was_prepared():
    fleet, events = make_fleet(num_devices=3, cost=COST)
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    assert look(fleet) == (13, [(0, 1, 1)])
    fleet.wish_devices(0, 2)
    fleet.wish_devices(0, 1)
    assert fleet.pool.num_free == 2
    assert look(fleet) == (23, [(0, 2, 1)])
    fleet.wish_devices(0, 2)
    fleet.wish_devices(0, 3)
    assert look(fleet) == (27, [])
    assert told(events)[1:] == [
        (13, "prepare", 2),
        (13, "withdraw", 2),
        (13, "abandon", 1),
        (23, "prepare", 2),
        (23, "withdraw", 2),
        (23, "abandon", 1),
        (23, "prepare", 3),
        (27, "joined", 3),
    ]


def test_a_device_that_is_to_go_is_left_and_another_one_is_prepared():
    fleet, events = make_fleet(num_devices=3, cost=COST, devices_over_time=[(1e9, 3)])
    fleet.start(0, {"epoch_s": 10}, 2, "start")
    reports_at_next(fleet)
    moment, (stays, goes) = fleet.time_s, fleet.pool.held_by(0)
    (free,) = fleet.pool.free
    pool_changes.retire(fleet.pool, [goes], fleet.record)
    fleet._place(fleet._trials[0])
    fleet._reconcile()
    look(fleet)
    assert fleet.pool.holders == {0: tuple(sorted((stays, free)))}
    assert told(events)[1:] == [
        (moment, "left", 1),
        (moment, "prepare", 2),
        (moment + 4, "joined", 2),
    ]
    freed = [event for event in events if event[1] == "freed"]
    assert len(freed) == 1
    look(fleet)
    pool_changes.retire(fleet.pool, [stays], fleet.record)
    fleet._place(fleet._trials[0])
    fleet._reconcile()
    look(fleet)
    assert [name for _, name, _ in told(events)][-2:] == ["exit", "launch"], "the first process leads every change"


def test_a_trial_that_is_paused_or_ends_while_it_prepares_frees_everything():
    fleet, _ = make_fleet(num_devices=2, num_epochs=2, cost=COST)
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    assert look(fleet) == (13, [(0, 1, 1)])
    fleet.wish_devices(0, 2)
    fleet.halt(0, "Paused")
    assert look(fleet) == (14, [])
    assert fleet.pool.num_free == 2
    fleet, _ = make_fleet(num_devices=2, num_epochs=2, cost=LaunchCost(prepare_s=50))
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    assert look(fleet) == (10, [(0, 1, 1)])
    fleet.wish_devices(0, 2)
    assert look(fleet) == (20, [(0, 2, 1)])
    assert (fleet.pool.num_free, fleet.occupied()) == (2, [])


def test_a_change_may_come_after_the_end_of_an_epoch():
    fleet, _ = make_fleet(num_devices=2, cost=LaunchCost(prepare_s=15, join_s=1))
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    assert look(fleet) == (10, [(0, 1, 1)])
    fleet.wish_devices(0, 2)
    assert look(fleet) == (20, [(0, 2, 1)])
    assert look(fleet) == (25, [])
    assert look(fleet) == (28.5, [(0, 3, 2)])


def test_a_trial_that_has_not_begun_to_train_is_launched_again():
    fleet, events = make_fleet(num_devices=2, cost=COST)
    fleet.start(0, {"epoch_s": 10}, 1, "start")
    fleet.wish_devices(0, 2)
    look(fleet)
    assert [name for _, name, _ in told(events)] == ["launch", "exit", "launch"]


def test_nothing_joins_without_the_time_to_prepare_it():
    with pytest.raises(ValueError, match="join_s of the launch cost must be 0 where prepare_s is None"):
        LaunchCost(join_s=1.0)
    with pytest.raises(ValueError, match="prepare_s of the launch cost"):
        LaunchCost(prepare_s=-1.0)
