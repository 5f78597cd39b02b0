"""What has to happen for a number of devices to be there, and the events that tell of it."""

from __future__ import annotations

import pytest

from syne_hypersched.backends.shared import pool_changes
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.pool_changes import change_to


@pytest.fixture
def told():
    return []


@pytest.fixture
def record(told):
    return lambda event, devices=(), reason="", **details: told.append((event, devices, reason, details))


def test_a_number_of_devices():
    pool = DevicePool(["a", "b", "c"])
    assert change_to(pool, 1) == (("c", "b"), ())
    pool.retire("b"), pool.retire("c")
    assert change_to(pool, 2) == ((), ("b",))
    assert change_to(pool, 3, barred=["b"]) == ((), ("c",))
    assert change_to(pool, 1) == ((), ())


def test_a_device_that_a_trial_holds_still_stays_rather_than_that_another_one_comes():
    pool = DevicePool(["a", "b", "c"])
    pool.retire("a")
    pool.acquire(0, 2)
    pool.retire("c")
    assert change_to(pool, 2) == ((), ("c",))


def test_certain_devices():
    pool = DevicePool(["a", "b", "c"])
    pool.retire("c")
    assert change_to(pool, ["c", "a"]) == (("b",), ("c",))
    assert change_to(pool, []) == (("a", "b"), ())


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [(4, ValueError, "from 0 to 3"), (-1, ValueError, "from 0 to 3"), (1.5, TypeError, "num_devices must be an"),
     ("a", TypeError, "num_devices"), (["d"], ValueError, "must name some of a, b, c, but got 'd'")],
)  # fmt: skip
def test_what_is_wanted_must_make_sense(wanted, error, message):
    with pytest.raises(error, match=message):
        change_to(DevicePool(["a", "b", "c"]), wanted)


def test_events_tell_what_goes_and_when_it_is_free(told, record):
    pool = DevicePool(["a", "b", "c"])
    pool.acquire(7, 1)
    pool_changes.retire(pool, ["a", "c"], record, "why")
    assert told == [
        ("retire", ("a", "c"), "why", {"present": 1, "holders": {"a": 7}}),
        ("freed", ("c",), "", {"present": 1}),
    ]
    told.clear()
    assert pool_changes.release(pool, 7, record) == ("a",)
    assert told == [("freed", ("a",), "", {"present": 1})]
    told.clear()
    pool_changes.join(pool, ["a", "d"], record, "back", nodes={"d": "n2", "a": "n1"}, request="5")
    assert told == [("join", ("a", "d"), "back", {"present": 3, "request": "5"})]
    assert (pool.node_of("a"), pool.node_of("d")) == ("", "n2")
    told.clear()
    pool.acquire(8, 2)
    assert pool_changes.lose(pool, pool.held_by(8), record, "link") == (8,)
    holders = dict.fromkeys(pool.held_by(8), 8)
    assert told == [("lose", pool.held_by(8), "link", {"present": 1, "holders": holders})]


def test_no_change_is_no_event(told, record):
    pool = DevicePool(["a"])
    pool_changes.retire(pool, [], record), pool_changes.join(pool, [], record)
    assert pool_changes.lose(pool, [], record) == ()
    assert pool_changes.release(pool, 3, record) == ()
    assert told == []
