from __future__ import annotations

import pytest

from syne_hypersched.backends import LaunchCost
from tests.backends.virtual.curves import look, make_fleet


def test_devices_are_occupied_from_the_order_on_and_until_the_drain_is_over():
    fleet, _ = make_fleet(cost=LaunchCost(start_s=3, resume_s=2, resize_s=4, drain_s=1))
    assert fleet.occupied() == []
    fleet.start(0, {}, 1, "start")
    assert fleet.occupied() == [(0, "InProgress")], "promised"
    fleet.start(1, {}, 2, "start")
    look(fleet)
    fleet.wish_devices(0, 2)
    assert fleet.occupied() == [(0, "InProgress")] * 2 + [(1, "InProgress")] * 2
    fleet.halt(1, "Stopped")
    assert fleet.occupied()[2:] == [(1, "Stopping")] * 2


def test_what_takes_no_time_has_happened_when_somebody_looks():
    fleet, _ = make_fleet()
    fleet.start(0, {}, 1, "start")
    look(fleet)
    fleet.halt(0, "Stopped")
    assert fleet.occupied() == []


def test_wishes_and_statuses():
    fleet, _ = make_fleet()
    fleet.start(0, {}, 3, "start")
    assert (fleet.wished_devices(0), fleet.wished_devices(5)) == (3, 0)
    assert fleet.status(0) == "InProgress"
    fleet.halt(0, "Paused")
    assert (fleet.wished_devices(0), fleet.status(0)) == (0, "Paused")
    with pytest.raises(KeyError):
        fleet.status(5)


def test_the_incumbent_and_reasons_are_recorded():
    fleet, events = make_fleet()
    fleet.start(0, {}, 2, "start")
    look(fleet)
    result, numbers = {"loss": 0.5}, {"rank": 1}
    fleet.publish(0, result)
    fleet.note(0, "resize", "it pays", numbers)
    result["loss"], numbers["rank"] = 9, 9
    assert fleet._incumbent == 0
    assert [event[1:] for event in events[-2:]] == [
        ("best", 0, 2, "", {"result": {"loss": 0.5}}),
        ("decision", 0, 2, "it pays", {"what": "resize", "numbers": {"rank": 1}}),
    ]
