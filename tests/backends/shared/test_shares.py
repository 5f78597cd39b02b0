"""Shares of GPUs: one of them, or all of some GPUs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.reconcile import Drain, Launch, Phase, TrialState, reconcile
from syne_hypersched.backends.shared.shares import fitting, gpus_of, is_out_of_memory, share_names
from tests.thoroughness import examples

RUNNING = Phase.RUNNING


def test_names_say_which_gpu_it_is():
    names, gpus = share_names(["0", "GPU-7f"], 3)
    assert len(set(names)) == 6
    assert [gpus_of([name])[0] for name in names] == list(gpus)
    assert gpus_of(names) == ("0", "GPU-7f")
    assert share_names(["0", "1"], 1) == (("0", "1"), ("", ""))
    assert gpus_of(("0", "1")) == ("0", "1")


@given(number=st.integers(0, 40), shares=st.integers(1, 8))
def test_a_trial_has_one_share_or_those_of_whole_gpus(number, shares):
    fits = fitting(number, shares)
    assert fits <= number
    assert fits in (0, 1) or fits % shares == 0
    assert number - fits < shares


def test_a_new_trial_gets_a_share_of_the_gpu_with_most_free():
    [launch] = reconcile([TrialState(0, wants=1)], {"0": 1, "1": 2}, shares_per_gpu=2)
    assert (launch, launch.nodes) == (Launch(0, 1), {"1": 1})


def test_a_trial_that_grows_gets_a_whole_gpu():
    grower = TrialState(0, wants=2, holds=1, phase=RUNNING, nodes={"0": 1})
    assert reconcile([grower], {"0": 0, "1": 1}, shares_per_gpu=2) == []
    assert reconcile([grower], {"0": 1, "1": 0}, shares_per_gpu=2) == [Drain(0)]
    assert reconcile([grower], {"0": 0, "1": 2}, shares_per_gpu=2) == [Drain(0)]
    back = TrialState(0, wants=2, resized=True)
    [launch] = reconcile([back], {"0": 1, "1": 2}, shares_per_gpu=2)
    assert (launch, launch.nodes) == (Launch(0, 2), {"1": 2})
    [launch] = reconcile([back], {"0": 1, "1": 1}, shares_per_gpu=2)
    assert launch == Launch(0, 1), "as much as there is"
    four = TrialState(0, wants=4, resized=True)
    [launch] = reconcile([four], {"0": 2, "1": 1, "2": 2}, shares_per_gpu=2)
    assert (launch, launch.nodes) == (Launch(0, 4), {"0": 2, "2": 2}), "two whole GPUs, and nothing of the third"


def test_a_gpu_that_is_reserved_is_given_to_nobody_else():
    drainer = TrialState(0, wants=2, holds=1, phase=Phase.DRAINING, nodes={"0": 1})
    assert reconcile([drainer, TrialState(1, wants=1)], {"0": 1}, shares_per_gpu=2) == []
    [launch] = reconcile([drainer, TrialState(1, wants=1)], {"0": 1, "1": 1}, shares_per_gpu=2)
    assert launch.nodes == {"1": 1}


@settings(max_examples=examples(60), deadline=None)
@given(
    num_gpus=st.integers(1, 3), shares=st.integers(2, 3),
    steps=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.booleans()), max_size=30),
)  # fmt: skip
def test_no_gpu_has_two_ranks_of_a_trial_nor_a_large_trial_beside_others(num_gpus, shares, steps):
    names, gpus = share_names([str(gpu) for gpu in range(num_gpus)], shares)
    pool, trials = DevicePool(names, gpus), {}
    for order, (trial_id, wants, ends) in enumerate(steps):
        if ends and trial_id in trials and trials[trial_id].phase is Phase.DRAINING:
            pool.release(trial_id)
            phase, wants = Phase.IDLE, trials[trial_id].wants
        else:
            phase = trials[trial_id].phase if trial_id in trials else Phase.IDLE
            wants = fitting(min(wants, len(pool)), shares)
        trials[trial_id] = TrialState(trial_id, wants, phase=phase, resized=ends and wants > 0, order=order)
        while True:
            states = [
                TrialState(i, t.wants, pool.num_held(i), t.phase, t.resized, t.order, nodes=pool.nodes_of(i))
                for i, t in trials.items()
            ]
            actions = reconcile(states, pool.free_by_node, num_present=pool.num_present, shares_per_gpu=shares)
            if not actions:
                break
            for action in actions:
                trial = trials[action.trial_id]
                if isinstance(action, Launch):
                    pool.acquire(action.trial_id, action.num_devices, action.nodes)
                phase = RUNNING if isinstance(action, Launch) else Phase.DRAINING
                trials[action.trial_id] = TrialState(trial.trial_id, trial.wants, phase=phase, order=trial.order)
        for i in trials:
            assert set(pool.nodes_of(i).values()) <= ({1} if pool.num_held(i) == 1 else {shares})


@pytest.mark.parametrize(
    ("log", "is_one"),
    [("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", True),
     ("RuntimeError: CUDA_ERROR_OUT_OF_MEMORY", True), ("KeyError: 'memory'", False), ("", False)],
)  # fmt: skip
def test_a_log_tells_that_memory_was_not_enough(log, is_one):
    assert is_out_of_memory(log) is is_one
