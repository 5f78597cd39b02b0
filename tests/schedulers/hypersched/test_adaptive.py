"""The adaptive strategy, on values alone and in simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syne_tune import Tuner
from syne_tune.config_space import uniform

from syne_hypersched import Deadline, ElasticSimulatorBackend, HyperSched, LaunchCost, simulate
from syne_hypersched.allocation.scaling import PUBLISHED_SCALING
from syne_hypersched.allocation.stretch import SURVIVORS, num_survivors, planned_s
from syne_hypersched.blackboxes import TableBlackbox
from syne_hypersched.experiments import check_run, holdings, load_run
from syne_hypersched.schedulers.hypersched._adaptive import POLICIES
from syne_hypersched.schedulers.hypersched._paused import PausedTrials
from tests.thoroughness import examples

NUM_CONFIGS, NUM_LEVELS = 200, 27


def make_table(seed: int = 0) -> TableBlackbox:
    """Curves that rise to a final accuracy, with noise, in epochs of 0.5 to 2 seconds."""
    random_state = np.random.RandomState(seed)
    final, rate = random_state.uniform(0.5, 1, (2, NUM_CONFIGS, 1))
    levels = np.arange(1, NUM_LEVELS + 1)
    accuracy = final * (1 - np.exp(-rate * levels / 5)) + 0.01 * random_state.standard_normal((NUM_CONFIGS, NUM_LEVELS))
    epoch_s = np.repeat(random_state.uniform(0.5, 2, (NUM_CONFIGS, 1)), NUM_LEVELS, axis=1)
    rows = [{"x": float(x)} for x in random_state.uniform(size=NUM_CONFIGS)]
    return TableBlackbox(rows, {"accuracy": accuracy}, epoch_s.cumsum(axis=1), configuration_space={"x": uniform(0, 1)})


TABLE = make_table()


def make_scheduler(num_devices=8, deadline_s=60.0, scaling="resnet50", seed=0, **kwargs) -> HyperSched:
    return HyperSched(
        TABLE.configuration_space, metric="accuracy", time_attr="epoch", max_t=NUM_LEVELS, num_devices=num_devices,
        deadline_s=deadline_s, do_minimize=False, strategy="adaptive", random_seed=seed,
        scaling=scaling, **{"searcher": "random_search", **kwargs},
    )  # fmt: skip


def run(scheduler: HyperSched, **kwargs):
    given = {"num_devices": scheduler.num_devices, "deadline_s": scheduler.deadline_s, "scaling": "resnet50"}
    return simulate(scheduler, TABLE, **{**given, "launch_cost": LaunchCost(start_s=0.1), **kwargs})


@pytest.mark.parametrize(("best_paused", "is_spared"), [(None, True), (2.0, True), (1.0, True), (0.5, False)])
def test_once_nothing_new_can_start_a_weak_trial_goes_on_unless_a_better_one_is_paused(best_paused, is_spared):
    strategy = make_scheduler()._strategy
    strategy._best[0] = 1.0
    if best_paused is not None:
        strategy._best[1] = best_paused
        strategy._paused.add((best_paused, 1))
    assert not strategy._is_spared(0), "others can start"
    strategy._all_suggested = True
    assert strategy._is_spared(0) == is_spared


def test_explores_on_one_device_each_and_ends_with_one_trial_on_all():
    scheduler = make_scheduler()
    simulation = run(scheduler)
    (close,) = [decision for decision in scheduler.decisions if decision.what == "close"]
    assert 30 <= close.time_s < 60
    assert "the last stretch begins" in close.reason
    results = simulation.results
    assert set(results[results.st_tuner_time < close.time_s].st_num_devices) == {1}
    assert results.st_num_devices.iloc[-1] == 8
    assert results[results.st_tuner_time > close.time_s].trial_id.nunique() < simulation.num_trials / 2


def test_nothing_starts_in_the_last_stretch_but_paused_survivors_go_on():
    scheduler = make_scheduler()
    run(scheduler)
    (begin,) = [i for i, decision in enumerate(scheduler.decisions) if decision.what == "close"]
    later = [decision.what for decision in scheduler.decisions[begin:]]
    assert "start" not in later
    assert "resume" in later


def test_explores_to_the_end_where_more_devices_do_not_help():
    scheduler = HyperSched(
        TABLE.configuration_space, metric="accuracy", time_attr="epoch", max_t=NUM_LEVELS, num_devices=8, deadline_s=60,
        do_minimize=False, strategy="adaptive", scaling={1: 1, 2: 1}, random_seed=0,
    )  # fmt: skip
    run(scheduler, scaling="none")
    assert {decision.what for decision in scheduler.decisions} == {"start", "resume", "pause", "stop"}
    assert scheduler.admission_open


def test_where_scaling_is_unknown_one_trial_shows_it_first():
    learns, believes = make_scheduler(scaling=None), make_scheduler(scaling="resnet50")
    for scheduler in (learns, believes):
        run(scheduler, scaling="none")
    num_resizes = [sum(decision.what == "resize" for decision in s.decisions) for s in (learns, believes)]
    assert 1 <= num_resizes[0] < num_resizes[1]


@pytest.mark.parametrize("seed", [0, 9, 24, 25, 30, 36])  # there a survivor that was just resumed reports first
def test_the_trial_that_shows_it_can_be_compared_with_itself_on_one_device(seed):
    # After a resume, which starts a launch of its own, it takes two reports to know an epoch time.
    scheduler = make_scheduler(scaling=None, seed=seed)
    results = run(scheduler).results
    probe = next(decision for decision in scheduler.decisions if decision.what == "resize")
    assert "shows what more devices are worth" in probe.reason
    before = results[(results.trial_id == probe.trial_id) & (results.st_tuner_time <= probe.time_s)]
    assert len(before) > 1
    assert before.st_launch.iloc[-1] == before.st_launch.iloc[-2]


def test_never_resizes_where_a_launch_costs_too_much():
    scheduler = make_scheduler(deadline_s=30.0)
    run(scheduler, launch_cost=LaunchCost(start_s=0.1, resume_s=8.0))
    assert not [decision for decision in scheduler.decisions if decision.what == "resize"]


@pytest.mark.parametrize("start_jobs_without_delay", [True, False])
def test_under_the_stock_tuner_in_both_of_its_modes(tmp_path, monkeypatch, start_jobs_without_delay):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    backend = ElasticSimulatorBackend(
        TABLE, "elapsed_s", num_devices=8, launch_cost=LaunchCost(start_s=0.1, drain_s=0.2)
    )
    scheduler = make_scheduler()
    tuner = Tuner(
        backend,
        scheduler,
        Deadline(60, trial_backend=backend),
        n_workers=8,
        sleep_time=0,
        start_jobs_without_delay=start_jobs_without_delay,
        save_tuner=False,
        suffix_tuner_name=False,
        tuner_name="adaptive",
    )
    tuner.run()
    run = load_run(tmp_path / "adaptive", time_attr="epoch")
    assert check_run(run, step=1) == ()
    most = max(len(holding.devices) for holding in holdings(run.events))
    assert most > 1
    assert run.admission_closed_s is not None
    started_late = [event for event in run.events if event.event == "start" and event.time_s > run.admission_closed_s]
    assert not started_late


def close_and_resizes(scheduler: HyperSched):
    """The start of the last stretch, and the resizes."""
    (close,) = [decision for decision in scheduler.decisions if decision.what == "close"]
    return close.time_s, [decision for decision in scheduler.decisions if decision.what == "resize"]


def test_has_fewer_stages_where_launches_are_dearer():
    most_survivors = []
    for share in (0.0, 1 / 7, 1 / 4):  # of the last stretch, which has time for three, two and one stages of 3 launches
        scheduler = make_scheduler()
        stretch_s = planned_s(60, TABLE.full_run_s(), PUBLISHED_SCALING["resnet50"][8])
        run(scheduler, launch_cost=LaunchCost(start_s=share * stretch_s))
        _, resizes = close_and_resizes(scheduler)
        most_survivors.append(max(decision.numbers["num_live"] for decision in resizes))
    assert most_survivors == [4, 2, 1]


def test_top_job_gives_the_best_survivor_what_the_others_can_spare():
    # While four share eight devices alike, each has two; here the best one has five beside three others.
    given = {}
    for policy in ("uniform", "top_job"):
        scheduler = make_scheduler(policy=policy, deadline_s=100.0)
        run(scheduler, deadline_s=100.0)
        close_s, resizes = close_and_resizes(scheduler)
        first_third_s = close_s + (100 - close_s) / 3
        first = [decision for decision in resizes if decision.time_s < first_third_s]
        given[policy] = max(decision.num_devices for decision in first)
    assert given["uniform"] == 2
    assert given["top_job"] > 2


def test_goodput_gives_most_to_the_better_ones():
    scheduler = make_scheduler(policy="goodput")
    run(scheduler)
    _, resizes = close_and_resizes(scheduler)
    assert {decision.numbers["rank"] for decision in resizes if decision.num_devices > 2} <= {1, 2}
    assert max(decision.num_devices for decision in resizes) >= 5


class BareTrial:
    """A trial without a backend that records its request."""

    def __init__(self, trial_id: int) -> None:
        self.trial_id, self.config, self.num_devices = trial_id, {"x": 0.5}, 1

    def resize(self, num_devices: int) -> None:
        self.num_devices = num_devices

    def follow(self, time_attr: str) -> None:
        pass

    def publish(self, result: object) -> None:
        pass


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy != "none"])
def test_a_survivor_that_has_not_reported_ranks_last(policy):
    times_s = [0.0]
    scheduler = make_scheduler(policy=policy, clock=lambda: times_s[-1])
    trials = [BareTrial(trial_id) for trial_id in range(2)]
    for trial in trials:
        assert scheduler.suggest() is not None
        scheduler.on_trial_add(trial)
    for epoch, now_s in enumerate((1.0, 2.0, 58.0), start=1):
        times_s.append(now_s)
        decision = scheduler.on_trial_result(trials[0], {"accuracy": 0.5, "epoch": epoch})
        assert decision == "CONTINUE"
    assert not scheduler.admission_open
    assert trials[0].num_devices >= 4
    assert trials[1].num_devices == 1


class BestOfAll(PausedTrials):
    """Finds the best paused trials by a search over all trials, and returns their number."""

    num_found = 0

    def take(self, count):
        found = super().take(count)
        paused = [(value, i) for i, value in self._best.items() if i not in self._live and value < math.inf]
        assert found == sorted(paused)[:count]
        self.num_found += len(found)
        return found


def test_the_best_paused_trials_are_found_without_looking_at_all():
    for seed in range(5):
        scheduler = make_scheduler(deadline_s=30.0 + seed, seed=seed)
        scheduler._strategy._paused.__class__ = BestOfAll
        run(scheduler)
        assert scheduler._strategy._paused.num_found == num_survivors(SURVIVORS, 0.0, num_devices=8, size=8)


def test_is_the_plain_ladder_without_resizing():
    scheduler = make_scheduler(policy="none")
    simulation = run(scheduler)
    assert set(simulation.results.st_num_devices) == {1}
    assert scheduler.admission_open


@settings(max_examples=examples(20), deadline=None)
@given(
    seed=st.integers(0, 1000),
    num_devices=st.integers(1, 16),
    deadline_s=st.floats(5, 200),
    launch_s=st.floats(0, 5),
    scaling=st.sampled_from(["resnet50", "babi", "linear", "none"]),
    policy=st.sampled_from(POLICIES),
)
def test_devices_are_never_oversubscribed_and_decisions_are_reproducible(
    seed, num_devices, deadline_s, launch_s, scaling, policy
):
    runs = []
    for _ in range(2):
        given = "babi" if scaling == "babi" else None
        scheduler = make_scheduler(num_devices, deadline_s, scaling=given, seed=seed, policy=policy)
        simulation = run(scheduler, launch_cost=LaunchCost(start_s=launch_s), scaling=scaling)
        held: dict[int, int] = {}
        for decision in scheduler.decisions:
            if decision.trial_id is not None:
                held[decision.trial_id] = decision.num_devices
            assert sum(held.values()) <= num_devices
        # Before the first report of all, nothing says that time is virtual.
        decisions = scheduler.decisions if simulation.num_results else []
        runs.append((decisions, simulation.results.to_csv()))
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            {"policy": "softmax"},
            "policy must be one of 'uniform', 'top_job', 'goodput', 'none' with strategy=\"adaptive\"",
        ),
    ],
)
def test_policies_of_the_published_rules_are_refused(argument, message):
    with pytest.raises(ValueError, match=message):
        make_scheduler(**argument)
