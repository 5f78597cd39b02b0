"""Reconciliation on values, one situation at a time."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.backends.shared.reconcile import (
    Alter,
    Drain,
    Launch,
    Phase,
    TrialState,
    Withdraw,
    _ShareRoom,
    reconcile,
    reconcile_alone,
)

RUNNING, CHANGING, DRAINING = Phase.RUNNING, Phase.CHANGING, Phase.DRAINING


@given(
    st.sampled_from([Phase.IDLE, RUNNING, CHANGING, DRAINING]), st.integers(0, 6), st.integers(1, 6), st.booleans(),
    st.integers(0, 6), st.integers(0, 6), st.booleans(),
)  # fmt: skip
def test_of_a_trial_alone_the_short_way_says_the_same(phase, wants, holds, resized, free, present, in_place):
    holds = 0 if phase is Phase.IDLE else holds
    trial = TrialState(
        3, wants, holds, phase, resized and phase is Phase.IDLE, order=1, in_place=in_place,
        becomes=min(holds + 1, 6) if phase is CHANGING else 0,
    )  # fmt: skip
    todo = reconcile_alone(trial, SimpleNamespace(num_free=free, num_present=present))
    if todo is not None:
        expected = [Drain(3)] if todo == "drain" else [Launch(3, todo)] if todo else []
        assert reconcile([trial], free, num_present=present) == expected
    assert (todo is None) == (phase is CHANGING or (phase is RUNNING and wants > 0))


def test_nothing_to_do():
    assert reconcile([], 4) == []
    assert reconcile([TrialState(0, wants=2, holds=2, phase=RUNNING)], 4) == []


def test_a_new_trial_starts_when_its_devices_are_free():
    assert reconcile([TrialState(0, wants=2)], 2) == [Launch(0, 2)]
    assert reconcile([TrialState(0, wants=2)], 1) == []


def test_a_smaller_trial_may_start_before_one_that_has_to_wait():
    assert reconcile([TrialState(0, wants=3, order=1), TrialState(1, wants=1, order=2)], 2) == [Launch(1, 1)]


def test_trials_start_in_the_order_in_which_they_were_ordered():
    assert reconcile([TrialState(0, wants=1, order=2), TrialState(1, wants=1, order=1)], 1) == [Launch(1, 1)]


def test_a_paused_trial_is_drained():
    assert reconcile([TrialState(0, wants=0, holds=1, phase=RUNNING)], 0) == [Drain(0)]


def test_shrinking_does_not_wait():
    assert reconcile([TrialState(0, wants=1, holds=2, phase=RUNNING)], 0) == [Drain(0)]


def test_a_trial_trains_on_until_what_it_wants_in_addition_is_free():
    grower = TrialState(0, wants=4, holds=1, phase=RUNNING)
    assert reconcile([grower], 2) == []
    assert reconcile([grower], 3) == [Drain(0)]


def test_devices_are_reserved_for_a_trial_that_drains_in_order_to_grow():
    draining = TrialState(0, wants=2, holds=1, phase=DRAINING, order=1)
    newcomer = TrialState(1, wants=1, order=2)
    other_grower = TrialState(2, wants=2, holds=1, phase=RUNNING, order=3)
    assert reconcile([draining, newcomer, other_grower], 1) == []
    assert reconcile([draining, newcomer, other_grower], 2) == [Launch(1, 1)]


def test_a_resized_trial_comes_back_before_new_ones():
    back = TrialState(5, wants=2, resized=True, order=9)
    assert reconcile([TrialState(1, wants=1, order=1), back], 2) == [Launch(5, 2)]


def test_a_resized_trial_whose_request_grew_meanwhile_takes_the_free_devices():
    assert reconcile([TrialState(0, wants=4, resized=True)], 2) == [Launch(0, 2)]


def test_starting_trials_come_before_growing_ones():
    waiting = TrialState(1, wants=2, order=5)
    grower = TrialState(0, wants=2, holds=1, phase=RUNNING, order=1)
    assert reconcile([waiting, grower], 1) == []


def test_a_device_is_drained_for_one_grower_only():
    first, second = (TrialState(i, wants=2, holds=1, phase=RUNNING, order=i) for i in range(2))
    assert reconcile([first, second], 1) == [Drain(0)]
    assert reconcile([first, second], 2) == [Drain(0), Drain(1)]


def test_a_trial_that_cannot_grow_reserves_nothing_so_that_a_later_one_grows():
    trials = [TrialState(i, wants=wants, holds=1, phase=RUNNING, order=i) for i, wants in ((0, 4), (1, 2))]
    assert reconcile(trials, 1) == [Drain(1)]


def test_a_trial_on_a_share_grows_onto_the_gpu_on_which_it_is():
    # The other trial, drained for a resize, gets the GPU that the first one leaves free.
    growing = TrialState(0, wants=2, holds=1, phase=DRAINING, order=0, nodes={"b": 1})
    coming = TrialState(1, wants=2, phase=Phase.IDLE, resized=True, order=1)
    plan = reconcile([growing, coming], {"a": 2, "b": 1}, shares_per_gpu=2)
    assert plan == [Launch(1, 2)]
    assert plan[0].nodes == {"a": 2}


def test_a_trial_with_a_device_that_is_to_go_is_drained_and_goes_on_on_the_others():
    assert reconcile([TrialState(0, wants=2, holds=2, phase=RUNNING, retiring=1)], 0, num_present=1) == [Drain(0)]
    assert reconcile([TrialState(0, wants=2, resized=True)], 1, num_present=1) == [Launch(0, 1)]


def test_free_devices_are_reserved_for_a_trial_whose_device_goes():
    leaving = TrialState(0, wants=1, holds=1, phase=RUNNING, retiring=1, order=2)
    newcomer = TrialState(1, wants=1, order=1)
    assert reconcile([leaving, newcomer], 1, num_present=1) == [Drain(0)]


def test_free_devices_are_reserved_for_a_trial_that_trains_on_while_its_device_goes():
    leaving = TrialState(0, wants=2, holds=2, phase=RUNNING, retiring=1, in_place=True, can_leave=True, order=2)
    newcomer = TrialState(1, wants=1, order=1)
    assert reconcile([leaving, newcomer], 1, num_present=2) == [Alter(0, 1)]
    assert reconcile([leaving, newcomer], 2, num_present=3) == [Alter(0, 1), Launch(1, 1)]


def test_nobody_waits_for_more_devices_than_are_there():
    assert reconcile([TrialState(0, wants=4)], 2, num_present=2) == [Launch(0, 2)]
    assert reconcile([TrialState(0, wants=4, holds=2, phase=RUNNING)], 0, num_present=2) == []
    assert reconcile([TrialState(0, wants=4)], 0, num_present=0) == []


def test_a_launch_on_one_node_gets_devices_of_one_node():
    assert reconcile([TrialState(0, wants=2)], {"a": 1, "b": 1}, one_node=True) == []
    [launch] = reconcile([TrialState(0, wants=2)], {"a": 1, "b": 2}, one_node=True)
    assert (launch, launch.nodes) == (Launch(0, 2), {"b": 2})
    grower = TrialState(0, wants=3, holds=1, phase=RUNNING, nodes={"a": 1})
    assert reconcile([grower], {"a": 1, "b": 2}, one_node=True) == []
    assert reconcile([grower], {"a": 2, "b": 0}, one_node=True) == [Drain(0)]
    assert reconcile([grower], {"a": 0, "b": 3}, one_node=True) == [Drain(0)]


def test_on_one_node_what_is_reserved_is_given_to_nobody_else():
    drainer = TrialState(0, wants=2, holds=1, phase=DRAINING, nodes={"a": 1})
    newcomer = TrialState(1, wants=1, order=1)
    [launch] = reconcile([drainer, newcomer], {"a": 1, "b": 2}, one_node=True)
    assert (launch, launch.nodes) == (Launch(1, 1), {"b": 1})
    assert reconcile([drainer, newcomer], {"a": 1, "b": 0}, one_node=True) == []


def test_of_shared_gpus_whole_ones_are_reserved_where_the_trial_has_a_share_first():
    trial = SimpleNamespace(nodes={"gpu0": 1})
    room = _ShareRoom({"gpu0": 1, "gpu1": 2, "gpu2": 2}, 2)
    assert room.reserve(trial, 4, in_part=False)
    assert room.take(2) == {"gpu2": 2}
    assert room.take(1) is None, "both of the others are reserved whole"


def test_of_shared_gpus_none_of_which_is_whole_a_launch_gets_one_share():
    room = _ShareRoom({"gpu0": 1, "gpu1": 1}, 2)
    assert room.most == 1
    assert room.take(2) is None
    assert [room.take(1), room.take(1), room.most] == [{"gpu0": 1}, {"gpu1": 1}, 0]


def test_of_shared_gpus_too_few_are_reserved_only_in_part():
    trial = SimpleNamespace(nodes={})
    for in_part, left in ((False, 2), (True, 1)):
        room = _ShareRoom({"gpu0": 2, "gpu1": 1}, 2)
        assert not room.reserve(trial, 4, in_part)
        assert room.most == left


def test_a_trial_whose_processes_can_join_and_leave_is_not_drained():
    shrinks = TrialState(0, wants=1, holds=2, phase=RUNNING, in_place=True)
    grows = TrialState(1, wants=3, holds=1, phase=RUNNING, in_place=True)
    assert reconcile([shrinks, grows], 2) == [Alter(0, 1), Alter(1, 3)]
    assert reconcile([grows], 1) == [], "what it needs in addition must be free"
    assert reconcile([replace(shrinks, wants=0)], 0) == [Drain(0)]


def test_a_newer_wish_withdraws_a_change():
    changing = TrialState(0, wants=3, holds=3, phase=CHANGING, becomes=3, in_place=True)
    assert reconcile([changing], 4) == []
    assert reconcile([replace(changing, wants=1)], 4) == [Withdraw(0)]
    assert reconcile([replace(changing, wants=4)], 4) == [Withdraw(0)]
    assert reconcile([replace(changing, wants=0)], 4) == [Drain(0)]
