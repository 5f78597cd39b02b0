"""The elastic local backend under the stock tuner."""

from __future__ import annotations

import json
import os
import signal
import textwrap

import psutil
import pytest
from syne_tune import StoppingCriterion
from syne_tune.backend import LocalBackend
from syne_tune.config_space import choice, uniform
from syne_tune.optimizer.baselines import ASHA as StockASHA
from syne_tune.optimizer.baselines import RandomSearch

from syne_hypersched import ASHA, HyperSched, PublishedRules
from syne_hypersched.experiments import read_events
from tests.backends.local.tunings import EarlyDeadline, asha, assert_sound, fixed, make_backend, poll, results, run
from tests.thoroughness import repetitions

pytestmark = pytest.mark.usefixtures("no_process_left")


def events_of(backend):
    """The events so far of a tuning that goes on."""
    path = backend.trial_path(0).parent / "events.jsonl"
    return read_events(path) if path.exists() else []


class ResizingASHA(ASHA):
    """Resizes at every fifth epoch."""

    def on_trial_result(self, trial, result):
        decision = super().on_trial_result(trial=trial, result=result)
        if decision == "CONTINUE" and result["epoch"] % 5 == 0:
            trial.resize(1 + (trial.num_devices % 2))
        return decision


def test_resizes_under_the_stock_tuner(script):
    backend = make_backend(script)

    def has_resized(status):
        """Two resizes, and reports on both numbers of devices, take longer on a busy machine."""
        exits = [event for event in events_of(backend) if event.event == "exit" and event.reason == "resize"]
        reported = status.overall_metric_statistics
        on = {numbers.get("st_num_devices") for numbers in (reported.min_metrics, reported.max_metrics)}
        return status.wallclock_time >= (2 if len(exits) >= 2 and on == {1, 2} else 240)

    tuner = run(backend, asha(ResizingASHA), has_resized, n_workers=3)
    assert_sound(tuner)
    table = results(tuner)
    assert set(table.st_num_devices) == {1, 2}
    resizes = [event for event in read_events(tuner.tuner_path / "events.jsonl") if event.reason == "resize"]
    assert sum(event.event == "exit" for event in resizes) >= 2
    for _, trial in table.groupby("trial_id"):
        assert trial.st_worker_time.is_monotonic_increasing
        assert list(trial.st_worker_iter) == list(range(len(trial)))
        assert trial.st_launch.is_monotonic_increasing


def test_hypersched_under_the_stock_tuner(script):
    # Without rungs only NaN ends a trial, so that two trials are there to grow when admission closes.
    scheduler = HyperSched(
        {"x": uniform(0, 1), "mode": choice(["", "nan"])}, "loss", "epoch", max_t=1000, grace_period=1000,
        num_devices=4, deadline_s=600, random_seed=3,
        strategy=PublishedRules(fixed_exploration=2 / 600, recharge_period=2),
    )  # fmt: skip
    backend = make_backend(script)

    def has_grown(status):
        reported = status.overall_metric_statistics.max_metrics.get("st_num_devices", 0)
        return reported >= 2 and (backend.local_path / "best" / "checkpoint" / "epoch.json").exists()

    tuner = run(backend, scheduler, EarlyDeadline(600, backend, has_grown), n_workers=2)
    assert_sound(tuner)
    table = results(tuner)
    assert not scheduler.admission_open
    assert not table.st_admission_open.iloc[-1]
    assert table.st_num_devices.max() >= 2
    # A trial that reports NaN is paused, and its report is in the results all the same.
    assert (table[table.loss.isna()].st_decision == "PAUSE").all()
    best = json.loads((tuner.tuner_path / "best" / "result.json").read_text())
    # The script reports an epoch before it writes the checkpoint. What has none when the time is over is not published.
    epoch = json.loads((tuner.tuner_path / "best" / "checkpoint" / "epoch.json").read_text())
    known = best["st_checkpoint"]
    assert (
        epoch == known["level"] == best["epoch"]
        if known["match"] == "exact"
        else 0 <= epoch - best["epoch"] <= known["match"]
    )
    assert best["epoch"] >= table[table.trial_id == best["trial_id"]].epoch.max() - 2
    assert json.loads((tuner.tuner_path / "best" / "config.json").read_text())["mode"] == ""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["", "ignore"])
def test_no_process_outlives_the_deadline(script, mode, wait_for):
    backend = make_backend(script)
    scheduler = ASHA({"x": uniform(0, 1), "mode": mode}, "loss", "epoch", max_t=1000, grace_period=1000, random_seed=1)

    def events(kind):
        return [event for event in events_of(backend) if event.event == kind]

    def all_have_ended(status):
        """Sets a deadline when all trials run, after which the tuner does nothing until they have ended."""
        if len(events("launch")) < 4:
            return False
        backend.set_deadline(2.0, 0.5)
        wait_for(lambda: len(events("exit")) == 4)
        return True

    run(backend, scheduler, all_have_ended)
    set_s = max(event.time_s for event in events("launch"))
    assert all(event.time_s >= set_s + 1.5 for event in events("exit"))
    assert {event.reason for event in events("exit")} == {"deadline"}


def promotion(max_resource_attr):
    return ASHA(
        {"x": uniform(0, 1), "epochs": 27}, "loss", "epoch", max_t=27, type="promotion",
        max_resource_attr=max_resource_attr, random_seed=1,
    )  # fmt: skip


