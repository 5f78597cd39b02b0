"""The stop criterion of a deadline; its enforcement with real processes is tested with the backend."""

from __future__ import annotations

from types import SimpleNamespace

import dill
import numpy as np
import pytest

from syne_hypersched import Deadline
from syne_hypersched.contract import Situation


class Clocks:
    def __init__(self):
        self.monotonic_s, self.time_s = 50.0, 1e9

    def pass_(self, seconds):
        self.monotonic_s += seconds
        self.time_s += seconds


@pytest.fixture
def clocks(monkeypatch):
    clocks = Clocks()
    fake = SimpleNamespace(monotonic=lambda: clocks.monotonic_s, time=lambda: clocks.time_s)
    for module in ("deadline", "_moments"):
        monkeypatch.setattr(f"syne_hypersched.{module}.time", fake)
    monkeypatch.setattr("syne_hypersched._moments.boot_id", lambda: None)
    return clocks


class Backend:
    grace_s = 2.0

    def __init__(self):
        self.calls = []

    def set_deadline(self, seconds_left, drain_s):
        self.calls.append((seconds_left, drain_s))


def status(wallclock_time):
    return SimpleNamespace(wallclock_time=wallclock_time)


def test_the_tuner_stops_when_draining_begins(clocks):
    backend = Backend()
    deadline = Deadline(100, trial_backend=backend)
    assert not deadline(status(0.0))
    clocks.pass_(97.5)
    assert not deadline(status(97.5))
    clocks.pass_(0.6)
    assert deadline(status(98.1))
    assert backend.calls == [(100.0, 2.0)]


def test_seconds_count_from_the_start_of_the_tuning(clocks):
    backend = Backend()
    Deadline(100, trial_backend=backend)(status(30.0))
    assert backend.calls == [(70.0, 2.0)]


def test_draining_takes_at_most_a_twentieth(clocks):
    assert Deadline(10, trial_backend=Backend()).drain_s == 0.5
    assert Deadline(10, trial_backend=Backend(), drain_s=3).drain_s == 3
    assert Deadline(10).drain_s == 0


def test_a_backend_that_keeps_no_deadline_is_stopped_by_the_tuner(clocks):
    deadline = Deadline(10, trial_backend=object())
    assert not deadline(status(0.0))
    clocks.pass_(10)
    assert deadline(status(10.0))


def test_the_deadline_of_a_saved_tuner_goes_on(clocks):
    deadline = Deadline(100)
    deadline(status(0.0))
    clocks.pass_(60)
    stored = dill.dumps(deadline)
    clocks.monotonic_s = 3.0  # another machine start
    clocks.time_s += 30
    copy = dill.loads(stored)
    assert not copy(status(0.0))
    clocks.pass_(11)
    assert copy(status(11.0))


@pytest.mark.parametrize("deadline_s", [0, -1, float("nan"), float("inf")])
def test_a_deadline_is_positive(deadline_s):
    with pytest.raises(ValueError, match="deadline_s must be a positive number"):
        Deadline(deadline_s)


@pytest.mark.parametrize("drain_s", [-1, 10, float("nan")])
def test_draining_fits_before_the_deadline(drain_s):
    with pytest.raises(ValueError, match="drain_s must be at least 0 and below"):
        Deadline(10, drain_s=drain_s)


class VirtualBackend(Backend):
    """A backend with seconds of its own."""

    def __init__(self):
        super().__init__()
        self.time_s = 0.0


def test_virtual_seconds_count_where_the_backend_has_them(clocks):
    backend = VirtualBackend()
    deadline = Deadline(100, trial_backend=backend)
    assert not deadline(status(0.0))
    clocks.pass_(1000)
    assert not deadline(status(1000.0))
    backend.time_s = 97.9
    assert not deadline(status(1000.0))
    backend.time_s = 98.0
    assert deadline(status(1000.0))
    assert backend.calls == [(100.0, 2.0)]


