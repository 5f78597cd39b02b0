"""Scheduler, backend and tuner with different numbers warn at the start."""

from __future__ import annotations

import copy
import logging
import math
from dataclasses import dataclass

import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform

from syne_hypersched import (
    ASHA,
    PASHA,
    Deadline,
    ElasticLocalBackend,
    ElasticPythonBackend,
    ElasticSimulatorBackend,
    HyperSched,
    Journal,
    resume_experiment,
    simulate,
)
from syne_hypersched.contract import SituatedTrial
from syne_hypersched.experiments import QuietTunerLogger, load_run
from syne_hypersched.schedulers._consistency import agree_on_deadline, agree_on_devices
from tests.backends.virtual.curves import RoundCurves

SPACE = {"x": uniform(0, 1), "epoch_s": uniform(1, 3)}
STRATEGIES = ("adaptive", "published")


@dataclass
class Situated:
    """The facts that a trial shows about its backend."""

    num_devices_total: int | None = 4
    deadline_s: float | None = 60.0
    takes_plan: bool = False
    planned_s: float | None = None

    def plan_for(self, deadline_s):
        self.planned_s = deadline_s
        return self.takes_plan


@pytest.fixture(autouse=True)
def experiments(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))


def warnings_of(caplog):
    """The warnings about different numbers of scheduler, backend and tuner."""
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return [record.message for record in records if record.name.endswith("._consistency")]


def test_the_stand_in_is_one():
    assert isinstance(Situated(), SituatedTrial)


def test_devices(caplog):
    assert agree_on_devices(Situated(4), 4) == 4
    assert agree_on_devices(Situated(4), None) == 4
    assert agree_on_devices(object(), 4) == 4
    assert agree_on_devices(Situated(None), 4) == 4
    assert not warnings_of(caplog)
    with pytest.raises(ValueError, match=r"num_devices must be at most 2, .* but the scheduler got 4"):
        agree_on_devices(Situated(2), 4)
    for unknown in (object(), Situated(None)):
        with pytest.raises(ValueError, match="num_devices must be given"):
            agree_on_devices(unknown, None)
    assert agree_on_devices(Situated(4), 2) == 2
    (message,) = warnings_of(caplog)
    assert "num_devices=2" in message
    assert "4 devices" in message


@pytest.mark.parametrize("deadline_s", [60.0, 60.4, 57.0, 61.0])
def test_deadlines_that_are_nearly_the_same(deadline_s, caplog):
    assert agree_on_deadline(Situated(), deadline_s) == deadline_s
    assert not warnings_of(caplog)


@pytest.mark.parametrize("deadline_s", [600.0, 5.0, 66.0])
def test_deadlines_that_differ(deadline_s, caplog):
    assert agree_on_deadline(Situated(), deadline_s) == deadline_s
    (message,) = warnings_of(caplog)
    assert f"{deadline_s:g} s" in message
    assert "60 s" in message


def test_a_deadline_that_only_one_side_knows(caplog):
    assert agree_on_deadline(Situated(), None) == 60.0
    asks = Situated(deadline_s=None, takes_plan=True)
    assert agree_on_deadline(asks, 30.0) == asks.planned_s == 30.0
    assert agree_on_deadline(Situated(deadline_s=math.inf), 30.0) == 30.0
    assert agree_on_deadline(object(), 30.0) == 30.0
    assert not warnings_of(caplog)
    for unknown in (Situated(deadline_s=None), Situated(deadline_s=math.inf), object()):
        with pytest.raises(ValueError, match="deadline_s must be given"):
            agree_on_deadline(unknown, None)
    assert agree_on_deadline(Situated(deadline_s=None), 30.0) == 30.0
    (message,) = warnings_of(caplog)
    assert "Deadline(30, trial_backend=backend)" in message


