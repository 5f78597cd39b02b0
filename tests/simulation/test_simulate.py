"""Simulation without a tuner: the same decisions and results, in less time."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syne_tune import Tuner
from syne_tune.config_space import uniform
from syne_tune.experiments import load_experiment
from syne_tune.optimizer.baselines import ASHA as SyneTuneASHA
from syne_tune.optimizer.baselines import RandomSearch
from syne_tune.optimizer.scheduler import TrialScheduler, TrialSuggestion

from syne_hypersched import (
    ASHA,
    PASHA,
    Deadline,
    ElasticSimulatorBackend,
    HyperSched,
    LaunchCost,
    PublishedRules,
    simulate,
)
from syne_hypersched.backends import Failures
from syne_hypersched.experiments import QuietTunerLogger, check_run, load_run
from tests.backends.virtual.curves import RoundCurves
from tests.thoroughness import repetitions

SPACE = {"x": uniform(0, 1), "epoch_s": uniform(1, 3)}
NUM_DEVICES = 6
SCHEDULERS = {
    "asha": lambda seed, deadline_s: ASHA(SPACE, "loss", "epoch", 27, random_seed=seed),
    "asha-promotion": lambda seed, deadline_s: ASHA(SPACE, "loss", "epoch", 27, type="promotion", random_seed=seed),
    "pasha": lambda seed, deadline_s: PASHA(SPACE, "loss", "epoch", 27, random_seed=seed),
    "hypersched": lambda seed, deadline_s: HyperSched(
        SPACE,
        "loss",
        "epoch",
        27,
        NUM_DEVICES,
        deadline_s,
        random_seed=seed,
        strategy=PublishedRules(recharge_period=1),
    ),
    "syne-tune-asha": lambda seed, deadline_s: SyneTuneASHA(
        SPACE, metric="loss", time_attr="epoch", max_t=27, random_seed=seed
    ),
    "syne-tune-random": lambda seed, deadline_s: RandomSearch(SPACE, ["loss"], random_seed=seed),
}


def with_seed(name, seed, deadline_s):
    np.random.seed(seed)  # Syne Tune's own schedulers draw from the process-wide generator
    return SCHEDULERS[name](seed, deadline_s)


def simulated(name, seed=0, deadline_s=60.0, **arguments):
    scheduler = with_seed(name, seed, deadline_s)
    return simulate(scheduler, RoundCurves(27), num_devices=NUM_DEVICES, deadline_s=deadline_s, **arguments)


def tuned(name, seed, deadline_s, **arguments):
    backend = ElasticSimulatorBackend(RoundCurves(27), "elapsed_s", NUM_DEVICES, **arguments)
    tuner = Tuner(
        backend,
        with_seed(name, seed, deadline_s),
        Deadline(deadline_s, trial_backend=backend),
        n_workers=NUM_DEVICES,
        sleep_time=0,
        max_failures=10_000,
        save_tuner=False,
        output_logger=QuietTunerLogger(),
    )
    tuner.run()
    return tuner


@pytest.mark.parametrize("name", SCHEDULERS)
@given(
    seed=st.integers(0, 10_000),
    deadline_s=st.sampled_from([15.0, 47.5, 90.0]),
    seconds=st.tuples(*[st.sampled_from([0.0, 0.25, 1.5])] * 4),
    failing=st.booleans(),
)
@settings(max_examples=repetitions(6, 3), deadline=None)
def test_the_tuner_makes_the_same_decisions(name, seed, deadline_s, seconds, failing):
    with pytest.MonkeyPatch.context() as environment, tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        environment.setenv("SYNETUNE_FOLDER", str(folder))
        arguments = {"launch_cost": LaunchCost(*seconds), "failures": Failures(0.02, seed) if failing else None}
        simulation = simulated(name, seed, deadline_s, events_path=folder / "events.jsonl", **arguments)
        tuner = tuned(name, seed, deadline_s, **arguments)
        pd.testing.assert_frame_equal(simulation.results, tuner.callbacks[0].dataframe())
        events = (tuner.tuner_path / "events.jsonl").read_bytes()
        assert (folder / "events.jsonl").read_bytes() == events
        assert simulation.end_s == tuner.trial_backend.time_s


def test_hypersched_resizes_in_a_simulation():
    simulation = simulated("hypersched", deadline_s=90.0)
    assert simulation.results.st_num_devices.max() > 1
    assert simulation.results.st_launch.max() >= 1


@pytest.mark.parametrize("name", SCHEDULERS)
def test_one_seed_gives_one_sequence_of_bytes(name, tmp_path):
    for folder in ("a", "b"):
        simulation = simulated(name, seed=3, events_path=tmp_path / folder / "events.jsonl")
        simulation.save(tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["events.jsonl", "metadata.json", "results.csv.zip"]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_stored_simulation_is_an_experiment(tmp_path):
    simulation = simulated("hypersched", events_path=tmp_path / "events.jsonl", launch_cost=LaunchCost(start_s=0.5))
    simulation.save(tmp_path / "mine")
    loaded = load_experiment("mine", local_path=str(tmp_path))
    pd.testing.assert_frame_equal(loaded.results, simulation.results, check_exact=False)
    assert loaded.metadata["scheduler_name"] == "HyperSched"
    run = load_run(tmp_path / "mine")
    assert check_run(run) == ()
    assert run.deadline_s == 60
    assert len(run.reports) == simulation.num_results
    assert run.incumbent.value == simulation.best("loss")


def test_a_table_and_a_picture_are_made_of_a_stored_simulation(tmp_path):
    pytest.importorskip("matplotlib")
    from syne_hypersched.experiments import report

    simulation = simulated("hypersched", events_path=tmp_path / "events.jsonl")
    simulation.save(tmp_path)
    report.main([str(tmp_path)])
    assert (tmp_path / "run.png").stat().st_size > 1000


def test_results_without_events_can_be_stored(tmp_path):
    simulated("asha").save(tmp_path)
    assert not (tmp_path / "events.jsonl").exists()
    with zipfile.ZipFile(tmp_path / "results.csv.zip") as archive:
        assert archive.namelist() == ["results.csv"]
    assert json.loads((tmp_path / "metadata.json").read_text())["backend"] == "ElasticSimulatorBackend"


def test_events_of_an_earlier_simulation_are_replaced(tmp_path):
    sizes = []
    for _ in range(2):
        simulated("asha", events_path=tmp_path / "events.jsonl")
        sizes.append((tmp_path / "events.jsonl").stat().st_size)
    assert sizes[0] == sizes[1]


def test_nothing_is_reported_after_the_deadline_and_devices_are_free_at_it():
    simulation = simulated("asha", deadline_s=50.0, launch_cost=LaunchCost(drain_s=2.0))
    assert simulation.results.st_tuner_time.max() <= 48
    assert simulation.end_s == 50


def test_it_ends_when_one_more_trial_would_start():
    simulation = simulated("asha", deadline_s=1e6, max_num_trials=20)
    assert simulation.num_trials == 20
    # The next trial would take the place of the one that has just ended.
    assert simulation.results.iloc[-1].st_decision == "STOP" or simulation.results.iloc[-1].st_status == "Completed"
    assert simulation.end_s == simulation.results.iloc[-1].st_tuner_time


@pytest.mark.parametrize("number", [1, 17, 100])
def test_it_ends_at_a_number_of_results(number):
    simulation = simulated("asha", deadline_s=1e6, max_num_results=number)
    assert simulation.num_results == len(simulation.results) == number


class Once(TrialScheduler):
    """Starts three trials of five epochs, and pauses, stops or ignores them."""

    def __init__(self, decision):
        super().__init__(random_seed=0)
        self.decision = decision
        self.calls = []

    def suggest(self):
        starts = sum(call[0] == "add" for call in self.calls)
        return TrialSuggestion.start_suggestion({"epochs": 2}) if starts < 3 else None

    def on_trial_add(self, trial):
        self.calls.append(("add", trial.trial_id))

    def on_trial_result(self, trial, result):
        self.calls.append(("result", trial.trial_id, result["epoch"]))
        return self.decision if result["epoch"] == 2 else "CONTINUE"

    def on_trial_complete(self, trial, result):
        self.calls.append(("complete", trial.trial_id, result["epoch"]))

    def on_trial_remove(self, trial):
        self.calls.append(("remove", trial.trial_id))

    def on_trial_error(self, trial):
        self.calls.append(("error", trial.trial_id))

    def metric_names(self):
        return ["loss"]


@pytest.mark.parametrize(
    ("decision", "end"), [("CONTINUE", ("complete", 0, 2)), ("STOP", ("remove", 0)), ("PAUSE", ("remove", 0))]
)
def test_a_scheduler_is_told_once_how_a_trial_ends(decision, end):
    scheduler = Once(decision)
    simulation = simulate(scheduler, RoundCurves(), num_devices=1)
    assert [call for call in scheduler.calls if call[1] == 0] == [("add", 0), ("result", 0, 1), ("result", 0, 2), end]
    assert simulation.num_trials == 3
    assert simulation.end_s == 6
    assert simulation.utilisation == 1
    assert simulation.device_seconds_held == simulation.device_seconds_training == 6


def test_a_scheduler_is_told_of_failures():
    scheduler = Once("CONTINUE")
    simulation = simulate(scheduler, RoundCurves(), num_devices=2, failures=Failures(1.0))
    assert sorted(call for call in scheduler.calls if call[0] == "error") == [("error", i) for i in range(3)]
    assert simulation.num_results == 0
    assert simulation.results.empty
    assert np.isnan(simulation.best("loss"))


def test_the_best_value_so_far():
    simulation = simulated("asha")
    times_s, best = simulation.trajectory("loss")
    assert times_s.tolist() == simulation.results.st_tuner_time.tolist()
    assert best.tolist() == simulation.results.loss.cummin().tolist()
    assert simulation.best("loss") == simulation.results.loss.min()
    assert simulation.best("loss", do_minimize=False) == simulation.results.loss.max()


def test_a_metric_that_is_never_reported_is_an_error():
    with pytest.raises(ValueError, match="metric must be an entry of the reports, one of epoch, loss"):
        simulated("asha").best("accuracy")


def hashes():
    return [hashlib.sha256(simulated(name, 5).results.to_csv().encode()).hexdigest() for name in SCHEDULERS]


def test_the_order_of_sets_and_the_process_decide_nothing():
    elsewhere = subprocess.run(
        [sys.executable, "-c", "from tests.simulation.test_simulate import hashes; print(*hashes())"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") == "0" else "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.split() == hashes()


def test_each_decision_is_recorded():
    told = []
    simulation = simulated("asha", on_result=lambda trial, result, decision: told.append((trial.trial_id, decision)))
    assert told == list(zip(simulation.results.trial_id, simulation.results.st_decision, strict=True))


def test_the_metric_is_that_of_the_curve_and_devices_are_kept_busy():
    simulation = simulated("asha")
    results = simulation.results
    assert np.allclose(results.loss, results.config_x + 1 / results.epoch)
    assert 0.9 < simulation.utilisation <= 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"deadline_s": 0}, ValueError, "deadline_s must be a positive"),
        ({"deadline_s": "60"}, TypeError, "deadline_s must be a positive number"),
        ({"max_num_trials": 0}, ValueError, "max_num_trials must be at least 1"),
        ({"max_num_results": 1.5}, TypeError, "max_num_results must be an integer"),
        ({"n_workers": 0}, ValueError, "n_workers must be at least 1"),
        ({"n_workers": 3}, ValueError, "n_workers must be at most 2"),
        ({"num_devices": 0}, ValueError, "num_devices must be at least 1"),
        ({"scaling": "resnet"}, ValueError, "scaling must be one of"),
    ],
)
def test_an_argument_that_makes_no_sense_is_an_error(arguments, error, message):
    with pytest.raises(error, match=message):
        simulate(with_seed("asha", 0, 1.0), RoundCurves(), **{"num_devices": 2, "max_num_results": 100} | arguments)


@pytest.mark.parametrize("time_attr", ["st_worker_time", "st_device_time"])
@pytest.mark.parametrize("strategy", ["published", "adaptive", "stopping", "promotion", "PASHA"])
def test_time_is_a_resource(strategy, time_attr):
    if strategy == "PASHA":
        scheduler = PASHA(SPACE, "loss", time_attr, 27, random_seed=0)
    elif strategy in ("stopping", "promotion"):
        scheduler = ASHA(SPACE, "loss", time_attr, 27, type=strategy, random_seed=0)
    else:
        scheduler = HyperSched(SPACE, "loss", time_attr, 27, NUM_DEVICES, 60.0, random_seed=0, strategy=strategy)
    results = simulate(scheduler, RoundCurves(27), num_devices=NUM_DEVICES, deadline_s=60.0).results
    for _, trial in results.groupby("trial_id"):
        devices_s = trial.st_num_devices * trial.st_worker_time.diff().fillna(trial.st_worker_time)
        assert trial.st_device_time.tolist() == pytest.approx(devices_s.cumsum().tolist())
        # Nobody trains on for an epoch that begins with the last second of the budget used.
        assert (trial[time_attr] < 27).sum() >= len(trial) - 1
