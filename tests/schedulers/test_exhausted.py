"""A searcher that runs out of configurations: no device is idle while a trial could run, and no trial is paused without
need."""

from __future__ import annotations

import logging

import dill
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import choice

from syne_hypersched import ASHA, Deadline, ElasticPythonBackend, ElasticSimulatorBackend, Journal, simulate
from syne_hypersched.experiments import QuietTunerLogger
from syne_hypersched.recovery import resume_experiment
from syne_hypersched.schedulers.asha._promotion import PromotionBracket
from tests.schedulers.families import FAMILIES, MAX_T, PAUSING, SPACE, Curves, Listed

BEST = 0
"""The configuration with the least loss at every epoch."""


def run(name, num_configs=4, n_workers=6, num_devices=None, curves=None, **arguments):
    """Trains configurations in an order in which the best is not the first."""
    configs = [{"x": x} for x in (2, 0, 3, 1)][:num_configs] if num_configs > 1 else [{"x": BEST}]
    scheduler = FAMILIES[name](num_devices=num_devices or n_workers, searcher=Listed(configs), **arguments)
    results = simulate(
        scheduler,
        Curves() if curves is None else curves,
        num_devices=num_devices or n_workers,
        n_workers=n_workers,
        deadline_s=arguments.get("deadline_s", 1000.0),
    ).results
    return scheduler, results.groupby("config_x").epoch.max().to_dict(), results


