"""The simulator backend under the stock tuner."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import dill
import numpy as np
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
from syne_tune.backend.trial_status import Status
from syne_tune.config_space import randint, uniform
from syne_tune.optimizer.baselines import RandomSearch

from syne_hypersched import ASHA, PASHA, Deadline, ElasticSimulatorBackend, HyperSched, LaunchCost
from syne_hypersched.backends import Failures
from syne_hypersched.blackboxes import TableBlackbox
from syne_hypersched.experiments import QuietTunerLogger, check_run, load_run
from syne_hypersched.testing import BackendContract
from tests.backends.virtual.curves import RoundCurves

SPACE = {"x": uniform(0, 1), "epoch_s": uniform(1, 3)}
COST = LaunchCost(start_s=0.5, resume_s=0.4, resize_s=0.7, drain_s=0.3)


class TestContract(BackendContract):
    cost = LaunchCost()

    def make_backend(self, folder):
        return ElasticSimulatorBackend(ContractCurves(), "elapsed_s", self.num_devices, launch_cost=self.cost)

    def pass_time(self, backend):
        """A poll goes on to the next event by itself."""

    def pass_epochs(self, backend, num_epochs):
        backend.time_keeper.advance(num_epochs * self.epoch_s)


class TestContractWithCosts(TestContract):
    cost = LaunchCost(start_s=0.1, resume_s=0.2, resize_s=0.3, drain_s=0.15)

    def pass_epochs(self, backend, num_epochs):
        backend.time_keeper.advance(self.cost.resume_s + num_epochs * self.epoch_s)


class ContractCurves(RoundCurves):
    def learning_curve(self, config, max_resource=None, seed=0):
        return super().learning_curve({**config, "epoch_s": BackendContract.epoch_s}, max_resource, seed)


@pytest.fixture(autouse=True)
def experiments(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))


def make_backend(**arguments):
    return ElasticSimulatorBackend(RoundCurves(27), "elapsed_s", 4, **{"launch_cost": COST, **arguments})


def asha(seed=0, **arguments):
    return ASHA(SPACE, "loss", "epoch", max_t=27, random_seed=seed, **arguments)


def run(backend, scheduler, stop_criterion, **arguments):
    tuner = Tuner(
        backend,
        scheduler,
        stop_criterion,
        **{"n_workers": 4, "sleep_time": 0, "save_tuner": False, "output_logger": QuietTunerLogger()} | arguments,
    )
    tuner.run()
    return tuner


def results(tuner):
    return tuner.callbacks[0].dataframe()


def test_the_deadline_counts_virtual_seconds():
    backend = make_backend()
    tuner = run(backend, asha(), Deadline(100, trial_backend=backend))
    run_ = load_run(tuner.tuner_path)
    assert check_run(run_, step=1) == ()
    assert run_.deadline_s == 100
    last_exit_s = max(event.time_s for event in run_.events if event.event == "exit")
    assert last_exit_s == pytest.approx(100)
    assert 95 < max(report.time_s for report in run_.reports) <= 100 - COST.drain_s
    exits = [event for event in run_.events if event.event == "exit" and event.reason == "deadline"]
    assert [event.details["drain_s"] for event in exits] == pytest.approx([COST.drain_s] * 4)


def test_hypersched_ends_at_its_deadline_without_a_criterion_that_knows_it():
    backend = make_backend()
    scheduler = HyperSched(
        SPACE, "loss", "epoch", 27, num_devices=4, deadline_s=60, random_seed=1, strategy="published"
    )
    tuner = run(backend, scheduler, StoppingCriterion(max_num_evaluations=100_000))
    late = results(tuner)[results(tuner).st_tuner_time > 60]
    assert set(late.st_decision) <= {"STOP"}
    assert len(late) <= 4
    assert {decision.what for decision in scheduler.decisions} >= {"start", "pause", "close", "resize"}


def test_syne_tunes_own_callback_and_criterion_work():
    backend = make_backend()
    tuner = run(backend, asha(), StoppingCriterion(max_wallclock_time=80), callbacks=[SimulatorCallback()])
    times_s = results(tuner).st_tuner_time
    assert times_s.is_monotonic_increasing
    assert (times_s > 80).sum() == 1, "it stops at the first report after the time"
    assert check_run(load_run(tuner.tuner_path), step=1) == ()


def test_a_tuner_that_waits_for_completion_does_not_wait_for_ever():
    backend = make_backend()
    criterion = Deadline(30, trial_backend=backend)
    tuner = run(backend, asha(), criterion, wait_trial_completion_when_stopping=True)
    assert results(tuner).st_tuner_time.max() <= 30
    assert tuner.tuning_status.num_trials_running == 0


def test_devices_are_never_exceeded_when_the_tuner_asks_who_is_busy():
    backend = make_backend()
    tuner = run(backend, asha(type="promotion"), Deadline(100, trial_backend=backend), start_jobs_without_delay=False)
    assert check_run(load_run(tuner.tuner_path), step=1) == ()
    assert results(tuner).trial_id.nunique() > 10


@pytest.mark.parametrize("scheduler", ["asha", "promotion", "pasha", "hypersched", "random"])
def test_every_run_keeps_the_rules_and_is_the_same_twice(scheduler):
    def once():
        backend = make_backend()
        made = {
            "asha": lambda: asha(),
            "promotion": lambda: asha(type="promotion"),
            "pasha": lambda: PASHA(SPACE, "loss", "epoch", max_t=27, random_seed=0),
            "hypersched": lambda: HyperSched(
                SPACE, "loss", "epoch", 27, num_devices=4, deadline_s=90, random_seed=0, strategy="published"
            ),
            "random": lambda: RandomSearch(SPACE, ["loss"], random_seed=0),
        }[scheduler]()
        np.random.seed(7)  # Syne Tune's random search draws from the process-wide generator
        tuner = run(backend, made, Deadline(90, trial_backend=backend))
        assert check_run(load_run(tuner.tuner_path, time_attr="epoch"), step=1) == ()
        events = (tuner.tuner_path / "events.jsonl").read_bytes()
        return results(tuner).to_csv().encode(), events

    assert once() == once()


def test_failed_trials_are_reported_and_their_devices_are_reused():
    backend = make_backend(failures=Failures(0.05, seed=1))
    tuner = run(backend, asha(), Deadline(200, trial_backend=backend), max_failures=1000)
    assert tuner.tuning_status.num_trials_failed > 3
    assert check_run(load_run(tuner.tuner_path), step=1) == ()


def test_too_many_failures_end_the_tuning_as_with_any_backend():
    backend = make_backend(failures=Failures(0.5))
    with pytest.raises(ValueError, match="failed"):
        run(backend, asha(), Deadline(200, trial_backend=backend), max_failures=2)


def test_a_stored_tuner_can_be_loaded_and_goes_on():
    backend = make_backend()
    tuner = run(backend, asha(), Deadline(50, trial_backend=backend), save_tuner=True)
    loaded = Tuner.load(str(tuner.tuner_path))
    loaded.stop_criterion = Deadline(120, trial_backend=loaded.trial_backend)
    loaded.run()
    times_s = results(loaded).st_tuner_time
    assert times_s.is_monotonic_increasing
    assert 110 < times_s.max() <= 120


def test_trials_are_created_in_virtual_time():
    backend = make_backend()
    backend.time_keeper.advance(90.5)
    assert backend.start_trial({"x": 0.0}).creation_time == datetime(1970, 1, 1) + timedelta(seconds=90.5)
    assert backend.time_s == backend.time_keeper.time() == 90.5
    assert backend.time_keeper.time_stamp() - backend.time_keeper.start_time_stamp == timedelta(seconds=90.5)


@pytest.mark.parametrize("step", [-1, float("inf"), float("nan")])
def test_time_goes_on_by_finite_steps(step):
    with pytest.raises(ValueError, match="step must be"):
        make_backend().time_keeper.advance(step)


def test_a_tuner_that_sleeps_gets_a_warning(caplog, monkeypatch):
    monkeypatch.setattr("syne_hypersched.backends.virtual._sleep.PATIENCE_S", 0.1)
    # Threads that other tests have left behind may use a processor, too.
    monkeypatch.setattr("syne_hypersched.backends.virtual._sleep.SHARE", 0.2)
    backend = make_backend()
    with caplog.at_level(logging.WARNING):
        run(backend, asha(), Deadline(15, trial_backend=backend), sleep_time=0.05)
    assert sum("sleep_time=0" in record.message for record in caplog.records) == 1


def test_a_copy_of_a_running_backend_has_what_is_paused():
    backend = make_backend()
    backend.start_trial({"x": 0.0})
    ((_, report),) = backend.fetch_status_results([0])[1]
    backend.pause_trial(0, report)
    copy = dill.loads(dill.dumps(backend))
    trial = copy.resume_trial(0)
    assert trial.status == Status.in_progress
    assert copy.fetch_status_results([0])[1][0][1]["epoch"] == 2


def test_a_table_of_measured_speed_ups_is_used():
    table = TableBlackbox(
        [{"n": 1}, {"n": 2}],
        {"loss": [[2.0, 1.0], [2.0, 1.0]]},
        [[12.0, 24.0], [12.0, 24.0]],
        configuration_space={"n": randint(1, 2)},
        speed_up=[{1: 1.0, 2: 1.5}, {1: 1.0, 2: 2.0}],
    )
    backend = ElasticSimulatorBackend(table, "elapsed_s", 4, scaling="measured", num_devices_per_trial=2)
    for n in (1, 2):
        backend.start_trial({"n": n})
    assert [report["st_tuner_time"] for _ in range(2) for _, report in backend.fetch_status_results([0, 1])[1]] == [
        6,
        8,
    ]
