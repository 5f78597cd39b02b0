"""Which nodes get an agent, and what they are called."""

from __future__ import annotations

from dataclasses import replace

from syne_hypersched.backends.ray._membership import NodeFacts, choose_nodes, name_for

A, B, C = (NodeFacts(name, name, "10.0.0.1", True, number) for name, number in (("a", 2), ("b", 4), ("c", 2)))


def test_all_nodes_if_any_number_is_used():
    assert choose_nodes([A, B, C], (), 0, 0) == [(B, 4), (A, 2), (C, 2)]


def test_no_more_devices_than_the_nominal_number():
    assert choose_nodes([A, B, C], (), 5, 0) == [(B, 4), (A, 1)]
    assert choose_nodes([A, C], ("b",), 5, 4) == [(A, 1)]
    assert choose_nodes([A, C], ("b",), 4, 4) == []


def test_no_more_nodes_than_are_wanted_but_whole_ones():
    assert choose_nodes([A, B, C], (), 8, 0, num_wanted=1) == [(B, 4)]
    assert choose_nodes([A, B, C], (), 8, 0, num_wanted=5) == [(B, 4), (A, 2)]
    assert choose_nodes([A, C], ("b",), 8, 4, num_wanted=4) == [], "what was handed back is not taken again"
    assert choose_nodes([A, C], ("b",), 5, 4, num_wanted=8) == [(A, 1)]


def test_only_nodes_that_live_and_stay():
    facts = [replace(A, is_alive=False), replace(B, is_draining=True), replace(C, num_devices=0)]
    assert choose_nodes(facts, (), 0, 0) == []


def test_a_node_is_called_as_its_machine():
    assert name_for("gpu1", ()) == "gpu1"
    assert name_for("gpu1", {"gpu1", "gpu1-2"}) == "gpu1-3"
    assert "/" not in name_for("a/b", ())
    assert name_for("", ()) == "node"


def test_a_node_that_may_soon_have_more_devices_waits_if_more_are_wanted():
    """An agent keeps to those that it has got, for the whole tuning."""
    partly = replace(B, num_devices=3, may_grow=True)
    assert choose_nodes([A, partly], (), 0, 0) == [(A, 2)]
    assert choose_nodes([A, partly], (), 8, 0) == [(A, 2)]
    assert choose_nodes([A, partly], (), 2, 0) == [(partly, 2)]
    assert choose_nodes([A, replace(partly, may_grow=False)], (), 8, 0) == [
        (replace(partly, may_grow=False), 3),
        (A, 2),
    ]