@pytest.mark.parametrize("n_workers", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("num_configs", [1, 2, 3, 4])
@pytest.mark.parametrize("name", PAUSING)
def test_the_best_is_trained_to_the_end(name, num_configs, n_workers):
    scheduler, epochs, _ = run(name, num_configs, n_workers)
    assert len(epochs) == num_configs
    if name == "pasha" and n_workers <= num_configs:
        # Not beyond the cap, since no worker is idle: the ranking of the configurations never changes.
        assert epochs[BEST] >= scheduler.current_max_t == 3
    else:
        assert epochs[BEST] == MAX_T


@pytest.mark.parametrize("name", ["adaptive", "published"])
@pytest.mark.parametrize("n_workers", [1, 2, 3, 4, 6])
def test_a_deadline_far_away_leaves_time_for_all(name, n_workers):
    _, epochs, _ = run(name, n_workers=n_workers)
    assert epochs == dict.fromkeys(range(4), MAX_T)


@pytest.mark.parametrize("name", ["promotion", "pasha"])
def test_more_workers_take_no_trial_less_far(name):
    """As with one worker: the tuner asks until no trial can be promoted."""
    _, expected, _ = run(name, n_workers=1)
    for n_workers in (2, 3, 4, 6):
        _, epochs, _ = run(name, n_workers=n_workers)
        assert all(epochs[x] >= level for x, level in expected.items())


@pytest.mark.parametrize("name", PAUSING)
def test_points_may_be_all_that_there_is(name):
    scheduler = FAMILIES[name](searcher=Listed([]), points_to_evaluate=[{"x": x} for x in (3, 0, 2)], num_devices=4)
    results = simulate(scheduler, Curves(), num_devices=4, deadline_s=1000.0).results
    assert results[results.config_x == BEST].epoch.max() == MAX_T


@pytest.mark.parametrize("name", PAUSING)
def test_the_stock_tuner_does_the_same(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    _, expected, _ = run(name)
    scheduler = FAMILIES[name](num_devices=6)
    backend = ElasticSimulatorBackend(Curves(), "elapsed_s", 6)
    tuner = Tuner(
        backend, scheduler, Deadline(1000.0, trial_backend=backend), n_workers=6, sleep_time=0, save_tuner=False,
        output_logger=QuietTunerLogger(),
    )  # fmt: skip
    tuner.run()
    assert tuner.callbacks[0].dataframe().groupby("config_x").epoch.max().to_dict() == expected


def test_a_large_space_ends_as_it_would_with_one_worker():
    """Speculation costs little: what can never be promoted is not trained further."""
    configs = [{"x": x} for x in (5, 11, 2, 7, 0, 9, 1, 10, 3, 8, 4, 6)] * 4
    points = [{"x": config["x"] + index / 100} for index, config in enumerate(configs)]
    totals = {}
    for n_workers in (1, 4):
        scheduler = FAMILIES["promotion"](searcher=Listed(points), max_t=81)
        simulation = simulate(scheduler, Curves(range(1, 82)), num_devices=n_workers)
        totals[n_workers] = simulation.num_results
        assert simulation.results.epoch.max() == 81
    assert totals[4] <= 1.25 * totals[1]


@pytest.mark.parametrize("name", PAUSING)
def test_a_stored_scheduler_goes_on_the_same(name):
    """In the middle of the search, and after the tuner was told that there is nothing more."""
    whole = run(name, n_workers=3)[2]
    scheduler = FAMILIES[name](num_devices=3)
    count = [0]

    class Reloaded:
        def __getattr__(self, attribute):
            nonlocal scheduler
            if attribute == "on_trial_result":
                count[0] += 1
                if count[0] % 5 == 0:
                    scheduler = dill.loads(dill.dumps(scheduler))
            return getattr(scheduler, attribute)

    results = simulate(Reloaded(), Curves(), num_devices=3, deadline_s=1000.0).results
    assert count[0] > 5
    columns = ["trial_id", "epoch", "st_decision"]
    assert results[columns].equals(whole[columns])


@pytest.mark.parametrize("name", ["adaptive", "published"])
def test_devices_that_no_other_trial_can_use_go_to_running_trials(name):
    _, _, results = run(name, num_configs=2, n_workers=8)
    assert results.st_num_devices.max() > 1


@pytest.mark.parametrize("name", ["adaptive", "published"])
def test_a_deadline_that_is_near_has_the_weak_give_way(name):
    """The last stretch, or the rule that closes admission, is as before."""
    scheduler, epochs, results = run(
        name, n_workers=6, num_devices=8, deadline_s=30.0, max_t=81, curves=Curves(range(1, 82))
    )
    assert results[results.st_num_devices == 1].groupby("config_x").epoch.max().min() >= 2
    assert epochs[BEST] == max(epochs.values())
    assert min(epochs.values()) < epochs[BEST]
    assert not scheduler.admission_open


def test_a_script_that_receives_its_milestone_is_warned_of(caplog):
    class UpTo(Curves):
        def learning_curve(self, config, max_resource=None, seed=0):
            return super().learning_curve(config, config["epochs"], seed)

    space = {"x": choice([0, 1]), "epochs": 9}

    def make(n_workers):
        scheduler = ASHA(
            space, "loss", "epoch", 9, type="promotion", max_resource_attr="epochs",
            searcher=Listed([{"x": 0}, {"x": 1}]), random_seed=0,
        )  # fmt: skip
        return simulate(scheduler, UpTo(), num_devices=n_workers, max_resource_attr="epochs").results.epoch.max()

    with caplog.at_level(logging.WARNING):
        assert make(1) == make(2) == 9
        assert not caplog.records
        assert make(3) == 1
    assert "has ended at epoch=1 of max_t=9, where epochs made its script end" in caplog.text
    assert len(caplog.records) == 1


def test_the_bound_counts_those_who_are_yet_to_arrive():
    bracket = PromotionBracket([1, 3], 9)
    for trial_id in range(4):
        bracket.add(trial_id)
    bracket.stop_resuming()
    # A third goes on, interpolated as ever: two of four.
    assert bracket.report(0, 1, 0.4) == "CONTINUE"
    assert bracket.report(1, 1, 0.3) == "CONTINUE"
    assert bracket.report(2, 1, 0.5) == "STOP"
    assert bracket.report(3, 1, 0.1) == "CONTINUE"
    assert bracket.report(0, 3, float("inf")) == "STOP"
    assert bracket.report(1, 3, 0.3) == "CONTINUE"
    assert bracket.report(3, 3, 0.2) == "CONTINUE"
    assert bracket.report(3, 9, 0.2) == "STOP"
    assert bracket.report(3, 9, 0.2) == "STOP"


def train(x, st_checkpoint_dir):
    import json
    import os

    from tests.reporter import Reporter

    os.makedirs(st_checkpoint_dir, exist_ok=True)
    path = os.path.join(st_checkpoint_dir, "epoch.json")
    done = 0
    if os.path.exists(path):
        with open(path) as file:
            done = json.load(file)
    report = Reporter()
    # A pause may come between a checkpoint and its report, which is then made after the resume.
    for epoch in range(max(done, 1), 10):
        with open(path + ".new", "w") as file:
            json.dump(epoch, file)
        os.replace(path + ".new", path)
        report(epoch=epoch, loss=x + 1 / epoch)


class Interrupted(Journal):
    """Ends the tuner after some reports, as a signal does."""

    def on_trial_result(self, trial, status, result, decision):
        super().on_trial_result(trial, status, result, decision)
        if trial.config["x"] == BEST and result["epoch"] >= 2 and self.interrupts:
            raise KeyboardInterrupt

    interrupts = True


class Whole(Interrupted):
    interrupts = False


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("promotion", marks=pytest.mark.slow),
        "adaptive",
        pytest.param("pasha", marks=pytest.mark.slow),
        pytest.param("published", marks=pytest.mark.slow),
    ],
)
def test_a_resumed_experiment_goes_on_the_same(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))

    def tuner(journal):
        backend = ElasticPythonBackend(train, SPACE, 4, device_type="cpu", grace_s=1.0)
        return Tuner(
            backend, FAMILIES[name](num_devices=4), StoppingCriterion(max_wallclock_time=600), n_workers=4,
            sleep_time=0.01, callbacks=[journal], tuner_name=name, suffix_tuner_name=False, save_tuner=False,
            output_logger=QuietTunerLogger(),
        )  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        tuner(Interrupted()).run()
    resumed = resume_experiment(name, tuner(Whole()))
    epochs = [row["epoch"] for row in resumed.tuning_status.trial_rows.values() if row["x"] == BEST]
    assert max(epochs) >= 3 if name == "pasha" else max(epochs) == MAX_T
