"""Decisions of ASHA: those of a reference and of Syne Tune, and the same in each equal situation."""

from __future__ import annotations

import math
import random
from typing import Any

import dill
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving

from syne_hypersched.schedulers.asha import CONTINUE, PAUSE, STOP
from tests.schedulers.asha.reference_asha import (
    Complete,
    History,
    Report,
    Run,
    Suggest,
    trial_of,
)
from tests.schedulers.asha.reports import REFERENCES, SPACE, make_asha, report
from tests.thoroughness import examples

MAX_T = [1, 2, 3, 4, 5, 8, 9, 10, 16, 17, 27, 28, 40]


histories = st.builds(
    History,
    seed=st.integers(0, 2**32),
    num_workers=st.integers(1, 16),
    num_events=st.integers(1, 150),
    max_skip=st.sampled_from([0, 0, 1, 6]),
)


ladders = st.fixed_dictionaries(
    {
        "grace_period": st.integers(1, 5),
        "reduction_factor": st.sampled_from([2, 2.5, 3, 4]),
        "max_t": st.sampled_from(MAX_T),
    }
).filter(lambda ladder: ladder["grace_period"] <= ladder["max_t"])


def finite_or_worst(value: float) -> float:
    return value if math.isfinite(value) else math.inf


@pytest.mark.parametrize("kind", ["stopping", "promotion"])
@given(history=histories, ladder=ladders, maximize=st.booleans())
@settings(max_examples=examples(1000), deadline=None)
def test_every_decision_is_the_references(kind: str, history: History, ladder: dict[str, Any], maximize: bool) -> None:
    scheduler = make_asha(type=kind, do_minimize=not maximize, **ladder)
    run = Run(scheduler, history, sign=-1 if maximize else 1)
    reference = REFERENCES[kind](**ladder)
    for event in history.events():
        decision = run.step(event)
        if isinstance(event, Suggest):
            promoted = reference.suggest()
            assert decision[:2] == (("start", len(run.trials) - 1) if promoted is None else ("resume", promoted[0]))
            if promoted is None:
                reference.start(decision[1])
        elif isinstance(event, Report):
            assert decision == reference.report(event.trial_id, event.resource, finite_or_worst(event.value))
        elif isinstance(event, Complete):
            reference.complete(event.trial_id, event.last.resource, finite_or_worst(event.last.value))
        else:
            reference.fail(event.trial_id)
    recorded = [
        [(trial_id, rung.value(trial_id)) for trial_id in run.trials if trial_id in rung]
        for rung in scheduler.ladders[0].rungs
    ]
    assert recorded == [sorted(values) for values in reference.rungs.values()]


@given(history=histories, ladder=ladders, brackets=st.integers(1, 3), seed=st.integers(0, 99))
@settings(max_examples=examples(300), deadline=None)
def test_stopping_is_syne_tunes(history: History, ladder: dict[str, Any], brackets: int, seed: int) -> None:
    history.unruly = False
    ours = make_asha(do_minimize=seed % 2 == 0, random_seed=seed, **ladder)
    brackets = min(brackets, len(ours.ladders[0].rungs) + 1)
    ours = make_asha(do_minimize=seed % 2 == 0, random_seed=seed, brackets=brackets, **ladder)
    stock = AsynchronousSuccessiveHalving(
        SPACE, metric="loss", time_attr="epoch", do_minimize=seed % 2 == 0, brackets=brackets, **ladder
    )
    run = Run(ours, history)
    chance = random.Random(seed)
    for event in history.events():
        if isinstance(event, Suggest):
            _, trial_id, _ = run.step(event)
            stock.on_trial_add(run.trials[trial_id])
            drawn = ours._brackets.index(ours._bracket_of[trial_id])
            stock.trial_info[trial_id] = stock.brackets[drawn]
        elif event.trial_id in stock.trial_info:
            assert isinstance(event, Report)
            result = {"loss": event.value, "epoch": event.resource}
            trial = run.trials[event.trial_id]
            expected = stock.on_trial_result(trial, result)
            assert run.step(event) == expected
            if expected == STOP:
                stock.on_trial_remove(trial)
            elif chance.random() < 0.1:
                stock.on_trial_complete(trial, result)
                ours.on_trial_complete(trial, result)
                history.left(event.trial_id)


@pytest.mark.parametrize("reduction_factor", [2, 2.5, 3, 4, 10])
@pytest.mark.parametrize("max_t", [9, 27, 81, 100, 243, 1000])
def test_bracket_probabilities_are_syne_tunes(max_t: int, reduction_factor: float) -> None:
    ladder = make_asha(max_t=max_t, reduction_factor=reduction_factor).ladders[0]
    for brackets in range(1, len(ladder.rungs) + 2):
        ours = make_asha(max_t=max_t, reduction_factor=reduction_factor, brackets=brackets)
        stock = AsynchronousSuccessiveHalving(
            SPACE, "loss", max_t=max_t, reduction_factor=reduction_factor, brackets=brackets
        )
        sizes = np.array([len(bracket.rungs) for bracket in stock.brackets])
        weights = np.e ** (sizes - sizes.max())
        np.testing.assert_allclose(ours._bracket_probabilities, weights / weights.sum())


