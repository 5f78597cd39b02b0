"""HyperSched, the device pool and the reconciler together, under any sequence of events."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime

import dill
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from syne_tune.backend.trial_status import Status
from syne_tune.config_space import uniform

from syne_hypersched.allocation.policies import POLICIES
from syne_hypersched.allocation.scaling import TableScaling
from syne_hypersched.backends.devices import DevicePool
from syne_hypersched.backends.elastic import ElasticTrial
from syne_hypersched.backends.reconcile import Drain, Phase, TrialState, reconcile
from syne_hypersched.schedulers._hypersched import HyperSched

TABLES = [None, {1: 1, 8: 8}, {1: 1, 2: 1.8, 3: 1.5, 8: 4}, {1: 1, 2: 0.5}]


@dataclass
class Processes:
    """What a backend knows of a trial."""

    state: TrialState
    epoch: int = 0
    launch: int = -1
    signal_s: float = 0.0
    has_reported: bool = False


class Backend:
    """Devices and processes of trials as an elastic backend keeps them, with processes that exist in name only."""

    def __init__(self, num_devices):
        self.pool = DevicePool([f"device{index}" for index in range(num_devices)])
        self.processes = {}
        self.orders = 0
        self.now_s = 0.0
        self.wishes = []

    def order(self, trial_id, wants):
        self.orders += 1
        processes = self.processes.setdefault(trial_id, Processes(TrialState(trial_id, 0)))
        processes.state = replace(processes.state, wants=wants, order=self.orders, resized=False)
        processes.signal_s = self.now_s
        self.reconcile()

    def reconcile(self):
        states = [processes.state for processes in self.processes.values()]
        for action in reconcile(states, self.pool.num_free):
            processes = self.processes[action.trial_id]
            if isinstance(action, Drain):
                processes.state = replace(processes.state, phase=Phase.DRAINING)
                processes.signal_s = self.now_s
            else:
                self.pool.acquire(action.trial_id, action.num_devices)
                processes.state = replace(processes.state, phase=Phase.RUNNING, holds=action.num_devices, resized=False)
                processes.launch += 1
                processes.has_reported = False

    def exit(self, trial_id):
        """All processes of a trial are gone."""
        self.pool.release(trial_id)
        state = self.processes[trial_id].state
        resized = state.phase is Phase.DRAINING and state.wants > 0
        self.processes[trial_id].state = replace(state, phase=Phase.IDLE, holds=0, resized=resized)
        self.reconcile()

    def end(self, trial_id):
        """A trial has failed or completed."""
        self.pool.release(trial_id)
        state = self.processes[trial_id].state
        self.processes[trial_id].state = replace(state, wants=0, phase=Phase.IDLE, holds=0, resized=False)
        self.reconcile()

    def in_phase(self, *phases):
        return [trial_id for trial_id, processes in self.processes.items() if processes.state.phase in phases]

    def wished_devices(self, trial_id):
        return self.processes[trial_id].state.wants

    def wish_devices(self, trial_id, num_devices):
        assert isinstance(num_devices, int)
        assert 1 <= num_devices <= len(self.pool)
        assert self.processes[trial_id].state.wants > 0, "a trial that is not to run is resized"
        self.wishes.append((trial_id, num_devices))
        self.order(trial_id, num_devices)

    def follow(self, time_attr):
        assert time_attr == "epoch"

    def publish(self, trial_id, result):
        assert math.isfinite(result["loss"])


class ElasticTuning(RuleBasedStateMachine):
    """The tuner, at the mercy of hypothesis."""

    @initialize(
        num_devices=st.integers(1, 6),
        workers=st.integers(1, 6),
        policy=st.sampled_from(POLICIES),
        scaling=st.sampled_from(TABLES),
        grid=st.sampled_from([None, 2, 3]),
        arms=st.fixed_dictionaries(
            {
                "use_pausing": st.booleans(),
                "speculation": st.booleans(),
                "ignore_overhead": st.booleans(),
                "fixed_exploration": st.sampled_from([None, 0.05, 0.3]),
                "recharge_period": st.sampled_from([0, 1, 5]),
                "reduction_factor": st.sampled_from([2, 4]),
            }
        ),
    )
    def begin(self, num_devices, workers, policy, scaling, grid, arms):
        self.backend = Backend(num_devices)
        self.num_workers = min(workers, num_devices)
        self.scaling = scaling
        self.grid = grid
        self.wall_s = 0.0
        self.scheduler = HyperSched(
            {"x": uniform(0, 1)},
            "loss",
            "epoch",
            max_t=30,
            num_devices=num_devices,
            deadline_s=200,
            scaling=scaling,
            clock=self.clock,
            policy=policy,
            allocation_grid=grid,
            random_seed=0,
            **arms,
        )
        self.trials = {}
        self.running = []
        self.paused = []
        self.exhausted = False
        self.closed = False

    def clock(self):
        return self.wall_s

    @rule()
    def schedule(self):
        while not self.exhausted and len(self.running) < self.num_workers:
            was_open = self.scheduler.admission_open
            suggestion = self.scheduler.suggest()
            if suggestion is None:
                self.exhausted = True
                break
            assert was_open, "admission has opened again"
            if suggestion.spawn_new_trial_id:
                trial_id = len(self.trials)
                trial = ElasticTrial(
                    trial_id, suggestion.config, datetime(2024, 1, 1), [], Status.in_progress, backend=self.backend
                )
                self.trials[trial_id] = trial
            else:
                trial_id = suggestion.checkpoint_trial_id
                assert trial_id in self.paused
                self.paused.remove(trial_id)
            self.running.append(trial_id)
            self.backend.order(trial_id, 1)
            if suggestion.spawn_new_trial_id:
                self.scheduler.on_trial_add(trial=self.trials[trial_id])

    @precondition(lambda self: self.reporting())
    @rule(data=st.data(), loss=st.one_of(st.integers(0, 5), st.sampled_from([math.nan, math.inf])), skip=st.booleans())
    def report(self, data, loss, skip):
        trial_id = data.draw(st.sampled_from(self.reporting()))
        processes = self.backend.processes[trial_id]
        processes.epoch += 1 + skip
        result = {
            "loss": float(loss),
            "epoch": processes.epoch,
            "st_num_devices": processes.state.holds,
            "st_launch": processes.launch,
            "st_worker_time": self.wall_s,
        }
        if not processes.has_reported:
            result["st_signal_to_report_s"] = max(0.0, self.wall_s - processes.signal_s)
            processes.has_reported = True
        allocation, num_wishes = self.scheduler.allocation, len(self.backend.wishes)
        decision = self.scheduler.on_trial_result(trial=self.trials[trial_id], result=result)
        wishes = self.backend.wishes[num_wishes:]
        assert result["st_admission_open"] == self.scheduler.admission_open
        if wishes:
            assert decision == "CONTINUE"
            assert not self.scheduler.admission_open
            assert len(wishes) == 1
            wished_by, num_devices = wishes[0]
            assert wished_by == trial_id
            assert num_devices != allocation[trial_id]
            assert self.scaling is None or num_devices in TableScaling(self.scaling).usable_sizes(6, self.grid)
            assert self.grid is None or num_devices <= self.grid or num_devices % self.grid == 0
            assert self.wall_s <= 200
        if not math.isfinite(loss):
            assert decision != "CONTINUE"
        if decision != "CONTINUE":
            self.leave(trial_id)
            self.scheduler.on_trial_remove(trial=self.trials[trial_id])
            if decision == "PAUSE":
                self.paused.append(trial_id)

    def leave(self, trial_id):
        self.running.remove(trial_id)
        self.backend.order(trial_id, 0)

    def reporting(self):
        """Trials with processes that the tuner listens to; draining ones still finish their epoch."""
        return [t for t in self.backend.in_phase(Phase.RUNNING, Phase.DRAINING) if t in self.running]

    @precondition(lambda self: any(t in self.running for t in self.backend.in_phase(Phase.RUNNING)))
    @rule(data=st.data(), failed=st.booleans())
    def end(self, data, failed):
        trial_id = data.draw(st.sampled_from([t for t in self.backend.in_phase(Phase.RUNNING) if t in self.running]))
        self.running.remove(trial_id)
        self.backend.end(trial_id)
        trial = self.trials[trial_id]
        if failed:
            self.scheduler.on_trial_error(trial=trial)
        else:
            self.scheduler.on_trial_complete(trial=trial, result={"loss": 1.0, "epoch": 1})

    @precondition(lambda self: self.backend.in_phase(Phase.DRAINING))
    @rule(data=st.data())
    def drained(self, data):
        self.backend.exit(data.draw(st.sampled_from(self.backend.in_phase(Phase.DRAINING))))

    @rule(seconds=st.sampled_from([-30.0, 0.5, 1.0, 3.0, 20.0, 300.0]))
    def time_passes(self, seconds):
        # A jump of 300 s leaps over the deadline; one backwards is what a user's clock may do.
        self.wall_s += seconds
        self.backend.now_s = self.wall_s

    @rule()
    def store_and_load(self):
        clock = self.scheduler._clock
        own, clock._clock = clock._clock, None  # the test's clock is the test itself
        self.scheduler = dill.loads(dill.dumps(self.scheduler))
        self.scheduler._clock._clock = own

    @invariant()
    def no_device_has_two_holders(self):
        if hasattr(self, "backend"):
            held = [device for devices in self.backend.pool.holders.values() for device in devices]
            assert len(held) == len(set(held)) <= len(self.backend.pool)

    @invariant()
    def wishes_fit_and_are_those_that_the_backend_knows(self):
        if hasattr(self, "backend"):
            allocation = self.scheduler.allocation
            assert sum(allocation.values()) <= len(self.backend.pool)
            assert set(allocation) == set(self.running)
            assert allocation == {trial_id: self.backend.wished_devices(trial_id) for trial_id in allocation}
            assert not self.scheduler.admission_open or set(allocation.values()) <= {1}

    @invariant()
    def shrinking_comes_first(self):
        if hasattr(self, "backend"):
            for processes in self.backend.processes.values():
                state = processes.state
                assert not (state.phase is Phase.RUNNING and state.holds > state.wants)

    @invariant()
    def admission_stays_closed(self):
        if hasattr(self, "backend"):
            assert not (self.closed and self.scheduler.admission_open)
            self.closed = not self.scheduler.admission_open

    def teardown(self):
        """When no new wish comes, the one in force is carried out."""
        if not hasattr(self, "backend"):
            return
        for _ in range(3 * len(self.trials) + 3):
            for trial_id in self.backend.in_phase(Phase.DRAINING):
                self.backend.exit(trial_id)
        for trial_id, devices in self.scheduler.allocation.items():
            assert len(self.backend.pool.held_by(trial_id)) == devices


TestElasticTuning = ElasticTuning.TestCase
TestElasticTuning.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
