"""Whose checkpoints are needed, and how Syne Tune's tuner is told."""

from __future__ import annotations

from types import SimpleNamespace

import dill
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syne_tune.config_space import choice, loguniform, randint, uniform
from syne_tune.optimizer.schedulers.remove_checkpoints import RemoveCheckpointsSchedulerMixin

from syne_hypersched import ASHA, PASHA, HyperSched
from syne_hypersched.contract import RemovingScheduler
from syne_hypersched.schedulers._checkpoints import CheckpointRemoval, NeededCheckpoints
from syne_hypersched.testing.scheduler_contract import TuningLoop
from tests.thoroughness import examples

SPACE = {"x": uniform(0, 1), "rate": loguniform(1e-5, 1e-1), "n": randint(1, 10), "kind": choice(["a", "b", "c"])}


def make_scheduler(kind, max_t, seed, **options):
    options["random_seed"] = seed
    if kind == "pasha":
        return PASHA(SPACE, "loss", "epoch", max_t, **options)
    if kind in ("stopping", "promotion"):
        return ASHA(SPACE, "loss", "epoch", max_t, type=kind, brackets=2 if max_t > 3 else 1, **options)
    options = {"searcher": "random_search", **options}  # the model of the default takes ten times as long
    return HyperSched(SPACE, "loss", "epoch", max_t, num_devices=4, deadline_s=60, strategy=kind, **options)


KINDS = ["stopping", "promotion", "pasha", "published", "adaptive"]


def test_a_trial_is_named_once_and_for_good():
    checkpoints = NeededCheckpoints()
    for trial_id in (0, 1, 2):
        checkpoints.pause(trial_id)
    checkpoints.resume(1)
    assert checkpoints.paused == (0, 2)
    checkpoints.end(2)
    checkpoints.end(0)
    checkpoints.end(2)
    checkpoints.pause(2)  # it has ended nevertheless
    assert (checkpoints.paused, checkpoints.over(), checkpoints.over(1)) == ((), [2, 0], [0])
    checkpoints.leave(1, resumable=True)
    checkpoints.leave(3, resumable=False)
    assert (checkpoints.paused, checkpoints.over(2)) == ((1,), [3])


def test_the_surplus_is_the_worst_trial_at_the_lowest_level():
    checkpoints = NeededCheckpoints(max_paused=2)
    for trial_id, resource, value in ((0, 3, 0.9), (1, 1, 0.2), (2, 1, 0.5)):
        assert checkpoints.surplus() is None
        checkpoints.pause(trial_id, resource, value)
    assert checkpoints.surplus() == 2
    checkpoints.end(2)
    assert checkpoints.surplus() is None
    checkpoints.resume(1)
    checkpoints.pause(1, 9, 0.1)
    checkpoints.pause(3, 9, 0.3)
    assert checkpoints.surplus() == 0  # trial 1 is not held against what it had been before
    assert NeededCheckpoints().surplus() is None


@settings(max_examples=examples(40), deadline=None)
@given(st.sampled_from(["promotion", "pasha", "published", "adaptive"]), st.integers(1, 6), st.integers(0, 100))
def test_no_more_trials_than_the_maximum_may_be_resumed(kind, max_paused, seed):
    scheduler = make_scheduler(kind, 27, seed, max_paused=max_paused)
    loop = TuningLoop("loss", "epoch", 4, 27, 1.0, 7, 5)
    for _ in range(60):
        loop.run(scheduler, 1)  # fails if a trial that is over is resumed
        assert len(set(loop.paused) - set(loop.over)) <= max_paused


def test_only_the_adaptive_strategy_has_a_maximum_of_its_own():
    assert make_scheduler("adaptive", 27, 0).max_paused == 40
    assert [make_scheduler(kind, 27, 0).max_paused for kind in ("promotion", "pasha", "published")] == [None] * 3


@pytest.mark.parametrize("kind", ["promotion", "pasha", "published", "adaptive"])
def test_the_maximum_is_checked(kind):
    for wrong in (0, -1, 1.5, "3"):
        with pytest.raises((TypeError, ValueError), match="max_paused must be"):
            make_scheduler(kind, 9, 0, max_paused=wrong)


def test_stopping_pauses_none():
    with pytest.raises(ValueError, match='max_paused must be left out with type="stopping"'):
        make_scheduler("stopping", 9, 0, max_paused=3)


@pytest.mark.parametrize("kind", KINDS)
def test_syne_tune_and_this_package_know_the_interface(kind):
    scheduler = make_scheduler(kind, 9, 0)
    assert isinstance(scheduler, RemoveCheckpointsSchedulerMixin)
    assert isinstance(scheduler, RemovingScheduler)
    assert isinstance(scheduler.callback_for_checkpoint_removal(stop_criterion=bool), CheckpointRemoval)
    for wrong in (-1, 1.5, "0", None):
        with pytest.raises((TypeError, ValueError), match="since must be"):
            scheduler.trials_checkpoints_can_be_removed(wrong)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 6),
    st.sampled_from([1, 3, 9, 27]),
    st.integers(0, 100),
    st.sampled_from([0, 3, 7]),
    st.sampled_from([0, 2, 5]),
)
def test_no_trial_that_is_over_is_resumed(kind, num_workers, max_t, seed, fail_every, diverge_every):
    if kind in ("published", "adaptive"):
        num_workers = min(num_workers, 4)
    loop = TuningLoop("loss", "epoch", num_workers, max_t, 1.0, fail_every, diverge_every)
    scheduler = make_scheduler(kind, max_t, seed)
    trace = loop.run(scheduler, 40)  # fails on what it must not see
    ended = {step[1] for step in trace if step[0] in ("fail", "complete") or step[-1] == "STOP"}
    assert ended <= set(loop.over)
    assert set(loop.over) <= ended | set(loop.paused)


@pytest.mark.parametrize("kind", ["promotion", "pasha"])
def test_with_nothing_left_to_suggest_no_paused_trial_is_needed(kind):
    class Finite:
        """Six configurations, as a grid would have them."""

        def __init__(self, inner):
            self.inner = inner
            self.left = 6

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def suggest(self):
            self.left -= 1
            return self.inner.suggest() if self.left >= 0 else None

    scheduler = make_scheduler(kind, 9, 1)
    scheduler._searcher = Finite(scheduler._searcher)
    loop = TuningLoop("loss", "epoch", 2, 9)
    loop.run(scheduler, 200)
    assert loop.exhausted
    assert loop.running == []
    assert sorted(loop.over) == list(range(6))
    assert scheduler.suggest() is None  # also in later calls


def test_the_callback_has_each_trial_removed_once():
    removed = []
    scheduler = make_scheduler("stopping", 3, 0)
    callback = scheduler.callback_for_checkpoint_removal(stop_criterion=bool)
    callback.on_loop_end()  # of a tuning that has not started
    tuner = SimpleNamespace(trial_backend=SimpleNamespace(delete_checkpoint=removed.append))
    callback.on_tuning_start(tuner)
    loop = TuningLoop("loss", "epoch", 4, 3)
    for _ in range(20):
        loop.run(scheduler, 1)
        callback.on_loop_end()
        assert removed == loop.over
    assert len(removed) > 10
    # A tuner that is resumed cannot know what the one before it got done.
    stored = dill.loads(dill.dumps(scheduler)).callback_for_checkpoint_removal(stop_criterion=bool)
    stored.on_tuning_start(tuner)
    stored.on_loop_end()
    assert removed == loop.over * 2
