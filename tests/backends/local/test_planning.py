"""What is to be done next, for trials in any state."""

from __future__ import annotations

import pytest

from syne_hypersched.backends.local._planning import is_as_wanted, plan
from syne_hypersched.backends.shared.reconcile import Alter, Drain, Launch
from tests.backends.local.fleets import Running, make_state, make_trial


@pytest.fixture
def state_of(tmp_path):
    """Makes a fleet of four devices, on which each trial, given as wanted and held devices, runs or waits."""

    def make(*trials, **options):
        state = make_state(tmp_path, **options)
        for trial_id, (wants, holds) in enumerate(trials):
            trial = make_trial(tmp_path, trial_id)
            trial.start(holds or wants, order=trial_id + 1)
            if holds:
                state.pool.acquire(trial_id, holds)
                trial.begin_launch(holds)
                trial.take_handle(trial_id)
                if wants != holds:
                    trial.resize(wants, order=10)
            state.trials[trial_id] = trial
            state.trials.place(trial)
        return state

    return make


@pytest.mark.parametrize("trials", [(), ((1, 1),), ((2, 2), (1, 1)), ((2, 2), (2, 2))])
def test_nothing_is_planned_where_all_trials_are_as_wanted(state_of, trials):
    state = state_of(*trials)
    assert is_as_wanted(state)
    assert plan(state) == []


@pytest.mark.parametrize("trials", [((1, 0),), ((2, 2), (1, 0)), ((2, 1),), ((1, 2), (1, 1)), ((3, 3), (2, 0))])
def test_trials_that_wait_or_want_another_number_are_planned_for(state_of, trials):
    assert not is_as_wanted(state_of(*trials))


def test_a_device_that_is_to_go_is_planned_for(state_of):
    state = state_of((2, 2))
    state.pool.retire("cpu0")
    assert not is_as_wanted(state)
    assert len(plan(state)) == 1


def test_a_trial_whose_processes_cannot_join_is_drained_and_one_that_waits_is_launched(state_of):
    assert plan(state_of((1, 2), (1, 0))) == [Drain(0), Launch(1, 1)]


def test_a_trial_whose_processes_can_join_is_changed(tmp_path):
    running = Running(tmp_path)
    state = running.fleet._state
    running.trial.resize(3, order=2)
    assert plan(state) == [Alter(0, 3)]
    running.desk.end()
    assert plan(state) == [], "more devices do not help a training that has ended"


@pytest.mark.parametrize(("goes", "action"), [("cpu1", Alter(0, 1)), ("cpu0", Drain(0))])
def test_the_first_process_of_a_trial_cannot_leave_it(tmp_path, goes, action):
    running = Running(tmp_path)
    state = running.fleet._state
    for device in ("cpu2", "cpu3"):
        state.pool.retire(device)
    state.pool.retire(goes)
    assert plan(state)[0] == action


def test_a_plan_changes_nothing(state_of):
    state = state_of((1, 2), (1, 0))
    assert plan(state) == plan(state)
