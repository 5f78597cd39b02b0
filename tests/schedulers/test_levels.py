"""Resource levels of all kinds: counted from 0, below 0, in seconds, irregular, next to nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syne_tune import StoppingCriterion, Tuner

from syne_hypersched import ASHA, PASHA, ElasticLocalBackend, ElasticPythonBackend, HyperSched, LaunchCost, simulate
from syne_hypersched.allocation.timing import TimedReport, TrialTimes
from syne_hypersched.experiments import QuietTunerLogger
from syne_hypersched.schedulers.hypersched._pausing import PausingHalving
from tests.schedulers.families import FAMILIES, MAX_T, SPACE, Curves, Listed, on_real_backends
from tests.thoroughness import examples


def rungs(halving, levels):
    """The levels at which a trial is weak if it reaches every rung after a better one."""
    halving.report(9, levels[0], 0.0)
    return [level for level in levels[1:] if halving.report(0, level, 1.0)]


@pytest.mark.parametrize("first", [[0], [-1, 0], [-(10**300), -5, 0], [1e-12, 1e-3]])
def test_a_level_that_is_no_unit_begins_no_ladder(first):
    assert rungs(PausingHalving(100), [*first, *range(1, 101)])[:4] == [2, 4, 8, 16]


def test_tiny_levels_are_counted_from_where_they_say_something():
    """At most eleven rungs, for any first level."""
    halving = PausingHalving(3600.0)
    assert rungs(halving, [1e-3, 30.0, 60.0, 90.0, 120.0, 250.0]) == [60.0, 120.0, 250.0]


def test_levels_that_never_rise_above_zero_are_trained_on():
    halving = PausingHalving(100)
    assert not any(halving.report(0, level, 1.0) for level in range(-5, 1))
    assert halving.report(0, 0, math.inf)


def test_a_grace_period_that_is_given_holds():
    assert rungs(PausingHalving(3600.0, first_rung=1.5), [0, 1.0, 2.0, 4.0]) == [2.0, 4.0]


@pytest.mark.parametrize("levels", [range(9), range(-3, 9), [0, 0.5, 3, 3.5, 8.25], [0], [-2, -1]], ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_scheduler_takes_any_first_level(name, levels):
    simulation = simulate(FAMILIES[name](num_devices=3), Curves(levels), num_devices=3, deadline_s=200.0)
    reached = simulation.results.groupby("config_x").epoch.max()
    assert len(reached) == 4
    assert reached[0] == max(levels) or name == "pasha"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_first_level_of_zero_costs_no_launch_an_epoch(name):
    """The same decisions as when epochs are counted from 1, one level lower."""
    costs = []
    for levels in (range(1, 10), range(9)):
        scheduler = FAMILIES[name](num_devices=2, searcher="random_search", deadline_s=60.0, max_t=10)
        simulate(scheduler, Curves(levels), num_devices=2, deadline_s=60.0, launch_cost=LaunchCost(start_s=0.5))
        costs.append(scheduler._times.launch_cost_s if isinstance(scheduler, HyperSched) else 0.5)
    assert costs == pytest.approx([0.5, 0.5])


def test_a_baseline_before_training_costs_no_launch_an_epoch_either():
    times = TrialTimes()
    times.start(0, 0.0)
    for level, trained_s, now_s in ((0, 0.1, 2.1), (1, 30.1, 32.1), (2, 60.1, 62.1)):
        first = 2.1 if level == 0 else None
        times.report(0, TimedReport(level, trained_s, launch=0, signal_to_report_s=first, trained_s=trained_s), now_s)
    assert times.launch_cost_s == pytest.approx(2.0)
    assert times.typical_epoch_time_s == pytest.approx(30.0)


@pytest.mark.parametrize(("low", "high"), [(0, 5e-324), (-1e308, 1e308), (0, 1e308), (1e-320, 1e-310)])
def test_levels_at_the_edge_of_floats_are_no_epoch_times(low, high):
    times = TrialTimes()
    times.start(0, 0.0)
    times.report(0, TimedReport(low, 1.0, launch=0, signal_to_report_s=1.0), 1.0)
    times.report(0, TimedReport(high, 1e10, launch=0), 1e10)
    assert times.epoch_time_s is None or 0 < times.epoch_time_s < math.inf


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
    for epoch in range(done, 10):
        with open(path + ".new", "w") as file:
            json.dump(epoch, file)
        os.replace(path + ".new", path)
        report(epoch=epoch, loss=x + 1 / (epoch + 1))


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize(("name", "local"), on_real_backends(False, True))
def test_scripts_that_count_from_zero(name, local, tmp_path, monkeypatch):
    import inspect

    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    if local:
        (tmp_path / "train.py").write_text(
            inspect.getsource(train)
            + "\nimport argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--x', type=float)\n"
            + "parser.add_argument('--st_checkpoint_dir')\ntrain(**vars(parser.parse_args()))\n"
        )
        backend = ElasticLocalBackend(str(tmp_path / "train.py"), 2, device_type="cpu", grace_s=1.0)
    else:
        backend = ElasticPythonBackend(train, SPACE, 2, device_type="cpu", grace_s=1.0)
    scheduler = FAMILIES[name]()
    tuner = Tuner(
        backend, scheduler, StoppingCriterion(max_wallclock_time=600), n_workers=2, sleep_time=0.01,
        save_tuner=False, output_logger=QuietTunerLogger(),
    )  # fmt: skip
    tuner.run()
    reached = tuner.callbacks[0].dataframe().groupby("config_x").epoch.max()
    assert len(reached) == 4
    assert reached[0] >= (3 if name == "pasha" else MAX_T)


SECONDS = "st_worker_time"


def timed(name, max_t, num_devices=4, **arguments):
    arguments = {"searcher": "random_search", "random_seed": 1, **arguments}
    if name in ("adaptive", "published"):
        return HyperSched(
            SPACE, "loss", SECONDS, max_t, num_devices, 300.0, strategy=name, scaling={1: 1, 8: 5.6}, **arguments
        )
    if name == "pasha":
        return PASHA(SPACE, "loss", SECONDS, max_t, **arguments)
    return ASHA(SPACE, "loss", SECONDS, max_t, type=name, **arguments)


@pytest.mark.parametrize("name", FAMILIES)
def test_time_is_a_resource(name):
    """Configurations whose epochs take from 0.3 to 9 s share the time in equal parts, not the epochs."""
    curves = Curves(range(1, 400), epoch_s=lambda x, level: 0.3 + (x % 30) * 0.3)
    scheduler = timed(name, max_t=40.0, grace_period=2.0)
    results = simulate(scheduler, curves, num_devices=4, deadline_s=300.0).results
    longest = results.groupby("trial_id")[SECONDS].max()
    assert len(longest) > 8
    # A trial is stopped at the first report at or past max_t, and is paused at the first one at or past a rung.
    assert longest.max() >= (6.0 if name == "pasha" else 40.0)
    assert all(longest < 40.0 + 9.3)
    assert scheduler.incumbent.resource == pytest.approx(
        results.loc[results.loss.idxmin(), SECONDS] if results.loss.min() == scheduler.incumbent.value else -1
    )
    stopped = results[results.st_decision == "STOP"]
    if name != "stopping":
        assert all(stopped[SECONDS] >= 40.0)


@pytest.mark.parametrize("name", FAMILIES)
def test_rungs_are_reached_between_reports(name):
    """A trial that passes several rungs in one report is compared at the highest one, and goes on from there."""
    scheduler = timed(name, max_t=81.0, grace_period=1.0, num_devices=1)
    curves = Curves(range(1, 60), epoch_s=lambda x, level: 7.3 if x < 50 else 2.6)
    results = simulate(scheduler, curves, num_devices=1, deadline_s=300.0).results
    for _, trial in results.groupby("trial_id"):
        times = trial[SECONDS].to_numpy()
        assert all(np.diff(times) > 0)
        assert sum(times >= 81.0) <= 1


@settings(max_examples=examples(60), deadline=None)
@given(
    name=st.sampled_from(list(FAMILIES)),
    steps=st.lists(st.floats(1e-6, 40), min_size=1, max_size=30),
    first=st.sampled_from([0.0, -3.5, 1e-3, 2.0]),
    max_t=st.sampled_from([1e-3, 1.0, 17.5, 1e6]),
    grace_period=st.sampled_from([None, 1e-4, 1e-3]),
)
def test_irregular_levels_break_nothing(name, steps, first, max_t, grace_period):
    levels = [first + float(step) for step in np.cumsum([0.0, *steps])]
    changes = {} if grace_period is None and max_t > 1 else {"grace_period": min(grace_period or 1e-3, max_t)}
    scheduler = FAMILIES[name](max_t=max_t, num_devices=2, searcher=Listed([{"x": x} for x in range(9)]), **changes)
    results = simulate(scheduler, Curves(levels), num_devices=2, deadline_s=150.0).results
    for _, trial in results.groupby("trial_id"):
        beyond = trial.epoch.to_numpy() >= max_t
        assert not any(beyond[:-1])
        assert not beyond[-1] or trial.st_decision.iloc[-1] == "STOP"


@pytest.mark.parametrize("levels", [[0.1, 0.2, 0.3], [-3, -2, -1], [MAX_T]], ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_levels_at_which_nothing_is_compared_are_told(name, levels, caplog):
    """With fractions the adaptive strategy begins its rungs at what trials report; below 0 it has none."""
    simulate(FAMILIES[name](num_devices=2), Curves(levels), num_devices=2, deadline_s=1000.0)
    told = [record.getMessage() for record in caplog.records if "3 trials ha" in record.getMessage()]
    assert len(told) == (name != "adaptive" or levels == [MAX_T])
    assert all(
        "epoch=" in message and f"={'9 (time_attr)' if levels == [MAX_T] else '1 (grace_period)'}" in message
        for message in told
    )
