from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from datetime import datetime

import dill
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import uniform

from syne_hypersched.schedulers import PASHA
from tests.schedulers.pasha.reference_pasha import ReferencePASHA
from tests.thoroughness import examples, repetitions

CRITERIA = {
    "soft_ranking_auto": {},
    "soft_ranking": {"epsilon": 2.0},
    "soft_ranking_std": {"scale": 0.5},
    "soft_ranking_mean_dst": {"scale": 0.5},
    "soft_ranking_median_dst": {"scale": 0.5},
    "direct": {},
    "rbo": {"p": 0.5, "threshold": 0.5},
    "rrr": {"p": 0.5, "threshold": 0.05},
    "arrr": {"p": 0.9, "threshold": 0.2},
}


def make_pasha(max_t=27, do_minimize=True, **kwargs) -> PASHA:
    kwargs.setdefault("random_seed", 0)
    return PASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t, do_minimize, **kwargs)


def make_trial(trial_id: int, config=None) -> Trial:
    return Trial(trial_id=trial_id, config={"x": 0.5} if config is None else config, creation_time=datetime(2026, 1, 1))


def report(pasha: PASHA, trial: Trial, epoch: float, value: float) -> str:
    return pasha.on_trial_result(trial=trial, result={"loss": value, "epoch": epoch})


def start(pasha: PASHA, trial_id: int) -> Trial:
    suggestion = pasha.suggest()
    assert suggestion.spawn_new_trial_id
    trial = make_trial(trial_id, suggestion.config)
    pasha.on_trial_add(trial=trial)
    return trial


class Histories:
    """Sends the same random events of some workers to several schedulers, and compares their answers.

    ``fast`` minimises the values, ``negated`` maximises their negatives, ``slow`` is the reference.
    """

    def __init__(self, rng: random.Random, num_workers: int, values: str, **kwargs) -> None:
        self.rng, self.num_workers, self.values = rng, num_workers, values
        self.fast = make_pasha(**kwargs)
        self.negated = make_pasha(do_minimize=False, **kwargs)
        criterion = kwargs["ranking_criterion"]
        self.slow = ReferencePASHA(
            kwargs["max_t"], kwargs["grace_period"], kwargs["reduction_factor"], criterion, kwargs["ranking_kwargs"]
        )
        self.trials: dict[int, Trial] = {}
        self.busy: list[int] = []
        self.reached: dict[int, float] = {}
        self.quality: dict[int, float] = {}

    def play(self, num_events: int) -> None:
        for _ in range(num_events):
            if len(self.busy) < self.num_workers:
                self.start_or_resume()
            event = self.rng.random()
            trial_id = self.rng.choice(self.busy)
            if event < 0.03:
                self.end(trial_id, failed=True)
            elif event < 0.05:
                self.end(trial_id, failed=False)
            elif event < 0.08:  # a late report, of any trial that has ever run, in any order
                self.report(self.rng.choice(list(self.trials)), self.rng.randint(1, 10))
            else:
                step = self.rng.choice((1, 1, 1, 1, 1, 2, 4))
                self.report(trial_id, self.reached[trial_id] + step)
            self.compare_state()

    def start_or_resume(self) -> None:
        trial_id, milestone = self.slow.suggest()
        suggestion, mirrored = self.fast.suggest(), self.negated.suggest()
        assert suggestion == mirrored
        assert suggestion.spawn_new_trial_id == (trial_id is None)
        if trial_id is None:
            trial_id = len(self.trials)
            self.trials[trial_id] = make_trial(trial_id, suggestion.config)
            self.reached[trial_id], self.quality[trial_id] = 0, self.rng.uniform(0, 6)
            self.slow.add(trial_id)
            for scheduler in (self.fast, self.negated):
                scheduler.on_trial_add(trial=self.trials[trial_id])
        else:
            assert suggestion.checkpoint_trial_id == trial_id
        config = self.trials[trial_id].config if suggestion.config is None else suggestion.config
        assert config["epochs"] == math.ceil(milestone)
        self.busy.append(trial_id)

    def report(self, trial_id: int, resource: float) -> None:
        value = self.draw(trial_id)
        trial = self.trials[trial_id]
        decision = report(self.fast, trial, resource, value)
        assert decision == report(self.negated, trial, resource, -value)
        assert decision == self.slow.report(trial_id, resource, value if math.isfinite(value) else math.inf)
        if trial_id in self.busy:
            self.reached[trial_id] = max(self.reached[trial_id], resource)
            if decision != "CONTINUE":
                self.busy.remove(trial_id)
                for scheduler in (self.fast, self.negated):
                    scheduler.on_trial_remove(trial=trial)

    def draw(self, trial_id: int) -> float:
        if self.rng.random() < 0.02:
            return self.rng.choice((math.nan, math.inf, -math.inf))
        value = self.quality[trial_id] + self.rng.gauss(0, 1)
        return float(round(value)) if self.values == "ties" else value

    def end(self, trial_id: int, failed: bool) -> None:
        self.busy.remove(trial_id)
        self.slow.end(trial_id)
        for scheduler, sign in ((self.fast, 1), (self.negated, -1)):
            if failed:
                scheduler.on_trial_error(trial=self.trials[trial_id])
            elif self.reached[trial_id]:
                last = {"loss": sign * 3.0, "epoch": self.reached[trial_id]}
                scheduler.on_trial_complete(trial=self.trials[trial_id], result=last)
            else:
                scheduler.on_trial_error(trial=self.trials[trial_id])

    def compare_state(self) -> None:
        for scheduler in (self.fast, self.negated):
            assert scheduler.current_max_t == self.slow.cap
            if self.slow.epsilon is None:
                assert scheduler.epsilon is None
            else:
                assert scheduler.epsilon == pytest.approx(self.slow.epsilon, rel=1e-12, abs=1e-300)


