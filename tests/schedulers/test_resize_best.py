from __future__ import annotations

import copy
import json
import logging
import time
from datetime import datetime

import dill
import numpy as np
import pytest
from syne_tune import Tuner
from syne_tune.backend.trial_status import Trial
from syne_tune.constants import ST_TUNER_TIME
from syne_tune.optimizer.baselines import RandomSearch
from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving
from syne_tune.optimizer.schedulers.single_fidelity_scheduler import SingleFidelityScheduler

from syne_hypersched import (
    ASHA,
    PASHA,
    Deadline,
    ElasticPythonBackend,
    ElasticSimulatorBackend,
    HyperSched,
    Journal,
    LaunchCost,
    ResizeBest,
    resume_experiment,
    simulate,
)
from syne_hypersched.contract import ST_LAUNCH, ST_SIGNAL_TO_REPORT_S, RemovingScheduler
from syne_hypersched.experiments import QuietTunerLogger, check_run, holdings, load_run
from syne_hypersched.testing import SchedulerContract
from tests.schedulers.families import SPACE, Curves, Listed
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


def points(count=6):
    return [{"x": float(x)} for x in range(count)]


def stock_asha(max_t=27):
    return AsynchronousSuccessiveHalving(
        SPACE, "loss", time_attr="epoch", max_t=max_t, random_seed=0, searcher_kwargs={"points_to_evaluate": points()}
    )


INSIDE = {
    "stopping": lambda: ASHA(SPACE, "loss", "epoch", 27, searcher=Listed(points()), random_seed=0),
    "promotion": lambda: ASHA(SPACE, "loss", "epoch", 27, type="promotion", searcher=Listed(points()), random_seed=0),
    "pasha": lambda: PASHA(SPACE, "loss", "epoch", 27, searcher=Listed(points()), random_seed=0),
    "promotion, points": lambda: ASHA(
        SPACE, "loss", "epoch", 27, type="promotion", points_to_evaluate=points(), random_seed=0
    ),
    "stock ASHA": stock_asha,
    "stock random search": lambda: RandomSearch(SPACE, ["loss"], points_to_evaluate=points(), random_seed=0),
}
CURVES = Curves(range(1, 28))


def make(name, **arguments) -> ResizeBest:
    return ResizeBest(INSIDE[name](), **{"time_attr": "epoch", "max_trials": 6, "scaling": "linear", **arguments})


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


class Resizable(Trial):
    """A trial as in the contract, without processes."""

    def __init__(self, trial_id, config, backend):
        super().__init__(trial_id, config, datetime(2024, 1, 1))
        self.backend = backend

    @property
    def num_devices(self):
        return self.backend.devices.get(self.trial_id, 1)

    def resize(self, num_devices):
        self.backend.devices[self.trial_id] = num_devices

    def follow(self, time_attr):
        assert time_attr == "epoch"

    def publish(self, result):
        self.backend.published.append(self.trial_id)

    def note(self, what, reason, numbers):
        assert what == "resize"
        self.backend.noted.append(reason)


class Backend:
    """Records the requests to trials."""

    def __init__(self):
        self.devices: dict[int, int] = {}
        self.published: list[int] = []
        self.noted: list[str] = []


class Tuning:
    """A tuning by hand of stock random search, two seconds for each epoch."""

    def __init__(self, count=3, elastic=True, launch_s=0.0, **arguments):
        self.now_s, self.epoch, self.launch_s = 0.0, 0, launch_s
        arguments = {"num_devices": 4, "max_trials": count, "scaling": "linear", "clock": self.clock, **arguments}
        self.scheduler = make("stock random search", **arguments)
        self.backend = Backend()
        self.trials = []
        for trial_id in range(count):
            config = self.scheduler.suggest().config
            trial = Resizable(trial_id, config, self.backend) if elastic else Trial(trial_id, config, datetime.min)
            self.scheduler.on_trial_add(trial=trial)
            self.trials.append(trial)

    def clock(self):
        return self.now_s

    def report(self, *losses):
        """The next epoch of the trials, of those that are given a loss."""
        self.epoch, self.now_s = self.epoch + 1, self.now_s + 2.0
        first = {ST_SIGNAL_TO_REPORT_S: 2.0 + self.launch_s} if self.epoch == 1 else {}
        for trial, loss in zip(self.trials, losses, strict=True):
            if loss is not None:
                self.scheduler.on_trial_result(
                    trial=trial, result={"epoch": self.epoch, "loss": loss, ST_LAUNCH: 0, **first}
                )
        return dict(sorted(self.backend.devices.items()))


