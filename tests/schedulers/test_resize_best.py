"""ResizeBest keeps the contract of a scheduler, in simulation and with real processes."""

from __future__ import annotations

import copy
import json
import time

import numpy as np
import pytest
from syne_tune import Tuner
from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving

from syne_hypersched import (
    ASHA,
    PASHA,
    Deadline,
    ElasticPythonBackend,
    ElasticSimulatorBackend,
    Journal,
    LaunchCost,
    ResizeBest,
    resume_experiment,
    simulate,
)
from syne_hypersched.experiments import QuietTunerLogger, check_run, holdings, load_run
from syne_hypersched.testing import SchedulerContract
from tests.schedulers.families import SPACE, Curves, Listed
from tests.schedulers.resizing import INSIDE, Tuning, make, points
from tests.schedulers.test_contract import draws_from_numpy


class TestResizingASHA(SchedulerContract):
    def make_scheduler(self, do_minimize=True, random_seed=0):
        return ResizeBest(self.make_inside(do_minimize, random_seed), num_devices=self.num_workers, max_trials=30)

    def make_inside(self, do_minimize, random_seed):
        arguments = {"do_minimize": do_minimize, "random_seed": random_seed}
        return ASHA(self.config_space, self.metric, self.time_attr, self.max_t, **arguments)


class TestResizingPromotionASHA(TestResizingASHA):
    def make_inside(self, do_minimize, random_seed):
        arguments = {"do_minimize": do_minimize, "random_seed": random_seed, "type": "promotion"}
        return ASHA(self.config_space, self.metric, self.time_attr, self.max_t, **arguments)


class TestResizingPASHA(TestResizingASHA):
    def make_inside(self, do_minimize, random_seed):
        arguments = {"do_minimize": do_minimize, "random_seed": random_seed}
        return PASHA(self.config_space, self.metric, self.time_attr, self.max_t, **arguments)


class TestResizingStockASHA(TestResizingASHA):
    def make_inside(self, do_minimize, random_seed):
        np.random.seed(random_seed)  # its random searcher draws from NumPy's process-wide generator
        return AsynchronousSuccessiveHalving(
            self.config_space, self.metric, time_attr=self.time_attr, max_t=self.max_t, do_minimize=do_minimize,
            random_seed=random_seed,
        )  # fmt: skip

    @draws_from_numpy
    @pytest.mark.parametrize("seconds", [1])
    def test_a_stored_and_loaded_scheduler_goes_on_identically(self, seconds):
        super().test_a_stored_and_loaded_scheduler_goes_on_identically(seconds)


CURVES = Curves(range(1, 28))


def run(scheduler, num_devices=4, launch_s=0.1, **arguments):
    arguments = {"launch_cost": LaunchCost(start_s=launch_s), "scaling": "linear", "deadline_s": 500.0, **arguments}
    return simulate(scheduler, CURVES, num_devices=num_devices, n_workers=4, **arguments)


@pytest.mark.parametrize("name", INSIDE)
def test_the_best_trial_ends_on_many_devices_and_earlier(name, tmp_path):
    scheduler = make(name)
    resized = run(scheduler, events_path=tmp_path / "events.jsonl")
    plain = run(make(name, policy="uniform", scaling="none"))
    results = resized.results
    assert scheduler.decisions
    assert results.trial_id.nunique() == 6
    # Nothing grows while there is something to start.
    assert set(results[results.st_admission_open].st_num_devices) == {1}
    assert results.st_num_devices.max() >= 2
    last = results.iloc[-1]
    assert last.st_num_devices >= 2
    assert results.st_tuner_time.max() < plain.results.st_tuner_time.max()
    # What is decided of trials is what the scheduler inside decides.
    if name != "stock random search":
        assert scheduler.scheduler.max_t == 27
    best = results.groupby("config_x").epoch.max()
    assert best[0.0] == 27