@pytest.mark.parametrize("max_resource_attr", [None, pytest.param("epochs", marks=pytest.mark.slow)])
def test_promotion_loses_and_repeats_no_epoch(script, max_resource_attr):
    backend = make_backend(script)

    def has_promoted(status):
        """Scripts train on while a tuner is late, so that the number of evaluations says little on a busy machine."""
        resumed = {event.trial_id for event in events_of(backend) if event.event == "first_report" and event.launch}
        return status.overall_metric_statistics.count >= 60 and len(resumed) >= 3

    tuner = run(backend, promotion(max_resource_attr), has_promoted)
    assert_sound(tuner)
    assert (results(tuner).groupby("trial_id").st_launch.max() > 0).sum() >= 3


def test_a_trial_that_ends_by_itself_while_it_is_paused_goes_on_when_resumed(script, wait_for):
    """A script that trains up to the milestone in its arguments, with a tuner that resumes it quickly."""
    backend = make_backend(script, time_attr="epoch")
    for epochs in range(1, repetitions(30, 10)):
        if epochs == 1:
            backend.start_trial({"epochs": 1})
        else:
            backend.resume_trial(0, {"epochs": epochs})
        ((_, report), *more) = poll(backend, [0], bool, wait_for)
        assert (report["epoch"], more) == (epochs, [])
        backend.pause_trial(0, report)
    backend.stop_all()


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
@pytest.mark.slow  # the stock backend runs a scheduler of this package in a quick test below, too
@pytest.mark.parametrize("max_resource_attr", [None, "epochs"])
def test_promotion_on_the_stock_backend(script, max_resource_attr):
    """The stock backend kills a trial at once and drops its last reports, so epochs may be missing."""
    backend = LocalBackend(str(script), rotate_gpus=False)
    tuner = run(backend, promotion(max_resource_attr), StoppingCriterion(max_num_evaluations=20))
    for process in backend.trial_subprocess.values():
        process.wait()
    epochs = results(tuner).groupby("trial_id").epoch
    assert (epochs.min() == 1).all()
    assert (epochs.max() > 1).any()


@pytest.mark.parametrize(
    "make_scheduler",
    [
        pytest.param(
            lambda space: StockASHA(space, metric="loss", time_attr="epoch", max_t=9, random_seed=1), id="ASHA"
        ),
        pytest.param(
            lambda space: RandomSearch(space, metrics=["loss"], random_seed=1),
            id="RandomSearch",
            marks=pytest.mark.slow,  # most other tests here draw at random
        ),
    ],
)
def test_stock_schedulers_run_on_it(script, make_scheduler):
    scheduler = make_scheduler({"x": uniform(0, 1), "epochs": 9})
    tuner = run(make_backend(script), scheduler, StoppingCriterion(max_num_trials_finished=6))
    assert_sound(tuner)


def test_children_of_a_script_end_with_it(script):
    run(make_backend(script), fixed("fork", epochs=3), StoppingCriterion(max_num_trials_completed=2))
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(script) in (p.info["cmdline"] or [])]


def test_more_workers_than_devices_is_an_error(script):
    backend = make_backend(script, 2)
    with pytest.raises(ValueError, match="n_workers must be at most 2 with 2 devices and 1 per trial, but got 3"):
        run(backend, asha(), StoppingCriterion(max_wallclock_time=20), n_workers=3)
    assert backend.busy_trial_ids() == []  # nothing was started


def test_nothing_is_started_on_devices_that_are_promised(script):
    """With start_jobs_without_delay=False the tuner asks which devices are busy."""

    class Greedy(ResizingASHA):
        def on_trial_result(self, trial, result):
            trial.resize(4)
            return "CONTINUE"

    tuner = run(
        make_backend(script), asha(Greedy, max_t=1000), StoppingCriterion(max_num_evaluations=30),
        start_jobs_without_delay=False,
    )  # fmt: skip
    assert_sound(tuner)


def test_ctrl_c_leaves_the_best_and_no_process(script, tmp_path, wait_for, forked):
    launcher = tmp_path / "launch.py"
    launcher.write_text(
        textwrap.dedent(
            f"""
            from syne_tune import Tuner
            from syne_tune.config_space import uniform
            from syne_hypersched import Deadline, ElasticLocalBackend, HyperSched
            backend = ElasticLocalBackend({str(script)!r}, 2, device_type="cpu")
            scheduler = HyperSched({{"x": uniform(0, 1)}}, "loss", "epoch", max_t=500, num_devices=2, deadline_s=100)
            names = {{"tuner_name": "run", "suffix_tuner_name": False}}
            Tuner(backend, scheduler, Deadline(100, backend), n_workers=2, sleep_time=0.02, **names).run()
            """
        )
    )
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    with open(tmp_path / "log", "wb") as log:
        process = forked.start([launcher], env=env, stdout=log, stderr=log)
    best = tmp_path / "experiments" / "run" / "best"
    wait_for(lambda: (best / "checkpoint").exists())  # kept current while the tuning goes on
    descendants = psutil.Process(process.pid).children(recursive=True)
    assert descendants
    process.send_signal(signal.SIGINT)
    process.wait(timeout_s=280)
    assert "KeyboardInterrupt" in (tmp_path / "log").read_text()
    assert not psutil.wait_procs(descendants, timeout=100)[1]
    assert json.loads((best / "result.json").read_text())["loss"] > 0
