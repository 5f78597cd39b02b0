"""Reconciliation on values: the guarantees of its docstring, under any sequence of requests."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.reconcile import (
    Alter,
    Drain,
    Launch,
    Phase,
    TrialState,
    Withdraw,
    reconcile,
)
from tests.thoroughness import examples


class BreathingPool(RuleBasedStateMachine):
    """Trials on a pool whose devices join, retire and are lost: each owner is alone, and what retires gets free."""

    @initialize(nodes=st.lists(st.integers(1, 3), min_size=1, max_size=3), one_node=st.booleans())
    def begin(self, nodes, one_node):
        names = [(f"n{node}g{index}", f"n{node}") for node, size in enumerate(nodes) for index in range(size)]
        self.pool = DevicePool([name for name, _ in names], [node for _, node in names])
        self.most = max(nodes) if one_node else len(names)
        self.one_node, self.trials, self.orders = one_node, {}, 0

    def set(self, trial_id, **changes):
        self.trials[trial_id] = replace(self.trials[trial_id], **changes)

    def states(self):
        for trial_id, trial in self.trials.items():
            nodes = {}
            for device in self.pool.held_by(trial_id):
                if device not in self.pool.retiring:
                    nodes[self.pool.node_of(device)] = nodes.get(self.pool.node_of(device), 0) + 1
            holds, retiring = self.pool.num_held(trial_id), self.pool.num_retiring(trial_id)
            yield replace(trial, holds=holds, retiring=retiring, nodes=nodes)

    def step(self):
        while True:
            free = self.pool.free_by_node
            actions = reconcile(self.states(), free, num_present=self.pool.num_present, one_node=self.one_node)
            if not actions:
                break
            for action in actions:
                if isinstance(action, Drain):
                    assert self.trials[action.trial_id].phase is Phase.RUNNING
                    self.set(action.trial_id, phase=Phase.DRAINING)
                    continue
                going = set(self.pool.retiring)
                devices = self.pool.acquire(action.trial_id, action.num_devices, action.nodes)
                assert not going & set(devices), "nothing is launched on a retiring device"
                assert not self.one_node or len(self.pool.nodes_of(action.trial_id)) == 1
                self.set(action.trial_id, phase=Phase.RUNNING, resized=False)
        for trial_id, trial in self.trials.items():
            assert trial.phase is not Phase.RUNNING or not self.pool.num_retiring(trial_id), "it is drained at once"

    @rule(wants=st.integers(1, 6))
    def start(self, wants):
        self.orders += 1
        self.trials[len(self.trials)] = TrialState(len(self.trials), min(wants, self.most), order=self.orders)
        self.step()

    @rule(data=st.data(), wants=st.integers(0, 6))
    def wish(self, data, wants):
        if self.trials:
            trial_id, self.orders = data.draw(st.sampled_from(sorted(self.trials))), self.orders + 1
            resized = self.trials[trial_id].resized and wants > 0
            self.set(trial_id, wants=min(wants, self.most), order=self.orders, resized=resized)
            self.step()

    @rule(data=st.data())
    def change(self, data):
        device = data.draw(st.sampled_from(self.pool.devices))
        what = data.draw(st.sampled_from(["retire", "lose", "join"]))
        if what == "join" and device in self.pool.away:
            self.pool.join(device)
        elif what == "retire":
            self.pool.retire(device)
        elif what == "lose" and (trial_id := self.pool.lose(device)) is not None:
            self.exit(trial_id)  # what ran on it is dead
            return
        self.step()

    @rule(data=st.data())
    def drained(self, data):
        draining = sorted(trial_id for trial_id, trial in self.trials.items() if trial.phase is Phase.DRAINING)
        if draining:
            self.exit(data.draw(st.sampled_from(draining)))

    def exit(self, trial_id):
        self.pool.release(trial_id)
        self.set(trial_id, phase=Phase.IDLE, resized=self.trials[trial_id].wants > 0)
        self.step()

    @invariant()
    def no_device_has_two_owners(self):
        held = [device for devices in self.pool.holders.values() for device in devices] if hasattr(self, "pool") else []
        assert len(held) == len(set(held))

    def teardown(self):
        """One drain later nothing retires any more; and if all devices come back, everybody runs on what it wants."""
        if not hasattr(self, "pool"):
            return
        for trial_id in [i for i, trial in self.trials.items() if trial.phase is Phase.DRAINING]:
            if self.trials[trial_id].phase is Phase.DRAINING:
                self.pool.release(trial_id)
                self.set(trial_id, phase=Phase.IDLE, resized=self.trials[trial_id].wants > 0)
        assert self.pool.retiring == ()
        for device in self.pool.away:
            self.pool.join(device)
        left = self.most
        for trial_id in sorted(self.trials):
            wants = min(self.trials[trial_id].wants, left)
            left -= wants
            self.set(trial_id, wants=wants, resized=self.trials[trial_id].resized and wants > 0)
        self.step()
        for _ in range(3 * len(self.trials)):
            for trial_id in sorted(self.trials):
                if self.trials[trial_id].phase is Phase.DRAINING:
                    self.exit(trial_id)
        if not self.one_node:
            assert all(self.pool.num_held(trial_id) == trial.wants for trial_id, trial in self.trials.items())


TestBreathingPool = BreathingPool.TestCase


TestBreathingPool.settings = settings(max_examples=examples(50), stateful_step_count=30, deadline=None)


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
                    self.set(action.trial_id, phase=Phase.RUNNING, holds=action.num_devices, resized=False)
                else:
                    assert trial.phase is Phase.RUNNING
                    assert trial.wants > trial.holds or not seen_launch, "shrinking comes first"
                    self.set(action.trial_id, phase=Phase.DRAINING)

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
        draining = sorted(trial_id for trial_id, trial in self.trials.items() if trial.phase is Phase.DRAINING)
        if draining:
            self.exit(data.draw(st.sampled_from(draining)))

    @rule(data=st.data())
    def completed(self, data):
        running = sorted(trial_id for trial_id, trial in self.trials.items() if trial.phase is Phase.RUNNING)
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
                if self.trials[trial_id].phase is Phase.DRAINING:
                    self.exit(trial_id)
        assert all(trial.holds == trial.wants for trial in self.trials.values())


TestDevices = Devices.TestCase


TestDevices.settings = settings(max_examples=examples(150), stateful_step_count=30, deadline=None)


class ChangingDevices(RuleBasedStateMachine):
    """Trials whose processes can join and leave: changes are ordered, taken, withdrawn, carried out and fail."""

    @initialize(num_devices=st.integers(2, 6))
    def begin(self, num_devices):
        self.num_devices = num_devices
        self.trials = {}
        #: Devices of the processes that train, and whether the change was taken or withdrawn.
        self.trains = {}
        self.taken = {}
        self.orders = 0

    @property
    def num_free(self):
        return self.num_devices - sum(trial.holds for trial in self.trials.values())

    def set(self, trial_id, **changes):
        self.trials[trial_id] = replace(self.trials[trial_id], **changes)

    def step(self):
        while True:
            has_acted = False
            for action in reconcile(self.trials.values(), self.num_free):
                trial = self.trials[action.trial_id]
                if isinstance(action, Launch):
                    assert 1 <= action.num_devices <= min(trial.wants, self.num_free)
                    self.set(
                        action.trial_id, phase=Phase.RUNNING, holds=action.num_devices, resized=False, in_place=True
                    )
                    self.trains[action.trial_id] = action.num_devices
                elif isinstance(action, Alter):
                    assert trial.phase is Phase.RUNNING
                    assert action.num_devices - trial.holds <= self.num_free
                    self.set(
                        action.trial_id, phase=Phase.CHANGING, becomes=action.num_devices,
                        holds=max(trial.holds, action.num_devices),
                    )  # fmt: skip
                    self.taken[action.trial_id] = False
                elif isinstance(action, Withdraw):
                    assert trial.phase is Phase.CHANGING
                    if self.taken[action.trial_id]:
                        continue  # it is carried out first
                    self.settle(action.trial_id, self.trains[action.trial_id])
                else:
                    assert trial.phase in (Phase.RUNNING, Phase.CHANGING)
                    assert trial.wants == 0 or not trial.in_place
                    self.set(action.trial_id, phase=Phase.DRAINING, becomes=0)
                has_acted = True
            if not has_acted:
                return

    def settle(self, trial_id, holds):
        self.trains[trial_id] = holds
        self.set(trial_id, phase=Phase.RUNNING, becomes=0, holds=holds)

    @rule(wants=st.integers(1, 3))
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
            self.set(trial_id, wants=min(wants, self.num_devices), order=self.orders)
            self.step()

    def some(self, data, phase):
        found = sorted(trial_id for trial_id, trial in self.trials.items() if trial.phase is phase)
        return data.draw(st.sampled_from(found)) if found else None

    @rule(data=st.data())
    def take(self, data):
        if (trial_id := self.some(data, Phase.CHANGING)) is not None:
            self.taken[trial_id] = True

    @rule(data=st.data(), succeeds=st.booleans())
    def answer(self, data, succeeds):
        trial_id = self.some(data, Phase.CHANGING)
        if trial_id is not None and self.taken[trial_id]:
            self.settle(trial_id, self.trials[trial_id].becomes if succeeds else self.trains[trial_id])
            if not succeeds:
                self.set(trial_id, in_place=False)
            self.step()

    @rule(data=st.data())
    def exit(self, data):
        trial_id = self.some(data, Phase.DRAINING)
        if trial_id is not None:
            self.set(trial_id, phase=Phase.IDLE, holds=0, resized=self.trials[trial_id].wants > 0, in_place=False)
            self.step()

    @invariant()
    def devices_are_not_given_twice(self):
        if hasattr(self, "trials"):
            assert 0 <= self.num_free <= self.num_devices
            for trial_id, trial in self.trials.items():
                assert (trial.holds == 0) == (trial.phase is Phase.IDLE)
                assert (trial.becomes > 0) == (trial.phase is Phase.CHANGING)
                if trial.phase is Phase.CHANGING:
                    assert trial.holds == max(self.trains[trial_id], trial.becomes)

    def teardown(self):
        """When requests fit together and everything is carried out, every trial has its devices."""
        if not getattr(self, "trials", None):
            return
        left = self.num_devices
        for trial_id in sorted(self.trials):
            wants = min(self.trials[trial_id].wants, left)
            left -= wants
            self.set(trial_id, wants=wants, resized=self.trials[trial_id].resized and wants > 0)
        self.step()
        for _ in range(4 * len(self.trials)):
            for trial_id, trial in sorted(self.trials.items()):
                if trial.phase is Phase.CHANGING:
                    self.settle(trial_id, trial.becomes)
                elif trial.phase is Phase.DRAINING:
                    self.set(trial_id, phase=Phase.IDLE, holds=0, resized=trial.wants > 0, in_place=False)
                self.step()
        assert all(trial.holds == trial.wants for trial in self.trials.values())


TestChangingDevices = ChangingDevices.TestCase


TestChangingDevices.settings = settings(max_examples=examples(100), stateful_step_count=30, deadline=None)