def test_nothing_is_resized_before_and_nothing_is_lost_after_the_closing(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    backend = ElasticSimulatorBackend(
        CURVES, "elapsed_s", num_devices=4, launch_cost=LaunchCost(start_s=0.1, drain_s=0.2), scaling="resnet50"
    )
    scheduler = make("promotion", scaling=None)
    Tuner(
        backend, scheduler, Deadline(400, trial_backend=backend), n_workers=4, sleep_time=0, save_tuner=False,
        suffix_tuner_name=False, tuner_name="resized",
    ).run()  # fmt: skip
    experiment = load_run(tmp_path / "resized")
    assert check_run(experiment, step=1) == ()
    assert max(len(holding.devices) for holding in holdings(experiment.events)) > 1
    reasons = [event.reason for event in experiment.events if event.event == "decision"]
    assert any("grows from 1 to" in reason for reason in reasons)
    metadata = json.loads((tmp_path / "resized" / "metadata.json").read_text())
    assert metadata["scheduler_name"] == "ResizeBest"
    assert metadata["scheduler_kwargs"]["scheduler"]["scheduler_name"] == "ASHA"
    assert metadata["scheduler_kwargs"]["scheduler"]["scheduler_kwargs"]["type"] == "promotion"
    assert metadata["scheduler_kwargs"]["time_attr"] == "epoch"
    # A relaunch must pay by the deadline of the backend.
    assert scheduler.deadline_s == 400


def train(x, st_checkpoint_dir):
    import os
    from pathlib import Path

    from tests.reporter import Reporter

    checkpoint, report = Path(st_checkpoint_dir) / "epoch", Reporter()
    is_first_rank = os.environ.get("RANK", "0") == "0"
    Path(st_checkpoint_dir).mkdir(parents=True, exist_ok=True)
    ahead = Path(st_checkpoint_dir).parents[1] / "0" / "checkpoints" / "epoch"
    for epoch in range(int(checkpoint.read_text()) + 1 if checkpoint.exists() else 1, 91):
        time.sleep(0.05)
        # The best trial is the first one at the rung, so that all others stop there, on however busy a machine.
        while x > 0 and epoch == 10 and not (ahead.exists() and int(ahead.read_text()) >= 20):
            time.sleep(0.05)
        report(epoch=epoch, loss=x + 1 / epoch)
        # After the report, and whole: a launch that ends here repeats the epoch, and leaves none out. A second rank
        # that is ahead must not write what the first one has yet to read.
        if not is_first_rank:
            continue
        aside = checkpoint.with_suffix(".new")
        aside.write_text(str(epoch))
        aside.replace(checkpoint)


@pytest.mark.usefixtures("no_process_left")
def test_with_real_processes_and_a_resume_of_the_experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))

    def tuner():
        backend = ElasticPythonBackend(train, SPACE, 4, device_type="cpu", grace_s=1.0)
        # What is left of a trial when the first devices are free takes longer than any launch on a busy machine.
        inside = ASHA(SPACE, "loss", "epoch", 90, searcher=Listed(points(4)), grace_period=10, random_seed=0)
        scheduler = ResizeBest(inside, scaling="linear", policy="top_job")
        return Tuner(
            backend, scheduler, Deadline(60, backend), n_workers=4, sleep_time=0.02, callbacks=[Journal()],
            tuner_name="real", suffix_tuner_name=False, save_tuner=False, output_logger=QuietTunerLogger(),
        )  # fmt: skip

    first = tuner()
    first.run()
    experiment = load_run(first.tuner_path)
    assert check_run(experiment, step=1) == ()
    assert first.scheduler.decisions
    assert max(len(holding.devices) for holding in holdings(experiment.events)) > 1
    # A replay of the whole journal makes the same decisions.
    second = resume_experiment("real", tuner(), time_passes="running")
    assert second.scheduler.decisions == first.scheduler.decisions


class Copying(ASHA):
    """Says how it is copied."""

    def __deepcopy__(self, memo):
        return ASHA(SPACE, "loss", "epoch", 9)


def test_how_the_scheduler_inside_is_copied_says_nothing_of_the_one_around_it():
    copied = copy.deepcopy(ResizeBest(Copying(SPACE, "loss", "epoch", 9), num_devices=4))
    assert type(copied) is ResizeBest
    assert type(copied.scheduler) is ASHA


def test_a_scaling_that_is_a_function_is_kept_as_a_table():
    assert Tuning(scaling=lambda num_devices: num_devices**0.5).scheduler.scaling == {
        1: 1.0,
        2: 2**0.5,
        3: 3**0.5,
        4: 2.0,
    }
    assert Tuning(scaling="linear").scheduler.scaling == "linear"
