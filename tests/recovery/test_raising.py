"""A scheduler that raises ends the tuning once; a resume skips the call that failed."""

from __future__ import annotations

import logging

import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform

from syne_hypersched import ASHA, PASHA, ElasticLocalBackend, HyperSched, Journal, resume_experiment
from syne_hypersched.records.segments import as_json
from syne_hypersched.recovery._journaled import JournaledScheduler
from syne_hypersched.recovery._replay import replay
from syne_hypersched.recovery._replay_state import ReplayState
from syne_hypersched.recovery._ticks import Ticks
from syne_hypersched.testing.scheduler_contract import TuningLoop

SPACE = {"x": uniform(0, 1), "n": 0, "kind": "a", "rate": 1.0}
SCRIPT = """
import json, os, signal, sys, time
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
path = arguments["--st_checkpoint_dir"]
os.makedirs(path, exist_ok=True)
path = os.path.join(path, "epoch.json")
done = json.load(open(path)) if os.path.exists(path) else 0
for number, epoch in enumerate(range(done + 1, 10)):
    time.sleep(0.01)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # or it may have saved an epoch and not reported it
    with open(path + ".new", "w") as file:
        json.dump(epoch, file)
    os.replace(path + ".new", path)
    report = {"epoch": epoch, "loss": float(arguments["--x"]) + 1 / epoch, "st_worker_iter": number}
    print("[tune-metric]: " + json.dumps(report), flush=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
"""
BAD_X = 0.1
POINTS = [{"x": 0.0}, {"x": BAD_X}, {"x": 0.2}]


def raising(scheduler_class):
    """A scheduler that raises at some reports of one trial, or at another call about it."""

    class Raising(scheduler_class):
        calls = ("result",)
        levels = (2,)
        error = ValueError

        def _raise(self, call, trial):
            if call in self.calls and trial.config["x"] == BAD_X:
                raise self.error(f"cannot bear a {call}\nof this trial")

        def on_trial_add(self, trial):
            self._raise("add", trial)
            super().on_trial_add(trial)

        def on_trial_result(self, trial, result):
            if result["epoch"] in self.levels:
                self._raise("result", trial)
            return super().on_trial_result(trial, result)

        def on_trial_complete(self, trial, result):
            self._raise("complete", trial)
            super().on_trial_complete(trial, result)

    return Raising


OPTIONS = {"random_seed": 1, "points_to_evaluate": POINTS}
SCHEDULERS = {
    "asha": lambda: raising(ASHA)(SPACE, "loss", "epoch", 99, grace_period=99, **OPTIONS),
    "pasha": lambda: raising(PASHA)(SPACE, "loss", "epoch", 9, grace_period=4, **OPTIONS),
    "adaptive": lambda: raising(HyperSched)(SPACE, "loss", "epoch", 9, num_devices=1, deadline_s=99, **OPTIONS),
    "published": lambda: raising(HyperSched)(
        SPACE, "loss", "epoch", 9, num_devices=1, deadline_s=99, strategy="published", grace_period=4, **OPTIONS
    ),
}


