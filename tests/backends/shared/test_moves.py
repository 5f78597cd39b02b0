"""Trials that leave devices which are to go while they train, and get others: what is decided, without processes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syne_hypersched._resize_desk import ChangeOutcome, ResizeDesk
from syne_hypersched.backends.local._crew import Crew
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.reconcile import (
    CHANGING,
    DRAINING,
    IDLE,
    RUNNING,
    Alter,
    Drain,
    Launch,
    TrialState,
    Withdraw,
    reconcile,
)
from tests.thoroughness import examples

TRAINS = TrialState(0, wants=3, holds=3, phase=RUNNING, in_place=True, retiring=1, can_leave=True)


def test_a_trial_leaves_a_device_that_is_to_go_and_trains_on():
    assert reconcile([TRAINS], 1) == [Alter(0, 2)], "at once, whatever is free"
    assert reconcile([replace(TRAINS, wants=1)], 0) == [Alter(0, 1)]
    assert reconcile([replace(TRAINS, retiring=0, holds=2)], 1) == [Alter(0, 3)], "and takes another one then"


@pytest.mark.parametrize("cannot", [{"can_leave": False}, {"in_place": False}, {"wants": 0}])
def test_a_trial_that_cannot_leave_a_device_is_drained(cannot):
    assert reconcile([replace(TRAINS, **cannot)], 1) == [Drain(0)]


def test_a_change_goes_on_only_if_it_gives_back_what_is_to_go():
    leaves = replace(TRAINS, phase=CHANGING, becomes=2, is_leaving=True)
    assert reconcile([leaves], 1) == []
    assert reconcile([replace(leaves, is_leaving=False)], 1) == [Withdraw(0)], "another process leaves"
    assert reconcile([replace(leaves, becomes=3, is_leaving=False)], 1) == [Withdraw(0)], "it grows"
    assert reconcile([replace(leaves, retiring=2, is_leaving=False)], 1) == [Withdraw(0)]
    assert reconcile([replace(leaves, can_leave=False, is_leaving=False)], 1) == [Drain(0)]


def test_what_a_trial_needs_instead_of_a_device_is_reserved_for_it():
    waits = TrialState(1, wants=1, order=1)
    for phase, becomes in ((RUNNING, 0), (CHANGING, 2)):
        leaves = replace(TRAINS, phase=phase, becomes=becomes, is_leaving=phase is CHANGING)
        assert not any(isinstance(action, Launch) for action in reconcile([leaves, waits], 1))
        assert Launch(1, 1) in reconcile([leaves, waits], 2)


class MovingDevices(RuleBasedStateMachine):
    """Devices come and go under trials whose processes join and leave, crash, and take or miss orders to change."""

    @initialize(num_devices=st.integers(2, 6))
    def begin(self, num_devices):
        self.pool = DevicePool([f"d{index}" for index in range(num_devices)])
        self.trials, self.crews, self.taken, self.orders = {}, {}, set(), 0

    def set(self, trial_id, **changes):
        self.trials[trial_id] = replace(self.trials[trial_id], **changes)

    def going(self, trial_id):
        return [device for device in self.pool.held_by(trial_id) if not self.pool.is_present(device)]

    def states(self):
        for trial_id, trial in self.trials.items():
            going = self.going(trial_id)
            crew = None if self.pool.is_lost(trial_id) else self.crews.get(trial_id)
            yield replace(
                trial,
                holds=self.pool.num_held(trial_id),
                retiring=len(going),
                can_leave=crew is not None and crew.can_leave(going),
                is_leaving=crew is not None and crew.is_leaving(going),
            )

    def step(self):
        """Carries out what is decided, until there is nothing to do but wait, as the fleet does."""
        for _ in range(100):
            has_acted = False
            for action in reconcile(self.states(), self.pool.num_free, num_present=self.pool.num_present):
                has_acted |= self.carry_out(action)
            if not has_acted:
                return
        raise AssertionError("it is never done")

    def carry_out(self, action):
        trial_id, trial = action.trial_id, self.trials[action.trial_id]
        going, crew = set(self.pool.retiring), self.crews.get(trial_id)
        if isinstance(action, Launch):
            assert trial.phase is IDLE
            devices = self.pool.acquire(trial_id, action.num_devices)
            assert not going & set(devices), "nothing is launched on a device that is to go"
            self.crews[trial_id] = Crew(0, devices, len(devices), ResizeDesk("nowhere"))
            self.set(trial_id, phase=RUNNING, resized=False, in_place=True)
        elif isinstance(action, Alter):
            assert trial.phase is RUNNING
            change = crew.next_change(action.num_devices, self.going(trial_id))
            crew.begin(change)
            if change.new_ranks:
                assert not self.going(trial_id), "it leaves before it grows"
                crew.new_devices = self.pool.extend(trial_id, len(change.new_ranks))
                assert not going & set(crew.new_devices)
                crew.newcomer = change.number + 1
            self.set(trial_id, phase=CHANGING, becomes=action.num_devices)
        elif isinstance(action, Withdraw):
            assert trial.phase is CHANGING
            if trial_id in self.taken:
                return False  # it is carried out first
            self.give_up(trial_id)
        else:
            assert trial.phase in (RUNNING, CHANGING)
            first_goes = crew.devices[0] in self.pool.retiring
            assert not trial.wants or not trial.in_place or first_goes or self.pool.is_lost(trial_id)
            self.taken.discard(trial_id)
            self.set(trial_id, phase=DRAINING, becomes=0)
        return True

    def give_up(self, trial_id):
        crew = self.crews[trial_id]
        if crew.new_devices:
            self.pool.give_back(trial_id, crew.new_devices)
        crew.end_change()
        self.taken.discard(trial_id)
        self.set(trial_id, phase=RUNNING, becomes=0)

    def succeed(self, trial_id):
        crew = self.crews[trial_id]
        crew.outcome, first = ChangeOutcome(crew.change.number, True), crew.devices[0]
        if crew.change.new_ranks:
            crew.seat_newcomers()
        else:
            kept = [crew.devices[rank] for rank in crew.change.staying]
            devices, _ = crew.clear_seats(crew.leaving)
            assert list(crew.devices) == kept
            self.pool.give_back(trial_id, devices)
        assert crew.devices[0] == first, "rank 0 stays"
        crew.end_change()
        self.taken.discard(trial_id)
        self.set(trial_id, phase=RUNNING, becomes=0)

    @rule(wants=st.integers(1, 6))
    def start(self, wants):
        self.orders, trial_id = self.orders + 1, len(self.trials)
        self.trials[trial_id] = TrialState(trial_id, wants=min(wants, len(self.pool)), order=self.orders)
        self.step()

    @rule(data=st.data(), wants=st.integers(0, 6))
    def wish(self, data, wants):
        if self.trials:
            trial_id, self.orders = data.draw(st.sampled_from(sorted(self.trials))), self.orders + 1
            resized = self.trials[trial_id].resized and wants > 0
            self.set(trial_id, wants=min(wants, len(self.pool)), order=self.orders, resized=resized)
            self.step()

    @rule(data=st.data(), what=st.sampled_from(["retire", "retire", "join", "lose"]))
    def change_pool(self, data, what):
        device = data.draw(st.sampled_from(self.pool.devices))
        if what == "join" and device in self.pool.away:
            self.pool.join(device)
        elif what == "retire":
            self.pool.retire(device)
        elif what == "lose":
            self.pool.lose(device)
        self.step()

    def some(self, data, phase):
        found = sorted(trial_id for trial_id, trial in self.trials.items() if trial.phase is phase)
        return data.draw(st.sampled_from(found)) if found else None

    @rule(data=st.data())
    def take(self, data):
        if (trial_id := self.some(data, CHANGING)) is not None:
            self.taken.add(trial_id)

    @rule(data=st.data(), succeeds=st.booleans())
    def answer(self, data, succeeds):
        trial_id = self.some(data, CHANGING)
        if trial_id in self.taken:
            if succeeds:
                self.succeed(trial_id)
            else:
                self.give_up(trial_id)
                self.set(trial_id, in_place=False)
            self.step()

    @rule(data=st.data(), phase=st.sampled_from([DRAINING, RUNNING, CHANGING]))
    def exit(self, data, phase):
        if (trial_id := self.some(data, phase)) is not None:
            self.end(trial_id)
            self.step()

    def end(self, trial_id):
        self.pool.release(trial_id)
        del self.crews[trial_id]
        self.taken.discard(trial_id)
        resized = self.trials[trial_id].wants > 0
        self.set(trial_id, phase=IDLE, becomes=0, resized=resized, in_place=False)

    @invariant()
    def every_device_has_one_owner_who_knows_it(self):
        for trial_id, trial in getattr(self, "trials", {}).items():
            crew = self.crews.get(trial_id)
            assert (crew is None) == (trial.phase is IDLE)
            known = () if crew is None else (*crew.devices, *crew.new_devices)
            assert sorted(known) == sorted(self.pool.held_by(trial_id))
            if trial.phase is RUNNING:
                assert not self.going(trial_id), "it leaves at once"
            assert trial.phase is DRAINING or not self.pool.is_lost(trial_id), "it is killed at once"

    def teardown(self):
        """When everything is carried out, no device is to go any more, and who wants devices has those there are."""
        for _ in range(6 * len(getattr(self, "trials", {}))):
            for trial_id, trial in sorted(self.trials.items()):
                if trial.phase is CHANGING:
                    self.succeed(trial_id)
                elif trial.phase is DRAINING:
                    self.end(trial_id)
                self.step()
        if hasattr(self, "trials"):
            assert self.pool.retiring == ()
            lacks = [
                min(trial.wants, self.pool.num_present) - self.pool.num_held(trial_id)
                for trial_id, trial in self.trials.items()
            ]
            assert all(lack <= 0 for lack in lacks) or self.pool.num_free < max(lacks)


TestMovingDevices = MovingDevices.TestCase
TestMovingDevices.settings = settings(max_examples=examples(50), stateful_step_count=30, deadline=None)