settings_of_histories = {
    "seed": st.integers(0, 2**32),
    "num_workers": st.integers(1, 16),
    "num_events": st.integers(10, 120),
    "values": st.sampled_from(("ties", "floats")),
    "reduction_factor": st.sampled_from((2, 3, 4, 2.5)),
    "grace_period": st.integers(1, 5),
    "max_t": st.sampled_from((5, 6, 8, 9, 10, 16, 20, 25, 27, 30, 81)),
}


def play_history(criterion, seed, num_workers, num_events, values, reduction_factor, grace_period, max_t) -> Histories:
    histories = Histories(
        random.Random(seed),
        num_workers,
        values,
        ranking_criterion=criterion,
        ranking_kwargs=CRITERIA[criterion],
        reduction_factor=reduction_factor,
        grace_period=grace_period,
        max_t=max_t,
        max_resource_attr="epochs",
    )
    histories.play(num_events)
    return histories


@given(**settings_of_histories)
@settings(max_examples=examples(100), deadline=None)
def test_agrees_with_the_slow_reference_at_every_event(**history):
    play_history("soft_ranking_auto", **history)


@pytest.mark.parametrize(
    "criterion",
    [
        # test_criteria.py compares each criterion with its definition.
        pytest.param(name, marks=() if name in ("direct", "rbo", "soft_ranking_std") else pytest.mark.slow)
        for name in CRITERIA
        if name != "soft_ranking_auto"
    ],
)
@given(**settings_of_histories)
@settings(max_examples=examples(30), deadline=None)
def test_every_criterion_agrees_with_the_slow_reference(criterion, **history):
    play_history(criterion, **history)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("criterion", CRITERIA)
@given(**settings_of_histories)
@settings(max_examples=examples(2000), deadline=None)
def test_agrees_with_the_slow_reference_on_thousands_of_histories(criterion, **history):
    play_history(criterion, **history)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=repetitions(10, 4), deadline=None)