def test_brackets_are_drawn_from_the_schedulers_own_generator() -> None:
    def drawn(seed: int) -> list[int]:
        scheduler = make_asha(brackets=3, random_seed=seed)
        for trial_id in range(3000):
            scheduler.on_trial_add(trial_of(trial_id))
        return [scheduler._brackets.index(scheduler._bracket_of[trial_id]) for trial_id in range(3000)]

    state = np.random.get_state()[1].tolist()
    brackets = drawn(0)
    assert np.random.get_state()[1].tolist() == state
    assert brackets == drawn(0) != drawn(1)
    shares = np.bincount(brackets) / len(brackets)
    np.testing.assert_allclose(shares, make_asha(brackets=3)._bracket_probabilities, atol=0.03)


@pytest.mark.parametrize("kind", ["stopping", "promotion"])
@given(history=histories, ladder=ladders, brackets=st.integers(1, 2))
@settings(max_examples=examples(150), deadline=None)
def test_minimizing_and_maximizing_the_negated_metric_are_one(
    kind: str, history: History, ladder: dict[str, Any], brackets: int
) -> None:
    if not make_asha(**ladder).ladders[0].rungs:
        brackets = 1
    logs = []
    for sign in (1, -1):
        replayed = History(history.seed, history.num_workers, history.num_events, history.max_skip)
        run = Run(make_asha(type=kind, do_minimize=sign == 1, brackets=brackets, **ladder), replayed, sign)
        for event in replayed.events():
            run.step(event)
        logs.append(run.log)
    assert logs[0] == logs[1]


@pytest.mark.parametrize("kind", ["stopping", "promotion"])
@given(history=histories, ladder=ladders, interrupted_at=st.integers(0, 100))
@settings(max_examples=examples(50), deadline=None)
def test_goes_on_the_same_after_dill(kind: str, history: History, ladder: dict[str, Any], interrupted_at: int) -> None:
    logs = []
    for interrupted in (False, True):
        replayed = History(history.seed, history.num_workers, history.num_events, history.max_skip)
        run = Run(make_asha(type=kind, max_resource_attr="epochs", **ladder), replayed)
        for index, event in enumerate(replayed.events()):
            if interrupted and index == interrupted_at:
                run.scheduler = dill.loads(dill.dumps(run.scheduler))
            run.step(event)
        logs.append(run.log)
    assert logs[0] == logs[1]


@given(history=histories, ladder=ladders, brackets=st.integers(1, 3))
@settings(max_examples=examples(150), deadline=None)
def test_the_configuration_carries_the_milestone(history: History, ladder: dict[str, Any], brackets: int) -> None:
    levels = [rung.level for rung in make_asha(**ladder).ladders[0].rungs]
    brackets = min(brackets, len(levels) + 1)
    scheduler = make_asha(type="promotion", max_resource_attr="epochs", brackets=brackets, **ladder)
    run = Run(scheduler, history)
    milestones = {math.ceil(level) for level in levels} | {ladder["max_t"]}
    for event in history.events():
        decision = run.step(event)
        if isinstance(event, Suggest):
            _, _, config = decision
            assert config["epochs"] in milestones
            assert isinstance(config["epochs"], int)
            assert set(config) == {*SPACE, "epochs"}
        elif isinstance(event, Report) and decision == PAUSE:
            # The script has trained up to its milestone and has stopped there by itself: no epoch is lost.
            trial_id = event.trial_id
            if history.max_skip == 0:
                assert run.trials[trial_id].config["epochs"] <= max(1, history._others[trial_id])


def test_levels_are_exact_where_syne_tunes_are_rounded() -> None:
    ladder = {"grace_period": 100, "reduction_factor": 1.1, "max_t": 200}
    ours = make_asha(**ladder)
    stock = AsynchronousSuccessiveHalving(SPACE, "loss", time_attr="epoch", **ladder)
    for trial_id, loss in enumerate([1.0, 2.0]):
        for scheduler in (ours, stock):
            scheduler.on_trial_add(trial_of(trial_id))
            report(scheduler, trial_id, 100, 0.0)
        decisions = [report(scheduler, trial_id, 110, loss) for scheduler in (ours, stock)]
    assert decisions == [CONTINUE, CONTINUE]
    assert [len(rung) for rung in ours.ladders[0].rungs[:2]] == [2, 2]
    assert [len(recorded) for _, recorded in stock.brackets[0].rungs[-2:]] == [0, 2]
