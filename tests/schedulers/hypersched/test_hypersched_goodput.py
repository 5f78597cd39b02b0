"""HyperSched with the policy ``goodput``, from reports to requests."""

from __future__ import annotations

import dill
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syne_tune.constants import ST_TUNER_TIME, ST_WORKER_TIME

from syne_hypersched.allocation.throughput import ThroughputModel
from syne_hypersched.contract import BATCH_SIZE, ST_LAUNCH, ST_NUM_DEVICES, ST_SIGNAL_TO_REPORT_S, STEP_TIME_S
from tests.schedulers.hypersched.test_hypersched_properties import TABLES, ElasticTuning, endings, happenings
from tests.schedulers.hypersched.tunings import Tuning
from tests.thoroughness import examples

#: Scales almost linearly, and not at all.
STEEP = ThroughputModel(0.01, 0.99 / 64, 0.01, 0.0, 1.0)
FLAT = ThroughputModel(0.5, 0.5 / 64, 0.6, 0.3, 1.0)


class ElasticScripts(Tuning):
    """Trials whose epochs of one step take as long on the devices held as the model of each says.

    The first trial is the best and the last the worst. No rung is reached.
    """

    def __init__(self, models, says_steps=True, launch_s=0.0, **changes):
        arguments = {"deadline_s": 1000, "fixed_exploration": 0.0, "recharge_period": 0}
        rungs = {"max_t": 10_000, "grace_period": 5000}
        super().__init__(**{**arguments, **rungs, "policy": "goodput", "scaling": None, **changes})
        self.models = models
        self.says_steps = says_steps
        self.launch_s = launch_s
        self.launches = [-1] * len(models)
        self.held = [0] * len(models)
        self.worker_times_s = [0.0] * len(models)
        self.start(len(models))

    def run(self, epochs):
        """All trials report each of the epochs, ten seconds apart."""
        for epoch in epochs:
            self.now_s += 10.0
            for trial_id in range(len(self.models)):
                entries = self.entries(trial_id, held=self.wishes.devices.get(trial_id, 1))
                assert self.report(trial_id, epoch, 0.5 + trial_id / 10, **entries) == "CONTINUE"

    def entries(self, trial_id, held):
        step_time_s = float(self.models[trial_id].step_time_s(held, 64 / held))
        entries = {STEP_TIME_S: step_time_s, BATCH_SIZE: 64} if self.says_steps else {}
        if held != self.held[trial_id]:
            self.held[trial_id] = held
            self.launches[trial_id] += 1
            entries[ST_SIGNAL_TO_REPORT_S] = self.launch_s + step_time_s
        self.worker_times_s[trial_id] += step_time_s
        return {
            **entries,
            ST_NUM_DEVICES: held,
            ST_LAUNCH: self.launches[trial_id],
            ST_WORKER_TIME: self.worker_times_s[trial_id],
            ST_TUNER_TIME: self.now_s,
        }


@pytest.mark.parametrize("says_steps", [True, False])
def test_devices_go_to_the_trial_that_they_speed_up(says_steps):
    scripts = ElasticScripts([FLAT, STEEP], says_steps, num_devices=4)
    scripts.run(range(1, 12))
    assert scripts.scheduler.allocation == {0: 1, 1: 3}


def test_of_trials_alike_the_better_holds_more():
    scripts = ElasticScripts([STEEP, STEEP], num_devices=6)
    scripts.run(range(1, 12))
    assert scripts.scheduler.allocation == {0: 4, 1: 2}


def test_no_device_is_used_that_slows_a_trial_down():
    scripts = ElasticScripts([FLAT], num_devices=8)
    scripts.run(range(1, 30))
    assert scripts.scheduler.allocation == {0: 1}
    assert scripts.launches[0] <= 2, "it has been tried and left"


def test_a_launch_that_does_not_pay_is_not_made():
    for launch_s, expected in ((1.0, {0: 2}), (800.0, {0: 1})):
        scripts = ElasticScripts([STEEP], num_devices=2, launch_s=launch_s)
        scripts.run(range(1, 6))
        assert scripts.scheduler.allocation == expected


def test_scaling_that_is_known_is_used():
    for scaling, expected in (({1: 1, 2: 1.9, 4: 3.6}, {0: 4}), ({1: 1, 2: 1.9, 4: 1.5}, {0: 2})):
        scripts = ElasticScripts([STEEP], num_devices=4, scaling=scaling)
        scripts.run(range(1, 12))
        assert scripts.scheduler.allocation == expected
    linear = ElasticScripts([FLAT], num_devices=4, scaling="linear")
    linear.run(range(1, 12))
    assert linear.scheduler.allocation == {0: 4}


def test_the_grid_is_kept():
    scripts = ElasticScripts([STEEP], num_devices=7, allocation_grid=4)
    scripts.run(range(1, 12))
    assert scripts.scheduler.allocation == {0: 4}


def test_a_dilled_scheduler_resizes_identically():
    twins = []
    for at in (None, 4):
        scripts = ElasticScripts([STEEP, FLAT, STEEP], num_devices=8, clock=None)
        for epoch in range(1, 15):
            if epoch == at:
                scripts.scheduler = dill.loads(dill.dumps(scripts.scheduler))
            scripts.run([epoch])
        twins.append(scripts)
    assert twins[0].wishes.devices == twins[1].wishes.devices != {}
    assert twins[0].scheduler.decisions == twins[1].scheduler.decisions


tunings = st.builds(
    ElasticTuning,
    num_devices=st.integers(2, 8),
    num_workers=st.integers(1, 8),
    policy=st.just("goodput"),
    scaling=st.sampled_from([None, *TABLES]),
    grid=st.sampled_from([None, 2, 3]),
    arms=st.fixed_dictionaries(
        {
            "fixed_exploration": st.sampled_from([0.02, 0.05, None]),
            "recharge_period": st.sampled_from([0, 0, 1, 5]),
            "reduction_factor": st.sampled_from([1.2, 2, 4]),
        }
    ),
)


@settings(max_examples=examples(60), deadline=None)
@given(tunings, happenings, endings)
def test_the_invariants_hold_whatever_happens(tuning, events, ending):
    tuning.schedule()
    for event, index, number in [*events, *((event, 0, 0) for event in ending)]:
        tuning.happen(event, index, number)
        tuning.check()
    tuning.settle()