def test_the_best_trial_by_its_best_report_grows_first_once_nothing_starts():
    tuning = Tuning()
    for losses in ((3, 1, 2), (3, 1, 2), (3, 1, 2)):
        assert tuning.report(*losses) == {}
    assert tuning.scheduler.suggest() is None
    assert tuning.scheduler.suggest() is None
    assert tuning.report(3, 9, 2) == {1: 2}  # the best so far, whatever it reports now
    assert "grows from 1 to 2 devices: rank 1 of 3" in tuning.backend.noted[0]
    tuning.scheduler.on_trial_complete(tuning.trials[1], {"epoch": 4, "loss": 9})
    assert tuning.report(3, None, 2) == {0: 2, 1: 2, 2: 2}
    assert tuning.scheduler.allocation == {0: 2, 2: 2}
    assert tuning.backend.published == [0, 1]


def test_top_job_gives_all_to_the_best():
    tuning = Tuning(count=2, num_devices=8, policy="top_job")
    tuning.report(2, 1), tuning.report(2, 1)
    tuning.scheduler.suggest()
    assert tuning.report(2, 1) == {1: 7}


@pytest.mark.parametrize(("max_t", "expected"), [(6, {}), (100, {0: 2, 1: 2})])
def test_a_trial_that_is_nearly_done_is_not_relaunched(max_t, expected):
    tuning = Tuning(count=2, max_t=max_t, launch_s=3.0)
    for _ in range(3):
        assert tuning.report(2, 1) == {}
    assert tuning.scheduler.suggest() is None
    assert tuning.report(2, 1) == expected  # two epochs of 2 s are left of six


@pytest.mark.parametrize(("deadline_s", "expected"), [(10.0, {}), (100.0, {0: 2, 1: 2}), (None, {0: 2, 1: 2})])
def test_a_relaunch_must_pay_by_the_deadline(deadline_s, expected):
    tuning = Tuning(count=2, deadline_s=deadline_s, launch_s=1.5)
    for _ in range(3):
        assert tuning.report(2, 1) == {}
    assert tuning.scheduler.suggest() is None
    assert tuning.report(2, 1) == expected  # at 8 s


def test_reports_that_cannot_be_used_and_trials_that_end_change_nothing():
    tuning = Tuning(count=3)
    tuning.report(2, 1, 3), tuning.report(2, 1, 3)
    tuning.scheduler.suggest()
    tuning.scheduler.on_trial_error(tuning.trials[0])
    tuning.scheduler.on_trial_remove(tuning.trials[2])
    assert tuning.scheduler.allocation == {1: 1}
    tuning.scheduler.on_trial_result(trial=tuning.trials[1], result={"epoch": 3, "loss": float("nan")})
    assert tuning.report(None, 1, None)[1] >= 2


def test_a_loaded_tuner_has_forgotten_the_trials_that_ran():
    tuning = Tuning(count=4, max_trials=9, clock=None)
    tuning.report(1, 2, 3, 4)
    with pytest.raises(ValueError, match="num_devices must be at least the tuner's n_workers"):
        tuning.scheduler._begin(7)
    loaded = dill.loads(dill.dumps(tuning.scheduler))
    loaded.on_trial_result(trial=tuning.trials[1], result={"epoch": 2, "loss": 2})
    loaded.on_trial_add(trial=Resizable(7, {"x": 0.5}, tuning.backend))
    assert set(loaded.allocation) == {1, 7}


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


def test_what_was_decided_by_another_clock_than_that_of_the_reports_was_at_time_0():
    tuning = Tuning(clock=None)
    tuning.scheduler.suggest()
    for _ in range(9):
        tuning.report(1, 2, 3)
    before = tuning.scheduler.decisions
    assert before
    tuning.scheduler.on_trial_result(trial=tuning.trials[2], result={"epoch": 10, "loss": 3.0, ST_TUNER_TIME: 5.0})
    assert {decision.time_s for decision in tuning.scheduler.decisions[: len(before)]} == {0.0}


