from __future__ import annotations

from syne_hypersched.experiments import Event, Holding, holdings
from syne_hypersched.experiments._timeline import all_devices, devices_over_time


def test_holdings_last_from_launch_to_exit() -> None:
    events = [
        Event(0.0, "setup", devices=("a", "b")),
        Event(0.1, "start", 0),
        Event(0.2, "launch", 0, ("a",), 0),
        Event(0.3, "launch", 1, ("b",), 0),
        Event(2.0, "drain", 0, ("a",), 0, "resize"),
        Event(2.5, "exit", 0, ("a",), 0, "resize", {"how": "drained"}),
        Event(3.0, "exit", 1, ("b",), 0, "", {"how": "completed"}),
        Event(3.1, "launch", 0, ("a", "b"), 1),
    ]
    assert holdings(events) == (
        Holding(0, 0, ("a",), 0.2, 2.5, "drained", "resize"),
        Holding(1, 0, ("b",), 0.3, 3.0, "completed", ""),
        Holding(0, 1, ("a", "b"), 3.1, None),
    )


def test_exit_without_a_launch_on_record_is_left_out() -> None:
    assert holdings([Event(1.0, "exit", 0, ("a",), 0, "pause")]) == ()


def test_devices_of_a_pool_that_changes() -> None:
    events = (
        Event(0.0, "setup", devices=("a", "b")),
        Event(0.5, "launch", 0, ("a",), 0),
        Event(1.0, "retire", None, ("a",), details={"present": 1}),
        Event(1.5, "freed", None, ("a",), details={"present": 1}),
        Event(2.0, "join", None, ("a", "c"), details={"present": 3}),
        Event(3.0, "lose", None, ("b",), details={"present": 2}),
    )
    assert all_devices(events) == ("a", "b", "c")
    assert devices_over_time(events) == ((0.0, 2), (1.0, 1), (2.0, 3), (3.0, 2))
    assert (all_devices(()), devices_over_time(())) == ((), ())


def test_a_launch_whose_processes_join_and_leave_has_a_part_for_each_set_of_devices():
    events = [
        Event(1.0, "launch", 0, ("a",), 0),
        Event(2.0, "prepare", 0, ("a", "b"), 0),
        Event(3.0, "joined", 0, ("a", "b"), 0),
        Event(5.0, "left", 0, ("a",), 0),
        Event(5.5, "launch", 1, ("b",), 0),
        Event(6.0, "exit", 0, ("a",), 0, "stop", {"how": "drained"}),
    ]
    found = [
        (each.trial_id, each.devices, each.start_s, each.end_s, each.how, each.reason) for each in holdings(events)
    ]
    assert found == [
        (0, ("a",), 1.0, 2.0, "changed", "prepare"),
        (0, ("a", "b"), 2.0, 5.0, "changed", "left"),
        (0, ("a",), 5.0, 6.0, "drained", "stop"),
        (1, ("b",), 5.5, None, "", ""),
    ]