def test_the_virtual_deadline_of_a_saved_tuner_stays_where_it_was(clocks):
    backend = VirtualBackend()
    deadline = Deadline(100, trial_backend=backend)
    deadline(status(0.0))
    backend.time_s = 60.0
    clocks.pass_(1000)
    copy = dill.loads(dill.dumps(deadline))
    assert not copy(status(0.0))
    assert copy._trial_backend.calls[-1] == (40.0, 2.0)


def test_the_deadline_of_the_scheduler_is_taken_when_it_is_known(clocks):
    backend = Backend()
    backend.situation = Situation(2)
    deadline = Deadline(trial_backend=backend)
    assert backend.situation.takes_plan
    started = SimpleNamespace(num_trials_started=0, wallclock_time=0.0)
    assert not deadline(started)
    clocks.pass_(1)
    backend.situation.planned_deadline_s = 100.0
    assert not deadline(SimpleNamespace(num_trials_started=1, wallclock_time=1.0))
    assert backend.calls == [(99.0, 2.0)]
    assert deadline.deadline_s == 100.0
    clocks.pass_(97)
    assert deadline(status(98.0))


def test_somebody_has_to_say_when_the_deadline_is(clocks):
    for backend in (None, object(), Backend()):
        with pytest.raises(ValueError, match="deadline_s must be given, or trial_backend"):
            Deadline(trial_backend=backend)
    backend = Backend()
    backend.situation = Situation(2)
    with pytest.raises(ValueError, match="does not plan for a deadline"):
        Deadline(trial_backend=backend)(SimpleNamespace(num_trials_started=1, wallclock_time=0.0))


def test_draining_fits_before_the_deadline_of_the_scheduler(clocks):
    backend = Backend()
    backend.situation = Situation(2, planned_deadline_s=3.0)
    with pytest.raises(ValueError, match="drain_s must be at least 0 and below deadline_s = 3"):
        Deadline(trial_backend=backend, drain_s=5)(SimpleNamespace(num_trials_started=1, wallclock_time=0.0))


@pytest.mark.parametrize("deadline_s", ["60", True, [60], np.array([60.0])])
def test_a_deadline_is_a_number(deadline_s):
    with pytest.raises(TypeError, match="deadline_s must be a positive number of seconds, but got "):
        Deadline(deadline_s)
    with pytest.raises(TypeError, match="drain_s must be at least 0 and below deadline_s = 60 seconds, but got '5'"):
        Deadline(60, drain_s="5")


@pytest.mark.parametrize("deadline_s", [np.int64(60), np.float32(60), 60])
def test_numbers_of_numpy_are_numbers(clocks, deadline_s):
    backend = Backend()
    Deadline(deadline_s, trial_backend=backend)(status(0.0))
    assert backend.calls == [(60.0, 2.0)]
    assert type(backend.calls[0][0]) is float


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_setting_the_clock_does_not_move_the_deadline(clocks, step_s, monkeypatch):
    monkeypatch.setattr("syne_hypersched._moments.boot_id", lambda: "this start")
    monkeypatch.setattr("syne_hypersched._moments.seconds_since_boot", lambda: clocks.monotonic_s)
    backend = Backend()
    deadline = Deadline(100, trial_backend=backend)
    deadline(status(0.0))
    clocks.pass_(40)
    clocks.time_s += step_s
    assert not deadline(status(40.0))
    copy = dill.loads(dill.dumps(deadline))
    clocks.time_s += step_s
    clocks.pass_(20)
    assert not copy(status(0.0))
    assert copy._trial_backend.calls[-1] == (40.0, 2.0)
    clocks.pass_(38)
    assert deadline(status(98.0))
    assert copy(status(98.0))


@pytest.mark.parametrize("backend", ["local", object, 3, [], {"a": 1}, print])
def test_what_is_no_backend_is_refused(backend):
    with pytest.raises(TypeError, match="trial_backend must be the backend of the tuner"):
        Deadline(10, trial_backend=backend)