def test_goes_on_with_the_same_decisions_after_dill(seed):
    histories = play_history("soft_ranking_auto", seed, 4, 60, "floats", 2, 1, 9)
    histories.fast, histories.negated = dill.loads(dill.dumps((histories.fast, histories.negated)))
    histories.play(60)


HISTORY_OF_CAPS = """
import random
from tests.schedulers.pasha.test_pasha import play_history
histories = play_history("soft_ranking_auto", 7, 4, 300, "floats", 2, 1, 16)
print(histories.fast.epsilon, histories.fast.current_max_t, [trial.config for trial in histories.trials.values()])
"""


@pytest.mark.slow
def test_decisions_do_not_depend_on_the_hash_seed():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", HISTORY_OF_CAPS],
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] != ""


def test_one_seed_gives_one_sequence_of_configurations():
    first, second, other = (make_pasha(random_seed=seed) for seed in (3, 3, 4))
    sequences = [[scheduler.suggest().config["x"] for _ in range(20)] for scheduler in (first, second, other)]
    assert sequences[0] == sequences[1] != sequences[2]


def test_the_cap_moves_when_two_trials_change_places():
    pasha = make_pasha(max_t=27, ranking_criterion="direct")
    trials = [start(pasha, trial_id) for trial_id in range(6)]
    for trial, value in zip(trials, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), strict=True):
        assert report(pasha, trial, 1, value) == "PAUSE"
    for trial_id, values in ((0, (1.0, 1.2)), (1, (1.1, 1.1))):
        assert pasha.suggest().checkpoint_trial_id == trial_id
        assert pasha.current_max_t == 3
        assert report(pasha, trials[trial_id], 2, values[0]) == "CONTINUE"
        assert report(pasha, trials[trial_id], 3, values[1]) == "PAUSE"
    assert pasha.current_max_t == 9


def test_nothing_is_promoted_from_the_rung_at_the_cap():
    pasha = make_pasha(max_t=27, ranking_criterion="soft_ranking", ranking_kwargs={"epsilon": 100})
    trials, epochs, longest = {}, {}, 0
    for _ in range(200):
        suggestion = pasha.suggest()
        if suggestion.spawn_new_trial_id:
            trial = trials[len(trials)] = make_trial(len(trials), suggestion.config)
            pasha.on_trial_add(trial=trial)
        else:
            trial = trials[suggestion.checkpoint_trial_id]
        decision = "CONTINUE"
        while decision == "CONTINUE":
            epoch = epochs[trial.trial_id] = epochs.get(trial.trial_id, 0) + 1
            decision = report(pasha, trial, epoch, trial.config["x"])
            longest = max(longest, epoch)
    assert pasha.current_max_t == longest == 3


@pytest.mark.parametrize("max_t, cap", [(1, 1), (3, 3), (4, 3), (9, 3), (10, 3)])
def test_short_ladders_work(max_t, cap):
    pasha = make_pasha(max_t=max_t, ranking_criterion="direct")
    assert pasha.current_max_t == cap
    trials, epochs, ended = {}, {}, 0
    rng = random.Random(0)
    for _ in range(100):
        suggestion = pasha.suggest()
        if suggestion.spawn_new_trial_id:
            trial = trials[len(trials)] = make_trial(len(trials), suggestion.config)
            pasha.on_trial_add(trial=trial)
        else:
            trial = trials[suggestion.checkpoint_trial_id]
        decision = "CONTINUE"
        while decision == "CONTINUE":
            epoch = epochs[trial.trial_id] = epochs.get(trial.trial_id, 0) + 1
            decision = report(pasha, trial, epoch, rng.random())
        ended += decision == "STOP"
    assert ended > 0
    assert max(epochs.values()) == max_t == pasha.current_max_t


def test_results_get_the_cap_and_epsilon():
    pasha = make_pasha()
    result = {"loss": 1.0, "epoch": 1}
    pasha.on_trial_result(trial=start(pasha, 0), result=result)
    assert result["st_pasha_max_t"] == 3
    assert result["st_pasha_epsilon"] == 0.0


