"""Replays: every scheduler has the same state afterwards, from a snapshot or from the beginning."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syne_tune.config_space import choice, loguniform, randint, uniform
from syne_tune.optimizer.baselines import ASHA as StockASHA

from syne_hypersched import ASHA, PASHA, HyperSched
from syne_hypersched.backends.shared.elastic import ElasticTrial
from syne_hypersched.records.segments import as_json
from syne_hypersched.recovery._journaled import JournaledScheduler
from syne_hypersched.recovery._replay import replay
from syne_hypersched.recovery._replay_state import ReplayState
from syne_hypersched.recovery._ticks import Ticks
from syne_hypersched.testing.scheduler_contract import TuningLoop
from tests.thoroughness import examples

SPACE = {"x": uniform(0, 1), "n": randint(0, 9), "kind": choice(["a", "b"]), "rate": loguniform(1e-6, 1)}
SCHEDULERS = {
    "asha": lambda: ASHA(SPACE, "loss", "epoch", 27, type="promotion", brackets=2, random_seed=0),
    "stopping": lambda: ASHA(SPACE, "loss", "epoch", 27, random_seed=0),
    "evolution": lambda: ASHA(SPACE, "loss", "epoch", 27, searcher="regularized_evolution", random_seed=0),
    "pasha": lambda: PASHA(SPACE, "loss", "epoch", 27, random_seed=0),
    "hypersched": lambda: HyperSched(
        SPACE, "loss", "epoch", 27, num_devices=5, deadline_s=0.5, random_seed=0, strategy="published"
    ),
    "adaptive": lambda: HyperSched(
        SPACE, "loss", "epoch", 27, num_devices=5, deadline_s=0.5, strategy="adaptive", random_seed=0
    ),
}


class ElasticLoop(TuningLoop):
    """The loop with trials that can be resized, and without a simulated time: the scheduler looks at a clock."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.devices = ReplayState()

    def run(self, scheduler, seconds):
        return super().run(_Elastic(scheduler, self.devices), seconds)

    def _result(self, trial, epoch):
        result = super()._result(trial, epoch)
        del result["st_tuner_time"]
        return result


class _Elastic:
    """Passes elastic trials to a scheduler instead of the plain ones of the loop."""

    def __init__(self, scheduler, devices):
        self.scheduler, self.devices = scheduler, devices

    def suggest(self):
        suggestion = self.scheduler.suggest()
        if suggestion is not None and not suggestion.spawn_new_trial_id:
            self.devices.num_devices[suggestion.checkpoint_trial_id] = 1
        return suggestion

    def on_trial_add(self, trial):
        entry = {"trial_id": trial.trial_id, "config": trial.config, "created": trial.creation_time.isoformat()}
        self.scheduler.on_trial_add(trial=self.devices.add(entry))

    def on_trial_result(self, trial, result):
        decision = self.scheduler.on_trial_result(trial=self.devices.trials[trial.trial_id], result=result)
        if decision != "CONTINUE":
            del self.devices.num_devices[trial.trial_id]
        return decision

    def on_trial_remove(self, trial):
        self.scheduler.on_trial_remove(trial=self.devices.trials[trial.trial_id])

    def on_trial_error(self, trial):
        self.scheduler.on_trial_error(trial=self.devices.trials[trial.trial_id])
        del self.devices.num_devices[trial.trial_id]

    def on_trial_complete(self, trial, result):
        self.scheduler.on_trial_complete(self.devices.trials[trial.trial_id], result)
        del self.devices.num_devices[trial.trial_id]


def journal(scheduler, loop, seconds):
    """Runs a loop with a journaled scheduler; the entries as a file would have them."""
    entries, ticks = [], Ticks()
    ticks.start(0.0)
    ticks.drive(scheduler)
    loop.run(JournaledScheduler(scheduler, ticks, entries.append), seconds)
    return [as_json(entry | {"status": entry.get("status", "InProgress")}) for entry in entries], ticks


def play(entries, scheduler, **options):
    ticks, progress = Ticks(), ReplayState()
    ticks.drive(scheduler)
    replay(entries, scheduler, ticks, progress, **options)
    return progress, ticks


def go_on(scheduler, loop, seconds=40):
    """The further decisions of a scheduler whose clock has stopped."""
    return copy.deepcopy(loop).run(scheduler, seconds)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("fail_every", [pytest.param(0, marks=pytest.mark.slow), 4])
def test_a_replayed_scheduler_is_where_the_journaled_one_was(name, fail_every):
    scheduler, loop = SCHEDULERS[name](), ElasticLoop("loss", "epoch", 5, 27, fail_every=fail_every)
    entries, _ = journal(scheduler, loop, 60)
    again = SCHEDULERS[name]()
    progress, ticks = play(entries, again)
    assert progress.running == tuple(loop.devices.num_devices)
    assert progress.num_devices == loop.devices.num_devices
    assert [(told.trial_id, told.report["epoch"]) for told in progress.told][-1][1] >= 1
    assert progress.exhausted == loop.exhausted
    # From here on both decide alike; the time stands where the journal has ended.
    ticks.drive(scheduler)
    ticks.drive(again)
    assert go_on(again, loop) == go_on(scheduler, loop)


