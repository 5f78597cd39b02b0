from __future__ import annotations

import pytest

from syne_hypersched.experiments import Event
from syne_hypersched.experiments._nodes import (
    Absence,
    Attendance,
    attendance_of,
    by_node,
    count_devices,
    in_order,
    node_of,
    node_states,
    num_nodes,
    ranges,
    why,
)
from tests.experiments.clusters import devices_of, names_of, small_run

ALL = (*devices_of("node1", 4), *devices_of("node2", 4), *devices_of("node10", 4))


@pytest.mark.parametrize(
    "device, node",
    [
        ("node1/0", "node1"),
        ("cpu0", ""),
        ("0#2", ""),
        ("a-host.example.org/GPU-1b2c", "a-host.example.org"),
        ("node1/MIG-GPU-8e/7/0", "node1"),
        ("MIG-GPU-8e/7/0", ""),
    ],
)
def test_the_node_is_what_the_name_begins_with(device: str, node: str) -> None:
    assert node_of(device) == node


def test_nodes_and_their_devices_are_sorted_as_people_do() -> None:
    mixed = ("node10/1", "node2/10", "node2/9", "node10/0", "node1/0")
    assert by_node(mixed) == {
        "node1": ("node1/0",), "node2": ("node2/9", "node2/10"), "node10": ("node10/0", "node10/1"),
    }  # fmt: skip
    assert in_order(mixed) == ("node1/0", "node2/9", "node2/10", "node10/0", "node10/1")
    assert in_order(("gpu10", "gpu2")) == ("gpu10", "gpu2"), "without nodes they stay as they come"
    assert (num_nodes(mixed), num_nodes(("gpu10",)), num_nodes(())) == (3, 0, 0)


@pytest.mark.parametrize("name", ["", "1", "01", "1a", "a1", "a", "²", "a٣", "9" * 40, "1a2b"])
def test_any_names_can_be_sorted(name: str) -> None:
    assert len(in_order([f"{name}x/{name}", "node1/0", "1/1", "a/b", "7/9"])) == 5


@pytest.mark.parametrize(
    "devices, text",
    [
        ((), ""),
        (ALL, "node1 to node10"),
        (devices_of("node2", 4), "node2"),
        ((*devices_of("node1", 4), *devices_of("node10", 4)), "node1, node10"),
        (devices_of("node2", 3), "node2/0 to 2"),
        (("node1/3", "node2/0", "node2/1"), "node1/3, node2/0, node2/1"),
        ((*devices_of("node1", 4), "node10/2"), "node1, node10/2"),
        (("other/0", "node1/0"), "node1/0, other/0"),
    ],
)
def test_names_of_devices_in_few_words(devices: tuple[str, ...], text: str) -> None:
    assert ranges(devices, ALL) == text


def test_devices_are_counted() -> None:
    assert count_devices(ALL) == "12 devices on 3 nodes"
    assert count_devices(ALL[:1]) == "1 device on 1 node"
    assert count_devices(("cpu0", "cpu1")) == "2 devices"


def test_absences_of_nodes_that_join_are_drained_and_are_lost() -> None:
    a, b, c = devices_of("a", 2), devices_of("b", 2), devices_of("c", 2)
    events = [
        Event(0.0, "setup", devices=(*a, *b)),
        Event(5.0, "join", devices=c, reason="node c is there"),
        Event(10.0, "retire", devices=b, reason="node b is to go"),
        Event(11.0, "freed", devices=b),
        Event(12.0, "lose", devices=b, reason="node b is lost: it is down"),
        Event(20.0, "retire", devices=a[:1], reason="hypersched pool"),
        Event(30.0, "join", devices=b, reason="node b is there"),
        Event(31.0, "launch", 0, a, 0),
    ]
    attendance = attendance_of(events)
    assert attendance.absences() == (
        Absence(c, "not there yet", 0.0, 5.0, "node c is there"),
        Absence(b, "drained", 10.0, 12.0, "node b is to go"),
        Absence(b, "lost", 12.0, 30.0, "node b is lost: it is down"),
        Absence(a[:1], "given back", 20.0, None, "hypersched pool"),
    )
    assert set(attendance.away) == attendance.going == {"a/0"}
    a_state, b_state, c_state = node_states(attendance, {"a/0": 7, "a/1": 7, "c/0": 3})
    assert (a_state.num_held, a_state.num_free, a_state.num_away) == (2, 0, 1)
    assert a_state.trials == "7 ×2"
    assert a_state.story == "1 of 2 to go since 20 s: hypersched pool"
    assert (b_state.story, b_state.num_free) == ("back at 30 s", 2)
    assert (c_state.story, c_state.trials) == ("joined at 5 s", "3")


def test_what_a_resumed_run_does_not_find_is_away() -> None:
    attendance = Attendance()
    attendance.add(Event(0.0, "setup", devices=("a/0", "b/0")))
    attendance.add(Event(9.0, "join", devices=("a/0",), reason="resume"))
    assert attendance.absences() == (Absence(("b/0",), "lost", 9.0, None, "not there when the run was resumed"),)


def test_one_machine_has_no_nodes() -> None:
    attendance = Attendance()
    attendance.add(Event(0.0, "setup", devices=("cpu0", "cpu1")))
    assert node_states(attendance, {"cpu0": 1}) == ()


def test_a_reason_does_not_name_the_node_again() -> None:
    assert why("node b is lost: no answer", "b") == "no answer"
    assert (why("node b is to go", "b"), why("node b is there", "b")) == ("", "")
    assert why("the night shift", "b") == "the night shift"


def test_every_device_of_a_run_is_in_one_node() -> None:
    run = small_run().run
    states = node_states(attendance_of(run.events), {})
    assert [state.name for state in states] == ["node1", "node2"]
    assert sum(state.num_devices for state in states) == len(run.devices) == 8
    assert list(names_of(2, 4)) == ["node2", "node1"], "they did not become known in this order"
