"""How many devices a cluster is asked for, and which nodes are handed back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.backends.ray._autoscale import Autoscaling, NodeUse, ScaleOrder, devices_to_ask, nodes_to_hand_back


@pytest.mark.parametrize(
    "nominal, present, wanted, left_s, start_s, ask",
    [
        (16, 0, 16, None, 0.0, 16),
        (16, 4, 10, None, 0.0, 10),
        (16, 4, 40, None, 0.0, 16),
        (16, 8, 3, None, 0.0, 3),
        (16, 8, 0, None, 0.0, 1),
        (16, 4, 10, 1000.0, 200.0, 10),
        (16, 4, 10, 399.0, 200.0, 4),
        (16, 0, 10, 10.0, 200.0, 10),
        (16, 8, 3, 10.0, 200.0, 3),
    ],
)
def test_as_many_devices_as_can_be_used_in_time(nominal, present, wanted, left_s, start_s, ask):
    assert devices_to_ask(nominal, present, wanted, left_s, start_s) == ask


def test_free_nodes_go_first_and_the_last_one_that_has_come():
    nodes = {"a": NodeUse(4, 1), "b": NodeUse(4, 0), "c": NodeUse(4, 0), "d": NodeUse(4, 4)}
    assert nodes_to_hand_back(nodes, 16) == ()
    assert nodes_to_hand_back(nodes, 13) == ()
    assert nodes_to_hand_back(nodes, 12) == ("c",)
    assert nodes_to_hand_back(nodes, 5) == ("c", "b")
    assert nodes_to_hand_back(nodes, 4) == ("c", "b", "a")
    assert nodes_to_hand_back(nodes, 4, may_move=False) == ("c", "b")
    assert nodes_to_hand_back(nodes, 0) == ("c", "b", "a"), "one node stays"


@given(
    nodes=st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), max_size=12),
    wanted=st.integers(0, 100),
    may_move=st.booleans(),
)
def test_enough_devices_are_left_and_no_other_node_could_go(nodes, wanted, may_move):
    uses = {str(index): NodeUse(number, min(held, number)) for index, (number, held) in enumerate(nodes)}
    gone = nodes_to_hand_back(uses, wanted, may_move)
    assert len(set(gone)) == len(gone)
    left = {name: node for name, node in uses.items() if name not in gone}
    num_left = sum(node.num_devices for node in left.values())
    assert not gone or num_left >= max(1, wanted)
    for node in left.values():
        if may_move or not node.num_held:
            assert num_left - node.num_devices < max(1, wanted)
    assert may_move or not any(uses[name].num_held for name in gone)


def test_a_node_goes_only_if_nobody_has_had_use_for_it_for_a_while():
    autoscaling = Autoscaling(8, idle_s=60.0)
    nodes = {"a": NodeUse(4, 4), "b": NodeUse(4, 0)}
    assert autoscaling.look(0.0, nodes, 4, None) == ScaleOrder(8), "trials may be about to start"
    assert autoscaling.look(30.0, nodes, 8, None) == ScaleOrder(8)
    assert autoscaling.look(31.0, nodes, 4, None) == ScaleOrder(8)
    assert autoscaling.look(90.9, nodes, 4, None) == ScaleOrder(8)
    assert autoscaling.look(91.0, nodes, 4, None) == ScaleOrder(4, ("b",))


def test_a_cluster_is_asked_for_more_at_once():
    autoscaling = Autoscaling(8, idle_s=60.0)
    assert autoscaling.look(0.0, {}, 8, None) == ScaleOrder(8)
    assert autoscaling.look(100.0, {"a": NodeUse(4, 4)}, 4, None) == ScaleOrder(8)
    assert autoscaling.look(200.0, {"a": NodeUse(4, 4)}, 4, None) == ScaleOrder(4)
    assert autoscaling.look(201.0, {"a": NodeUse(4, 4)}, 7, None) == ScaleOrder(7)


def test_what_would_come_too_late_is_not_asked_for():
    autoscaling = Autoscaling(8, idle_s=60.0)
    assert autoscaling.look(0.0, {}, 8, 3600.0) == ScaleOrder(8)
    autoscaling.joined(240.0)
    nodes = {"a": NodeUse(4, 4)}
    assert autoscaling.look(241.0, nodes, 8, 3359.0) == ScaleOrder(8)
    assert autoscaling.start_s == 240.0
    assert autoscaling.look(3100.0, nodes, 8, 500.0) == ScaleOrder(8)
    assert autoscaling.look(3200.0, nodes, 8, 400.0) == ScaleOrder(4)


@given(wanted=st.lists(st.tuples(st.floats(0, 50), st.integers(0, 8)), min_size=1, max_size=30))
def test_the_most_that_was_wanted_lately_counts(wanted):
    autoscaling, now, told = Autoscaling(8, idle_s=60.0), 0.0, []
    for pause_s, number in wanted:
        now += pause_s
        told.append((now, number))
        order = autoscaling.look(now, {"a": NodeUse(1, 1)}, number, None)
        ends = [*(moment for moment, _ in told[1:]), now]
        lately = [one for (_, one), end in zip(told, ends, strict=True) if end > now - 60.0]
        assert order.ask == max(1, *lately)