def test_hypersched_was_journaled_beyond_admission_with_resizes():
    """Checks that the test above covers the closing of admission, and resizes."""
    scheduler, loop = SCHEDULERS["hypersched"](), ElasticLoop("loss", "epoch", 5, 27)
    ticks, entries = Ticks(), []
    ticks.drive(scheduler)
    moments = iter(np.arange(0, 100, 0.004))
    ticks._source = lambda: next(moments)
    loop.run(JournaledScheduler(scheduler, ticks, entries.append), 60)
    assert any(entry["call"] == "suggest" and entry["what"] == "nothing" for entry in entries)
    assert any("num_devices" in entry for entry in entries)
    again = SCHEDULERS["hypersched"]()
    progress, _ = play([as_json(entry | {"status": "InProgress"}) for entry in entries], again)
    assert again.allocation == scheduler.allocation
    assert again.explain() == scheduler.explain()
    assert progress.num_devices == loop.devices.num_devices


@settings(max_examples=examples(25), deadline=None)
@given(num_known=st.integers(0, 200), name=st.sampled_from(sorted(SCHEDULERS)))
@pytest.mark.slow
def test_a_replay_from_a_snapshot_is_one_from_the_beginning(num_known, name):
    scheduler, loop = SCHEDULERS[name](), ElasticLoop("loss", "epoch", 5, 27)
    entries, _ = journal(scheduler, loop, 30)
    num_known = min(num_known, len(entries))
    known, whole = SCHEDULERS[name](), SCHEDULERS[name]()
    play(entries[:num_known], known)
    known = pickle.loads(pickle.dumps(known))
    progress, _ = play(entries, known, num_known=num_known)
    its_progress, ticks = play(entries, whole)
    assert progress.num_devices == its_progress.num_devices
    assert progress.told == its_progress.told
    ticks.drive(known)
    assert go_on(known, loop) == go_on(whole, loop)


@pytest.mark.parametrize("change", [{"decision": "STOP"}, {"report": {"epoch": 1, "loss": float("nan")}}])
def test_a_journal_of_other_decisions_is_refused(change, caplog):
    entries, _ = journal(SCHEDULERS["asha"](), ElasticLoop("loss", "epoch", 5, 27), 20)
    number = next(i for i, entry in enumerate(entries) if entry.get("decision") == "PAUSE")
    entries[number] = entries[number] | change
    with pytest.raises(ValueError, match="the scheduler must decide as the journal says, but at entry"):
        play(entries, SCHEDULERS["asha"]())
    play(entries, SCHEDULERS["asha"](), strict=False)
    assert sum("The decision of the journal is used" in record.message for record in caplog.records) == 1


def test_a_scheduler_that_draws_from_a_global_generator_is_detected():
    # Syne Tune's draws brackets from NumPy's own generator.
    def make():
        return StockASHA(SPACE, metric="loss", time_attr="epoch", max_t=27, brackets=3, random_seed=0)

    np.random.seed(1)
    entries, _ = journal(make(), ElasticLoop("loss", "epoch", 5, 27), 30)
    np.random.seed(2)
    with pytest.raises(ValueError, match="draws from a generator that is not its own"):
        play(entries, make())


def test_an_entry_that_makes_no_sense_is_named():
    with pytest.raises(ValueError, match=r"entry 0 of the journal is not valid: .*result"):
        play([{"call": "result", "trial_id": 3, "time_s": 0.0}], SCHEDULERS["asha"]())


def test_limits_of_a_trial_are_journaled():
    """The backend detects on how many devices a trial can run, and the scheduler reads this number."""
    seen = []

    class Looking(ASHA):
        def on_trial_result(self, trial, result):
            seen.append((trial.num_devices, trial.max_num_devices))
            return super().on_trial_result(trial, result)

    def make():
        return Looking(SPACE, "loss", "epoch", 27, grace_period=27, random_seed=0)

    entries, backend = [], ReplayState()
    scheduler = JournaledScheduler(make(), Ticks(), entries.append)
    config = scheduler.suggest().config
    trial = ElasticTrial(0, config, datetime(2024, 1, 1), metrics=[], status="InProgress", backend=backend)
    backend.trials[0], backend.num_devices[0] = trial, 1
    scheduler.on_trial_add(trial)
    for epoch, (num_devices, most) in enumerate([(1, None), (4, None), (2, 3), (2, 3)], start=1):
        backend.num_devices[0], backend.most_devices[0] = num_devices, most
        scheduler.on_trial_result(trial, {"epoch": epoch, "loss": 1.0})
    live, seen[:] = list(seen), []
    progress, _ = play([as_json(entry | {"status": "InProgress"}) for entry in entries], make())
    assert seen == live
    assert progress.num_devices == {0: 2}
    assert progress.max_num_devices(0) == 3


def test_a_process_that_ends_during_a_call_does_not_look_like_a_request():
    """The launcher's thread takes a trial's devices away while the scheduler is deciding about it."""
    backend, seen = ReplayState(), []

    class Slow(ASHA):
        def on_trial_result(self, trial, result):
            backend.num_devices[0] = 0
            seen.append(trial.num_devices)
            return super().on_trial_result(trial, result)

    def make():
        return Slow(SPACE, "loss", "epoch", 27, grace_period=27, random_seed=0)

    entries = []
    scheduler = JournaledScheduler(make(), Ticks(), entries.append)
    config = scheduler.suggest().config
    trial = ElasticTrial(0, config, datetime(2024, 1, 1), metrics=[], status="InProgress", backend=backend)
    backend.trials[0], backend.num_devices[0] = trial, 1
    scheduler.on_trial_add(trial)
    scheduler.on_trial_result(trial, {"epoch": 1, "loss": 1.0})
    scheduler.on_trial_complete(trial, {"epoch": 1, "loss": 1.0})
    assert trial.backend is backend
    assert "num_devices" not in entries[2]
    progress, _ = play([as_json(entry | {"status": "InProgress"}) for entry in entries], make())
    assert seen == [1, 1]
    assert progress.running == ()
