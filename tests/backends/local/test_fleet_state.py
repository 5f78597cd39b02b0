"""What is checked after each step of a fleet, where that is asked for, and what its parts share."""

from __future__ import annotations

import threading

import pytest

from syne_hypersched.backends.local._crew import Crew
from syne_hypersched.backends.local._fleet_state import VALIDATE, FleetState
from syne_hypersched.backends.local._states import IllegalStateError
from tests.backends.local.fleets import make_state, make_trial, read_events


def with_a_trial(folder) -> FleetState:
    """A trial that runs on two of four devices."""
    state = make_state(folder)
    state.launches.trial_ids[9] = 0
    trial = make_trial(folder)
    state.trials[0] = trial
    trial.start(2, order=1)
    state.pool.acquire(0, 2)
    trial.begin_launch(2)
    trial.crew = Crew(9, ["cpu0", "cpu1"], 2, None)
    trial.take_handle(9)
    state.trials.place(trial)
    return state


@pytest.fixture
def state(monkeypatch, tmp_path) -> FleetState:
    monkeypatch.setenv(VALIDATE, "1")
    state = with_a_trial(tmp_path)
    state.check()
    return state


def holds_more(state):
    state.pool.extend(0, 1)


def is_not_active(state):
    state.trials._active.clear()


def has_unknown_handle(state):
    state.launches.trial_ids[9] = 5


def has_a_forgotten_launch(state):
    state.launches.trial_ids[10] = 0


def others_hold_devices(state):
    state.pool.acquire(8, 1)


BREAKS = [holds_more, is_not_active, has_unknown_handle, has_a_forgotten_launch, others_hold_devices]


@pytest.mark.parametrize("break_", BREAKS)
def test_a_contradiction_is_a_fault_of_this_package(state, break_):
    break_(state)
    with pytest.raises(IllegalStateError, match="fault of syne_hypersched"):
        state.check()


@pytest.mark.parametrize("break_", BREAKS[:2])
def test_a_step_of_the_tuner_raises_at_its_end(state, break_):
    with state.step():
        pass
    with pytest.raises(IllegalStateError), state.step():
        break_(state)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_a_step_that_is_interrupted_may_be_half_done(state, interruption):
    def interrupt():
        others_hold_devices(state)
        raise interruption

    with pytest.raises(interruption), state.step():
        interrupt()
    with state.told():
        pass  # in the launcher's thread, until the tuner stops everything
    assert state.fault is None


def test_a_step_of_the_launcher_goes_on_and_the_first_fault_is_kept(state, caplog):
    with state.told():
        others_hold_devices(state)
    first = state.fault
    assert "hold devices" in str(first)
    assert caplog.messages == [str(first)]
    with state.told():
        raise IllegalStateError("another one")
    assert state.fault is first
    with state.step():
        pass  # what is wrong is known; the tuner raises it when it looks


def test_errors_of_others_are_not_caught(state):
    with pytest.raises(KeyError), state.told():
        raise KeyError


@pytest.mark.parametrize(("value", "validates"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_nothing_is_checked_unless_it_is_asked_for(monkeypatch, tmp_path, value, validates):
    monkeypatch.delenv(VALIDATE) if value is None else monkeypatch.setenv(VALIDATE, value)
    state = with_a_trial(tmp_path)
    others_hold_devices(state)
    if validates:
        with pytest.raises(IllegalStateError), state.step():
            pass
    else:
        with state.step():
            pass


def test_the_lock_is_held_during_a_step(state):
    free = []
    with state.step():
        thread = threading.Thread(target=lambda: free.append(state.lock.acquire(blocking=False)))
        thread.start()
        thread.join()
    assert free == [False]


def test_an_order_comes_after_all_others(state):
    assert [state.next_order(), state.next_order()] == [1, 2]


def test_an_event_of_a_trial_has_its_devices(state, tmp_path):
    state.record("drain", state.trial_of(9), "resize", grace_s=5.0)
    (event,) = read_events(tmp_path)
    assert (event["trial_id"], event["devices"], event["launch"]) == (0, ["cpu0", "cpu1"], 0)
    assert (event["reason"], event["grace_s"]) == ("resize", 5.0)


def test_devices_of_a_trial_that_are_to_go(state):
    assert state.going(0) == []
    state.pool.retire("cpu1")
    state.pool.retire("cpu3")
    assert state.going(0) == ["cpu1"]
    state.pool.lose("cpu0")
    assert state.going(0) == ["cpu0", "cpu1"], "lost ones are gone already"
