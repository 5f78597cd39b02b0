"""Schedules in virtual time, under any orders."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from syne_tune.backend.trial_status import Status

from syne_hypersched.backends import Failures, LaunchCost
from tests.backends.virtual.curves import look, make_fleet
from tests.thoroughness import examples


class AnyOrders(RuleBasedStateMachine):
    """For any orders, each device has one holder, time does not go back, and each epoch is reported once."""

    @initialize(
        num_devices=st.integers(1, 6),
        seconds=st.tuples(*[st.sampled_from([0.0, 0.5, 2.0])] * 4),
        failing=st.booleans(),
        prepare_s=st.sampled_from([None, None, 0.0, 1.75]),
    )
    def begin(self, num_devices, seconds, failing, prepare_s):
        start_s, resume_s, resize_s, drain_s = seconds
        cost = LaunchCost(start_s, resume_s, resize_s, drain_s, prepare_s, 0.0 if prepare_s is None else 0.25)
        self.fleet, self.events = make_fleet(num_devices, "resnet50", cost, Failures(0.05) if failing else None, 9)
        self.num_devices = num_devices
        self.running, self.paused, self.epochs = [], [], {}
        self.time_s = 0.0

    @precondition(lambda self: len(self.running) < self.num_devices)
    @rule(epoch_s=st.sampled_from([0.5, 1.0, 3.0]))
    def start(self, epoch_s):
        trial_id = len(self.epochs)
        self.epochs[trial_id] = 0
        self.running.append(trial_id)
        self.fleet.start(trial_id, {"epoch_s": epoch_s}, 1, "start")

    @precondition(lambda self: self.paused and len(self.running) < self.num_devices)
    @rule(data=st.data())
    def resume(self, data):
        trial_id = data.draw(st.sampled_from(self.paused))
        self.paused.remove(trial_id)
        self.running.append(trial_id)
        self.fleet.start(trial_id, {"epoch_s": 1.0}, 1, "resume")

    @precondition(lambda self: self.running)
    @rule(data=st.data(), pause=st.booleans())
    def halt(self, data, pause):
        trial_id = data.draw(st.sampled_from(self.running))
        self.running.remove(trial_id)
        if pause:
            self.paused.append(trial_id)
        self.fleet.halt(trial_id, Status.paused if pause else Status.stopped)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), size=st.integers(1, 6))
    def wish(self, data, size):
        trial_id = data.draw(st.sampled_from(self.running))
        wanted = sum(self.fleet.wished_devices(other) for other in self.running if other != trial_id)
        if size + wanted <= self.num_devices:  # as a scheduler does
            self.fleet.wish_devices(trial_id, size)

    @rule()
    def poll(self):
        before_s = self.fleet.time_s
        self.fleet.poll()
        reports, ended = self.fleet.take()
        for trial_id, report in reports:
            self.epochs[trial_id] += 1
            assert report["epoch"] == self.epochs[trial_id]
            assert report["st_tuner_time"] <= self.fleet.time_s
        self.running = [trial_id for trial_id in self.running if trial_id not in ended]
        if self.running:  # a tuner that waits is never kept waiting for ever
            assert reports or ended or self.fleet.time_s > before_s or self.fleet.occupied()

    @rule(seconds=st.sampled_from([0.25, 1.0, 7.0]))
    def pass_time(self, seconds):
        self.fleet.advance_to(self.fleet.time_s + seconds)

    @invariant()
    def no_device_is_held_twice_and_time_goes_on(self):
        if not hasattr(self, "fleet"):
            return
        holders = [device for devices in self.fleet.pool.holders.values() for device in devices]
        assert len(holders) == len(set(holders)) <= self.num_devices
        assert self.fleet.time_s >= self.time_s
        self.time_s = self.fleet.time_s
        times = [event[0] for event in self.events]
        assert times == sorted(times)

    def teardown(self):
        if not hasattr(self, "fleet"):
            return
        # Left alone, everything that runs comes to its end.
        for _ in range(1000):
            if not self.running:
                break
            self.poll()
        assert not self.running
        self.fleet.stop_all()
        assert self.fleet.occupied() == []
        assert self.fleet.pool.num_free == self.num_devices


TestAnyOrders = AnyOrders.TestCase


TestAnyOrders.settings = settings(max_examples=examples(60), stateful_step_count=30, deadline=None)


@given(seed=st.integers(0, 1000), order=st.permutations(range(4)))
@settings(max_examples=examples(25), deadline=None)
def test_failures_do_not_depend_on_what_others_do(seed, order):
    def failed_after(trial_ids):
        fleet, _ = make_fleet(failures=Failures(0.1, seed))
        for trial_id in trial_ids:
            fleet.start(trial_id, {"epoch_s": 1 + trial_id}, 1, "start")
        epochs = dict.fromkeys(range(4), 0)
        while fleet.occupied():
            for trial_id, epoch, _ in look(fleet)[1]:
                epochs[trial_id] = epoch
        return epochs

    assert failed_after(order) == failed_after(range(4))