def test_max_resource_attr_is_the_next_milestone():
    pasha = make_pasha(max_resource_attr="epochs")
    trials = [start(pasha, trial_id) for trial_id in range(3)]
    assert [trial.config["epochs"] for trial in trials] == [1, 1, 1]
    for trial in trials:
        report(pasha, trial, 1, float(trial.trial_id))
    suggestion = pasha.suggest()
    assert suggestion.checkpoint_trial_id == 0
    assert suggestion.config == trials[0].config | {"epochs": 3}


def test_points_to_evaluate_come_first_and_in_order():
    points = [{"x": 0.25}, {"x": 0.75}, {"x": 0.5}]
    pasha = make_pasha(points_to_evaluate=points)
    assert [pasha.suggest().config for _ in points] == points


SLOW_SEARCHERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("bore", "cqr")]


@pytest.mark.parametrize("searcher", ["kde", *SLOW_SEARCHERS, "botorch", "regularized_evolution"])
def test_works_with_model_based_searchers(searcher):
    if searcher == "botorch":
        pytest.importorskip("botorch")
    pasha = make_pasha(max_t=9, searcher=searcher)
    trials, epochs = {}, {}
    for _ in range(30):
        suggestion = pasha.suggest()
        if suggestion.spawn_new_trial_id:
            trial = trials[len(trials)] = make_trial(len(trials), suggestion.config)
            pasha.on_trial_add(trial=trial)
        else:
            trial = trials[suggestion.checkpoint_trial_id]
        decision = "CONTINUE"
        while decision == "CONTINUE":
            epoch = epochs[trial.trial_id] = epochs.get(trial.trial_id, 0) + 1
            decision = report(pasha, trial, epoch, trial.config["x"] + 1 / epoch)
        pasha.on_trial_remove(trial=trial)
    assert len(trials) > 5
    assert max(epochs.values()) >= 3


def test_metadata_is_json_and_names_the_criterion():
    pasha = make_pasha(ranking_criterion="rbo", ranking_kwargs={"p": 0.9, "threshold": 0.1})
    metadata = json.loads(json.dumps(pasha.metadata()))
    assert metadata["scheduler_name"] == "PASHA"
    assert metadata["metric_names"] == ["loss"]
    assert metadata["metric_mode"] == "min"
    assert metadata["scheduler_kwargs"]["ranking_criterion"] == "rbo"
    assert metadata["scheduler_kwargs"]["ranking_kwargs"] == {"p": 0.9, "threshold": 0.1}


@pytest.mark.parametrize(
    "kwargs, error, message",
    [
        ({"ranking_criterion": ["direct"]}, ValueError, "ranking_criterion must be one of .* but got \\['direct'\\]"),
        ({"ranking_criterion": "soft"}, ValueError, "ranking_criterion must be one of .*'direct'.* got 'soft'"),
        ({"ranking_criterion": "soft_ranking"}, ValueError, "must have 'epsilon'"),
        ({"ranking_kwargs": {"epsilon": 1}}, ValueError, "'soft_ranking_auto' may have no entry, but got 'epsilon'"),
        (
            {"ranking_criterion": "rbo", "ranking_kwargs": {"p": 0}},
            ValueError,
            "p'. must be a number greater than 0 .* got 0",
        ),
        ({"ranking_criterion": "rbo", "ranking_kwargs": {"p": "x"}}, TypeError, "p'. must be a number .* got 'x'"),
        ({"ranking_kwargs": [1]}, TypeError, "ranking_kwargs must be a dictionary or None, but got"),
        ({"max_t": 0}, ValueError, "max_t must be .* but got 0"),
        ({"grace_period": 28}, ValueError, "grace_period must be at most max_t = 27, but got 28"),
        ({"reduction_factor": 1}, ValueError, "reduction_factor must be .* greater than 1, but got 1"),
    ],
)
def test_wrong_arguments_are_refused_with_their_name(kwargs, error, message):
    with pytest.raises(error, match=message):
        make_pasha(**kwargs)