def simulated(scheduler, **arguments):
    return simulate(scheduler, RoundCurves(27), **{"num_devices": 4, "deadline_s": 60.0, **arguments})


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_simulation_says_it_at_the_first_trial(strategy, caplog):
    added = []
    on_result = lambda *arguments: added.append(arguments)  # noqa: E731
    with pytest.raises(ValueError, match="at most 4"):
        simulated(HyperSched(SPACE, "loss", "epoch", 27, 8, 60.0, strategy=strategy), on_result=on_result)
    assert not added
    simulated(HyperSched(SPACE, "loss", "epoch", 27, 4, 600.0, strategy=strategy))
    (message,) = warnings_of(caplog)
    assert "600 s" in message
    assert "60 s" in message
    simulated(HyperSched(SPACE, "loss", "epoch", 27, 4, 60.0, strategy=strategy), deadline_s=None)
    assert len(warnings_of(caplog)) == 1  # a simulation without a deadline is meant so


def schedulers(num_devices, deadline_s):
    arguments = (SPACE, "loss", "epoch", 27)
    yield ASHA(*arguments, random_seed=1)
    yield PASHA(*arguments, random_seed=1)
    for strategy in STRATEGIES:
        yield HyperSched(*arguments, num_devices, deadline_s, strategy=strategy, random_seed=1)


def test_devices_that_no_worker_uses(caplog):
    for number, scheduler in enumerate(schedulers(4, 60.0), 1):
        simulated(scheduler, n_workers=3)
        messages = warnings_of(caplog)
        assert len(messages) == number
        assert "runs 3 trials at a time, but the backend has 4 devices" in messages[-1]
        assert "n_workers=4" in messages[-1]


def test_workers_that_use_all_devices(caplog):
    for scheduler in schedulers(4, 60.0):
        simulated(scheduler)
    simulated(ASHA(SPACE, "loss", "epoch", 27), num_devices_per_trial=2)
    # Nothing more to try: this says nothing of the tuner.
    simulated(ASHA({"x": 0.5, "epoch_s": uniform(1, 1)}, "loss", "epoch", 27))
    assert not warnings_of(caplog)


def make_backend(kind, tmp_path):
    if kind == "simulator":
        return ElasticSimulatorBackend(RoundCurves(27), "elapsed_s", 2)
    options = {"num_devices": 2, "device_type": "cpu", "grace_s": 0.5}
    if kind == "function":
        return ElasticPythonBackend(report_epochs, SPACE, **options)
    script = tmp_path / "train.sh"
    script.write_text(
        'for epoch in $(seq 1 27); do echo "[tune-metric]: {\\"epoch\\": $epoch, \\"loss\\": 0.5}"; sleep 0.05; done\n'
    )
    return ElasticLocalBackend(script, binary="bash", **options)


def report_epochs(x, epoch_s):
    import time

    for epoch in range(1, 28):
        time.sleep(0.05)
        print(f'[tune-metric]: {{"epoch": {epoch}, "loss": {x}}}', flush=True)


def run(backend, scheduler, stop, **options):
    options = {"n_workers": 2, "sleep_time": 0.02, "save_tuner": False, **options}
    Tuner(backend, scheduler, stop, output_logger=QuietTunerLogger(), tuner_name="test", **options).run()


BACKENDS = ("simulator", "local", "function")


@pytest.mark.parametrize("kind", BACKENDS)
def test_too_many_devices_end_the_tuning_at_its_start(kind, tmp_path):
    backend = make_backend(kind, tmp_path)
    with pytest.raises(ValueError, match=r"num_devices must be at most 2, .* but the scheduler got 4"):
        run(backend, HyperSched(SPACE, "loss", "epoch", 27, 4, 2), Deadline(2, backend))


