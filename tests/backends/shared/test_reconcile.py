"""Reconciliation on values: the guarantees of its docstring, under any sequence of requests."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syne_hypersched.backends.shared.reconcile import Drain, Launch, Phase, TrialState, reconcile

RUNNING, DRAINING = Phase.RUNNING, Phase.DRAINING


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


class Devices(RuleBasedStateMachine):
    """Trials that are started, resized, paused and drained in any order."""

    @initialize(num_devices=st.integers(1, 6))
    def begin(self, num_devices):
        self.num_devices = num_devices
        self.trials = {}
        self.orders = 0

    @property
    def num_free(self):
        return self.num_devices - sum(trial.holds for trial in self.trials.values())

    def set(self, trial_id, **changes):
        self.trials[trial_id] = replace(self.trials[trial_id], **changes)

    def step(self):
        """Executes actions until there are none, as the fleet does at every change."""
        while actions := reconcile(self.trials.values(), self.num_free):
            seen_launch = False
            for action in actions:
                trial = self.trials[action.trial_id]
                if isinstance(action, Launch):
                    seen_launch = True
                    assert trial.phase is Phase.IDLE
                    assert 1 <= action.num_devices <= min(trial.wants, self.num_free)
                    assert trial.resized or action.num_devices == trial.wants
                    self.set(action.trial_id, phase=RUNNING, holds=action.num_devices, resized=False)
                else:
                    assert trial.phase is RUNNING
                    assert trial.wants > trial.holds or not seen_launch, "shrinking comes first"
                    self.set(action.trial_id, phase=DRAINING)

    @rule(wants=st.integers(1, 6))
    def start(self, wants):
        self.orders += 1
        trial_id = len(self.trials)
        self.trials[trial_id] = TrialState(trial_id, wants=min(wants, self.num_devices), order=self.orders)
        self.step()

    @rule(data=st.data(), wants=st.integers(0, 6))
    def wish(self, data, wants):
        if self.trials:
            trial_id = data.draw(st.sampled_from(sorted(self.trials)))
            self.orders += 1
            resized = self.trials[trial_id].resized and wants > 0
            self.set(trial_id, wants=min(wants, self.num_devices), order=self.orders, resized=resized)
            self.step()

    @rule(data=st.data())
    def drained(self, data):
        draining = sorted(trial_id for trial_id, trial in self.trials.items() if trial.phase is DRAINING)
        if draining:
            self.exit(data.draw(st.sampled_from(draining)))

    @rule(data=st.data())
    def completed(self, data):
        running = sorted(trial_id for trial_id, trial in self.trials.items() if trial.phase is RUNNING)
        if running:
            self.set(data.draw(st.sampled_from(running)), phase=Phase.IDLE, holds=0, wants=0)
            self.step()

    def exit(self, trial_id):
        self.set(trial_id, phase=Phase.IDLE, holds=0, resized=self.trials[trial_id].wants > 0)
        self.step()

    @invariant()
    def devices_are_not_given_twice(self):
        if hasattr(self, "trials"):
            assert 0 <= self.num_free <= self.num_devices
            assert all((trial.holds == 0) == (trial.phase is Phase.IDLE) for trial in self.trials.values())

    def teardown(self):
        """If requests fit together and do not change, every trial gets its devices with at most one drain."""
        if not getattr(self, "trials", None):
            return
        left = self.num_devices
        for trial_id in sorted(self.trials):
            wants = min(self.trials[trial_id].wants, left)
            left -= wants
            self.set(trial_id, wants=wants, resized=self.trials[trial_id].resized and wants > 0)
        self.step()
        for _ in range(3 * len(self.trials)):
            for trial_id in sorted(self.trials):
                if self.trials[trial_id].phase is DRAINING:
                    self.exit(trial_id)
        assert all(trial.holds == trial.wants for trial in self.trials.values())


TestDevices = Devices.TestCase
TestDevices.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