def test_a_backend_that_cannot_resize_is_warned_of_once(caplog):
    with caplog.at_level(logging.WARNING):
        tuning = Tuning(elastic=False)
        tuning.report(1, 2, 3), tuning.report(1, 2, 3)
    assert sum("cannot be resized" in message for message in caplog.messages) == 1
    assert tuning.scheduler.allocation == {}


def test_what_it_does_not_have_is_asked_of_the_scheduler_inside():
    scheduler = make("promotion")
    assert scheduler.ladders == scheduler.scheduler.ladders
    assert scheduler.trials_checkpoints_can_be_removed() == []
    assert scheduler.callback_for_checkpoint_removal(lambda status: False) is not None
    assert make("stock ASHA").callback_for_checkpoint_removal(lambda status: False) is None
    with pytest.raises(AttributeError, match="no attribute 'bracket'"):
        _ = scheduler.bracket
    assert isinstance(scheduler.scheduler, RemovingScheduler)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"policy": "softmax"}, ValueError, 'policy must be "uniform" or "top_job", but got'),
        ({"scaling": "resnet"}, ValueError, "scaling must be one of 'resnet18'"),
        ({"num_devices": 0}, ValueError, "num_devices must be at least 1, but got 0"),
        ({"deadline_s": -1}, ValueError, "deadline_s must be a finite number greater than 0, but got -1"),
        ({"max_trials": 1.5}, TypeError, "max_trials must be an integer"),
        ({"max_t": 0}, ValueError, "max_t must be a finite number greater than 0"),
        ({"recharge_period": -1}, ValueError, "recharge_period must be at least 0"),
        ({"time_attr": None}, TypeError, "time_attr must be the name of an entry of the reports, but got None"),
        ({"clock": 3}, TypeError, "clock must be a callable"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        make("stock random search", **arguments)


def test_bad_schedulers():
    with pytest.raises(TypeError, match="scheduler must be a scheduler of Syne Tune, but got 'asha'"):
        ResizeBest("asha")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="scheduler must be one that resizes no trials, but got a HyperSched"):
        ResizeBest(HyperSched(SPACE, "loss", "epoch", 9))
    with pytest.raises(ValueError, match=r"scheduler must have a single metric, but got one with \['a', 'b'\]"):
        ResizeBest(SingleFidelityScheduler(SPACE, ["a", "b"], random_seed=0), time_attr="epoch")
    backend = Backend()
    backend.devices[0] = 2
    with pytest.raises(ValueError, match="num_devices_per_trial=1, but trial 0 was started on 2"):
        make("promotion").on_trial_add(Resizable(0, {"x": 0.5}, backend))


BAD = [{"epoch": 2}, {"epoch": 2, "loss": None}, {"epoch": "two", "loss": 0.0}, {"loss": 0.0}]


@pytest.mark.parametrize("report", BAD)
def test_a_report_that_syne_tunes_scheduler_would_raise_an_error_at_is_left_out(report, caplog):
    def make_inside():
        np.random.seed(0)
        return AsynchronousSuccessiveHalving(
            SPACE, metric="loss", time_attr="epoch", max_t=9, grace_period=9, random_seed=0
        )

    def with_bad(x, reports):
        return [*reports[:1], dict(report), *reports[1:], dict(report)] if x < 50 else [dict(report)]

    scheduler = ResizeBest(make_inside(), num_devices=2, max_trials=8)
    simulation = simulate(scheduler, Curves(change=with_bad), num_devices=2, deadline_s=200.0)
    assert simulation.num_trials == 8
    assert set(simulation.results.config_x < 50) == {True, False}
    good = simulation.results[(simulation.results.config_x < 50) & (simulation.results.loss > 0)]
    assert max(good.epoch) == 9
    assert caplog.text.count("the report is left out") == 1


def test_the_median_stopping_rule_has_a_single_metric():
    from syne_tune.optimizer.schedulers.median_stopping_rule import MedianStoppingRule

    scheduler = ResizeBest(MedianStoppingRule(RandomSearch(SPACE, metrics=["loss"]), "epoch", metric="loss"))
    assert scheduler.metric_names() == ["loss"]
    assert scheduler.time_attr == "epoch"
