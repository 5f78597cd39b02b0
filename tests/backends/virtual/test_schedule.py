"""Devices that come and go in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from syne_tune.backend.trial_status import Status

from syne_hypersched import ASHA, simulate
from syne_hypersched.backends import LaunchCost
from syne_hypersched.backends.virtual._schedule import PoolClock, checked_schedule
from syne_hypersched.blackboxes import load_digits
from syne_hypersched.experiments import check_devices, read_events
from tests.backends.virtual.curves import look, make_fleet
from tests.thoroughness import examples

COST = LaunchCost(start_s=3, resume_s=2, resize_s=4, drain_s=1)


def story(events):
    return [
        (time_s, event, trial_id, number)
        for time_s, event, trial_id, number, *_ in events
        if event in ("launch", "drain", "exit", "join", "retire", "freed")
    ]


def test_a_trial_goes_on_on_fewer_devices_and_grows_again_when_they_are_back():
    fleet, events = make_fleet(num_devices=2, cost=COST, devices_over_time=[(10, 1), (30, 2)])
    fleet.start(0, {"epoch_s": 10}, 2, "start")  # an epoch takes 5 s on both
    assert look(fleet) == (8, [(0, 1, 2)])
    assert look(fleet) == (10, [])  # drained until 11, launched until 15
    assert look(fleet) == (11, [])
    assert look(fleet) == (25, [(0, 2, 1)])
    assert look(fleet) == (30, [])  # drained until 31 to grow again, launched until 35
    assert look(fleet) == (31, [])
    assert look(fleet) == (40, [(0, 3, 2)])
    assert story(events) == [
        (0, "launch", 0, 2),
        (10, "retire", None, 1),
        (10, "drain", 0, 2),
        (11, "exit", 0, 2),
        (11, "freed", None, 1),
        (11, "launch", 0, 1),
        (30, "join", None, 1),
        (30, "drain", 0, 1),
        (31, "exit", 0, 1),
        (31, "launch", 0, 2),
    ]
    assert [event[4] for event in events if event[1] == "exit"] == ["pool", "resize"]


def test_a_trial_without_a_device_waits_and_comes_before_new_ones():
    fleet, _ = make_fleet(num_devices=2, devices_over_time=[(5, 1)])
    fleet.start(0, {"epoch_s": 4, "epochs": 3}, 1, "start")
    fleet.start(1, {"epoch_s": 4}, 1, "start")
    assert look(fleet) == (4, [(0, 1, 1), (1, 1, 1)])
    assert look(fleet) == (5, [])
    assert fleet.wished_devices(1) == 1
    assert fleet.status(1) == Status.in_progress
    assert look(fleet) == (8, [(0, 2, 1)])
    assert look(fleet) == (12, [(0, 3, 1)])
    assert look(fleet) == (16, [(1, 2, 1)])


def test_reports_say_how_many_devices_are_there_when_they_are_handed_over():
    fleet, _ = make_fleet(num_devices=2, devices_over_time=[(1.5, 1), (2.5, 2)])
    fleet.start(0, {}, 1, "start")
    present = []
    for _ in range(5):
        fleet.poll()
        present += [report.get("st_devices_present") for _, report in fleet.take()[0]]
    assert present == [None, 1, None]


def test_without_any_device_time_goes_on_to_when_there_is_one():
    fleet, _ = make_fleet(num_devices=1, devices_over_time=[(1.5, 0), (7, 1)])
    fleet.start(0, {}, 1, "start")
    assert [look(fleet) for _ in range(4)] == [(1, [(0, 1, 1)]), (1.5, []), (7, []), (8, [(0, 2, 1)])]


schedules = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 4)), max_size=6).map(
    lambda entries: [*sorted(dict(entries).items()), (25, 4)]
)


@settings(max_examples=examples(12), deadline=None, phases=[Phase.explicit, Phase.generate])
@example(schedule=[(14, 0), (25, 4)], drain_s=0.0)
@given(schedule=schedules, drain_s=st.sampled_from([0.0, 2.0]))
def test_whatever_the_schedule_no_rule_is_broken_and_what_retires_is_free_within_a_drain(
    tmp_path_factory, schedule, drain_s
):
    blackbox, path = load_digits(), tmp_path_factory.mktemp("events") / "events.jsonl"
    scheduler = ASHA(blackbox.configuration_space, "val_loss", "epoch", 27, type="promotion", random_seed=0)
    simulate(
        scheduler, blackbox, num_devices=4, deadline_s=30, devices_over_time=schedule, events_path=path,
        launch_cost=LaunchCost(start_s=0.5, drain_s=drain_s),
    )  # fmt: skip
    events = read_events(path)
    assert check_devices(events, [f"device{index}" for index in range(4)]) == ()
    going = {}
    for event in events:
        if event.event == "retire":
            going |= dict.fromkeys(event.devices, event.time_s)
        elif event.event == "join":  # perhaps before it was free
            going = {device: time_s for device, time_s in going.items() if device not in event.devices}
        elif event.event == "freed":
            assert all(event.time_s <= going.pop(device) + drain_s for device in event.devices)
    assert going == {}


def test_without_a_schedule_results_are_what_they_were():
    blackbox = load_digits()

    def run(**options):
        scheduler = ASHA(blackbox.configuration_space, "val_loss", "epoch", 27, random_seed=0)
        return simulate(scheduler, blackbox, num_devices=4, max_num_results=300, **options).results.to_csv()

    assert run() == run(devices_over_time=[]) == run(devices_over_time=[(10_000, 1)])


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        (3, TypeError, "devices_over_time must be pairs"),
        ([3], TypeError, "3 in it"),
        ([(1, 2, 3)], TypeError, "pairs"),
        ([(-1, 2)], ValueError, "each time in devices_over_time"),
        ([(1, 5)], ValueError, "from 0 to 4"),
        ([(1, 1.5)], TypeError, "each number in devices_over_time"),
        ([(1, 2), (1, 3)], ValueError, "ascending"),
        ([(1, 0)], ValueError, "must not end with 0"),
    ],
)
def test_a_schedule_must_make_sense(schedule, error, message):
    with pytest.raises(error, match=message):
        checked_schedule(schedule, 4)


def test_changes_are_taken_once_and_in_order():
    clock = PoolClock(checked_schedule([(1, 2), (3, 1), (5, 4)], 4))
    assert (clock.take(0.5), clock.take(3), clock.next_s) == ([], [2, 1], 5)
    assert (clock.take(9), clock.take(9), clock.next_s) == ([4], [], float("inf"))
