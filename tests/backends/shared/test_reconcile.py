"""Reconciliation on values: the guarantees of its docstring, under any sequence of requests."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from hypothesis import given, settings
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
    _ShareRoom,
    reconcile,
    reconcile_alone,
)
from tests.thoroughness import examples

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
                    assert self.trials[action.trial_id].phase is RUNNING
                    self.set(action.trial_id, phase=DRAINING)
                    continue
                going = set(self.pool.retiring)
                devices = self.pool.acquire(action.trial_id, action.num_devices, action.nodes)
                assert not going & set(devices), "nothing is launched on a retiring device"
                assert not self.one_node or len(self.pool.nodes_of(action.trial_id)) == 1
                self.set(action.trial_id, phase=RUNNING, resized=False)
        for trial_id, trial in self.trials.items():
            assert trial.phase is not RUNNING or not self.pool.num_retiring(trial_id), "it is drained at once"

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
        draining = sorted(trial_id for trial_id, trial in self.trials.items() if trial.phase is DRAINING)
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
        for trial_id in [i for i, trial in self.trials.items() if trial.phase is DRAINING]:
            if self.trials[trial_id].phase is DRAINING:
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
                if self.trials[trial_id].phase is DRAINING:
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
TestDevices.settings = settings(max_examples=examples(150), stateful_step_count=30, deadline=None)


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
                    self.set(action.trial_id, phase=RUNNING, holds=action.num_devices, resized=False, in_place=True)
                    self.trains[action.trial_id] = action.num_devices
                elif isinstance(action, Alter):
                    assert trial.phase is RUNNING
                    assert action.num_devices - trial.holds <= self.num_free
                    self.set(
                        action.trial_id, phase=CHANGING, becomes=action.num_devices,
                        holds=max(trial.holds, action.num_devices),
                    )  # fmt: skip
                    self.taken[action.trial_id] = False
                elif isinstance(action, Withdraw):
                    assert trial.phase is CHANGING
                    if self.taken[action.trial_id]:
                        continue  # it is carried out first
                    self.settle(action.trial_id, self.trains[action.trial_id])
                else:
                    assert trial.phase in (RUNNING, CHANGING)
                    assert trial.wants == 0 or not trial.in_place
                    self.set(action.trial_id, phase=DRAINING, becomes=0)
                has_acted = True
            if not has_acted:
                return

    def settle(self, trial_id, holds):
        self.trains[trial_id] = holds
        self.set(trial_id, phase=RUNNING, becomes=0, holds=holds)

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
        if (trial_id := self.some(data, CHANGING)) is not None:
            self.taken[trial_id] = True

    @rule(data=st.data(), succeeds=st.booleans())
    def answer(self, data, succeeds):
        trial_id = self.some(data, CHANGING)
        if trial_id is not None and self.taken[trial_id]:
            self.settle(trial_id, self.trials[trial_id].becomes if succeeds else self.trains[trial_id])
            if not succeeds:
                self.set(trial_id, in_place=False)
            self.step()

    @rule(data=st.data())
    def exit(self, data):
        trial_id = self.some(data, DRAINING)
        if trial_id is not None:
            self.set(trial_id, phase=Phase.IDLE, holds=0, resized=self.trials[trial_id].wants > 0, in_place=False)
            self.step()

    @invariant()
    def devices_are_not_given_twice(self):
        if hasattr(self, "trials"):
            assert 0 <= self.num_free <= self.num_devices
            for trial_id, trial in self.trials.items():
                assert (trial.holds == 0) == (trial.phase is Phase.IDLE)
                assert (trial.becomes > 0) == (trial.phase is CHANGING)
                if trial.phase is CHANGING:
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
                if trial.phase is CHANGING:
                    self.settle(trial_id, trial.becomes)
                elif trial.phase is DRAINING:
                    self.set(trial_id, phase=Phase.IDLE, holds=0, resized=trial.wants > 0, in_place=False)
                self.step()
        assert all(trial.holds == trial.wants for trial in self.trials.values())


TestChangingDevices = ChangingDevices.TestCase
TestChangingDevices.settings = settings(max_examples=examples(100), stateful_step_count=30, deadline=None)