@pytest.fixture
def make(experiments, monkeypatch):
    """Makes a tuner of three trials, with a scheduler of its own."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(experiments.folder / "experiments"))
    experiments.script.write_text(SCRIPT)

    def make_tuner(name="asha", **members):
        scheduler = SCHEDULERS[name]()
        for member, value in members.items():
            setattr(type(scheduler), member, value)
        backend = ElasticLocalBackend(experiments.script, 1, device_type="cpu", preload=())
        stop = StoppingCriterion(max_num_trials_started=2)
        return Tuner(
            backend, scheduler, stop, n_workers=1, sleep_time=0.01, tuner_name="run", suffix_tuner_name=False,
            save_tuner=False, callbacks=[Journal()], wait_trial_completion_when_stopping=True,
        )  # fmt: skip

    return make_tuner


def epochs_of(results, x):
    return list(results[results.config_x == x].epoch)


@pytest.mark.parametrize(
    "name", ["asha", "adaptive", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pasha", "published"))]
)
def test_a_report_at_which_the_scheduler_raises_is_left_out_by_the_resume(make, experiments, caplog, name):
    with pytest.raises(ValueError, match="cannot bear a result"):
        make(name).run()
    assert "continues and skips this call" in caplog.text
    assert "resume_experiment('run')" in caplog.text
    caplog.clear()
    resume_experiment("run", make(name))
    assert "1 calls that made the scheduler raise are skipped" in caplog.text
    results = experiments.results("run")
    epochs = epochs_of(results, BAD_X)
    assert epochs == [epoch for epoch in range(1, max(epochs) + 1) if epoch != 2]
    assert max(epochs) > 2
    assert epochs_of(results, 0.0)[:2] == [1, 2]


def test_a_trial_whose_reports_make_it_raise_again_and_again_is_stopped(make, experiments, caplog):
    with pytest.raises(ValueError, match="cannot bear"):
        make(levels=range(3, 9)).run()
    resume_experiment("run", make(levels=range(3, 9)))
    assert "The scheduler raised an error again at a report of trial 1, which is stopped" in caplog.text
    results = experiments.results("run")
    assert epochs_of(results, BAD_X) == [1, 2, 4]
    assert set(results[results.config_x == BAD_X].st_decision) == {"CONTINUE", "STOP"}
    assert epochs_of(results, 0.2) == list(range(1, 10))
    again = resume_experiment("run", make(levels=range(3, 9)))  # it has ended, and its journal can be replayed
    assert len(experiments.results("run")) == len(results)
    assert again.tuning_status.num_trials_started == 3


@pytest.mark.parametrize("call", ["complete", pytest.param("add", marks=pytest.mark.slow)])
def test_other_calls_at_which_it_raises(make, experiments, call):
    with pytest.raises(ValueError, match=f"cannot bear a {call}"):
        make(calls=(call,)).run()
    resume_experiment("run", make(calls=(call,)))
    results = experiments.results("run")
    assert epochs_of(results, 0.0) == epochs_of(results, 0.2) == list(range(1, 10))
    assert epochs_of(results, BAD_X) == ([] if call == "add" else list(range(1, 10)))


def test_a_call_that_failed_for_a_reason_of_the_machine_is_repeated(make, experiments):
    with pytest.raises(OSError, match="cannot bear"):
        make(error=OSError).run()
    resume_experiment("run", make(calls=()))
    assert epochs_of(experiments.results("run"), BAD_X) == list(range(1, 10))


def journaled_calls(scheduler):
    entries, ticks = [], Ticks()
    TuningLoop("loss", "epoch", 2, 9).run(JournaledScheduler(scheduler, ticks, entries.append), 10)
    return [as_json(entry | {"status": "InProgress"}) for entry in entries]


def play(entries, scheduler, **options):
    progress = ReplayState()
    replay(entries, scheduler, Ticks(), progress, **options)
    return progress


def test_a_scheduler_that_raises_only_at_the_replay(caplog):
    """A scheduler whose code has changed since."""
    caplog.set_level(logging.WARNING)
    entries = journaled_calls(ASHA(SPACE, "loss", "epoch", 9, **OPTIONS))
    changed = SCHEDULERS["asha"]()
    with pytest.raises(
        ValueError, match=r"decides 'to raise ValueError: cannot bear .* With strict=False the decisions"
    ):
        play(entries, changed)
    progress = play(entries, SCHEDULERS["asha"](), strict=False)
    assert len(progress.told) == sum(entry["call"] == "result" for entry in entries)
    assert "The decision of the journal is used" in caplog.text


def test_an_invalid_entry_is_distinguished_from_a_scheduler_that_raises():
    entries = journaled_calls(ASHA(SPACE, "loss", "epoch", 9, **OPTIONS))
    del next(entry for entry in entries if entry["call"] == "result")["report"]
    with pytest.raises(ValueError, match=r"entry \d+ of the journal is not valid"):
        play(entries, ASHA(SPACE, "loss", "epoch", 9, **OPTIONS), strict=False)