@pytest.mark.parametrize(
    ("kind", "strategy"),
    [
        ("simulator", "adaptive"),
        ("simulator", "published"),
        ("local", "adaptive"),
        pytest.param("function", "published", marks=pytest.mark.slow),
    ],
)
def test_one_number_is_enough(kind, strategy, tmp_path, caplog):
    """Once only the scheduler has the number, once only the stop criterion."""
    for of_scheduler, of_criterion in ((1.0, None), (None, 1.0)):
        backend = make_backend(kind, tmp_path)
        scheduler = HyperSched(SPACE, "loss", "epoch", 27, deadline_s=of_scheduler, strategy=strategy)
        stop = Deadline(of_criterion, trial_backend=backend)
        run(backend, scheduler, stop)
        assert scheduler.num_devices == 2
        recorded_s = load_run(backend._experiment_path, time_attr="epoch").deadline_s
        assert recorded_s == pytest.approx(backend.situation.deadline_s)
        # If the scheduler takes it from the backend, the tuning has started a little before.
        assert scheduler.deadline_s == (of_scheduler or backend.situation.deadline_s)
        assert stop.deadline_s == 1.0
    assert not warnings_of(caplog)


def test_a_deadline_that_neither_side_knows(tmp_path):
    backend = make_backend("simulator", tmp_path)
    with pytest.raises(ValueError, match="deadline_s must be given, since the backend knows of no deadline"):
        run(backend, HyperSched(SPACE, "loss", "epoch", 27), Deadline(trial_backend=backend))
    backend = make_backend("simulator", tmp_path)
    with pytest.raises(ValueError, match="this scheduler does not plan for a deadline"):
        run(backend, ASHA(SPACE, "loss", "epoch", 27), Deadline(trial_backend=backend))
    with pytest.raises(ValueError, match="deadline_s must be given, or trial_backend"):
        Deadline()


@pytest.mark.parametrize("kind", BACKENDS)
@pytest.mark.parametrize(
    "criterion", [StoppingCriterion(max_wallclock_time=0.5), Deadline(0.5)], ids=("criterion", "deadline")
)
def test_a_stop_criterion_that_the_backend_does_not_know(kind, criterion, tmp_path, caplog):
    run(make_backend(kind, tmp_path), HyperSched(SPACE, "loss", "epoch", 27, 2, 12), copy.deepcopy(criterion))
    (message,) = warnings_of(caplog)
    assert "plans for a deadline of 12 s, but the backend knows of none" in message


@pytest.mark.parametrize("kind", ["simulator", "local"])
def test_workers_of_a_tuner(kind, tmp_path, caplog):
    backend = make_backend(kind, tmp_path)
    run(backend, ASHA(SPACE, "loss", "epoch", 27), StoppingCriterion(max_num_evaluations=3), n_workers=1)
    (message,) = warnings_of(caplog)
    assert "runs 1 trial at a time, but the backend has 2 devices" in message


@pytest.mark.parametrize(("of_scheduler", "of_criterion"), [(None, 1.0), (1.0, None)])
def test_a_resumed_scheduler_knows_what_the_backend_had_said(of_scheduler, of_criterion, tmp_path):
    backend = make_backend("local", tmp_path)
    stop = Deadline(of_criterion, trial_backend=backend)
    tuner = Tuner(
        backend, HyperSched(SPACE, "loss", "epoch", 27, deadline_s=of_scheduler), stop, 2, callbacks=[Journal()],
        tuner_name="journaled", suffix_tuner_name=False, output_logger=QuietTunerLogger(),
    )  # fmt: skip
    tuner.run()
    lines = (tuner.tuner_path / "journal" / "000000.jsonl").read_text().splitlines()
    # Where the scheduler's deadline is taken, the backend says it later than its devices, at the first report.
    assert sum('"situation":' in line for line in lines) in ((1,) if of_scheduler is None else (1, 2))
    resumed = resume_experiment("journaled")
    assert (resumed.scheduler.num_devices, resumed.scheduler.deadline_s) == (2, tuner.scheduler.deadline_s)
    assert resumed.scheduler.allocation == tuner.scheduler.allocation
