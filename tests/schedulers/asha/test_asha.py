from __future__ import annotations

import gc
import math
import random
import textwrap
from pathlib import Path
from typing import Any

import dill
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend import LocalBackend
from syne_tune.config_space import choice, randint, uniform
from syne_tune.experiments import load_experiment
from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving

from syne_hypersched.schedulers import ASHA
from syne_hypersched.schedulers.asha import CONTINUE, PAUSE, STOP
from tests.schedulers.asha.reference_asha import (
    Complete,
    History,
    ReferencePromotion,
    ReferenceStopping,
    Report,
    Run,
    Suggest,
    trial_of,
)
from tests.thoroughness import examples

SPACE = {"x": uniform(0, 1), "n": randint(1, 5), "c": choice(["a", "b"]), "constant": 7}
REFERENCES = {"stopping": ReferenceStopping, "promotion": ReferencePromotion}
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


def make_asha(**kwargs: Any) -> ASHA:
    return ASHA(
        **{"config_space": SPACE, "metric": "loss", "time_attr": "epoch", "max_t": 27, "random_seed": 1} | kwargs
    )


def report(scheduler: Any, trial_id: int, epoch: float, loss: float) -> str:
    return scheduler.on_trial_result(trial=trial_of(trial_id), result={"loss": loss, "epoch": epoch})


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


def test_promotes_with_the_next_milestone_and_the_same_hyperparameters() -> None:
    scheduler = make_asha(type="promotion", max_resource_attr="epochs", max_t=20)
    for trial_id, loss in enumerate([3.0, 1.0]):
        config = scheduler.suggest().config
        assert config["epochs"] == 1
        scheduler.on_trial_add(trial=trial_of(trial_id, config))
        assert report(scheduler, trial_id, 1, loss) == PAUSE
    for milestone in (3, 9, 20):
        resumed = scheduler.suggest()
        assert (resumed.spawn_new_trial_id, resumed.checkpoint_trial_id) == (False, 1)
        assert resumed.config == config | {"epochs": milestone}
        if milestone < 20:
            scheduler.on_trial_add(trial=trial_of(milestone))
            assert report(scheduler, milestone, milestone, 5.0) == PAUSE
            assert report(scheduler, 1, milestone, 0.5) == PAUSE
    assert report(scheduler, 1, 19, 0.5) == CONTINUE
    assert report(scheduler, 1, 20, 0.5) == STOP


def test_stopping_trains_up_to_max_t() -> None:
    config = make_asha(type="stopping", max_resource_attr="epochs", max_t=20).suggest().config
    assert config["epochs"] == 20


def test_fractional_units_are_not_rounded_up() -> None:
    scheduler = make_asha(type="promotion", max_resource_attr="hours", grace_period=0.25, max_t=2.0)
    assert scheduler.suggest().config["hours"] == 0.25


def test_equality_with_the_cutoff_promotes() -> None:
    scheduler = make_asha(type="promotion")
    for trial_id in range(4):
        scheduler.on_trial_add(trial=trial_of(trial_id))
        report(scheduler, trial_id, 1, 1.0 if trial_id else 0.0)
    # A third of four values: the cutoff is the second best value itself, which three trials have.
    assert [scheduler.suggest().checkpoint_trial_id for _ in range(5)] == [0, 1, 2, 3, None]


def test_a_trial_without_a_finite_value_is_never_promoted() -> None:
    scheduler = make_asha(type="promotion")
    for trial_id in range(9):
        scheduler.on_trial_add(trial=trial_of(trial_id))
        assert report(scheduler, trial_id, 1, math.nan) == PAUSE
    assert scheduler.suggest().spawn_new_trial_id
    assert scheduler.incumbent is None


def test_a_failed_trial_is_never_promoted_but_counts() -> None:
    scheduler = make_asha(type="promotion")
    for trial_id, loss in enumerate([0.0, 1.0, 2.0, 3.0]):
        scheduler.on_trial_add(trial=trial_of(trial_id))
        report(scheduler, trial_id, 1, loss)
    # Paused, and then found dead: this is what the tuner tells of a script that crashes right after its report.
    scheduler.on_trial_error(trial_of(0))
    assert len(scheduler.ladders[0].rungs[0]) == 4
    assert scheduler.suggest().checkpoint_trial_id == 1
    assert scheduler.suggest().spawn_new_trial_id
    assert report(scheduler, 0, 2, -1.0) == STOP
    assert 0 not in scheduler.ladders[0].rungs[1]


def test_reports_of_trials_that_are_not_running_change_nothing() -> None:
    scheduler = make_asha(type="promotion")
    scheduler.on_trial_add(trial=trial_of(0))
    assert report(scheduler, 0, 1, 1.0) == PAUSE
    assert report(scheduler, 0, 1, 0.1) == PAUSE
    assert report(scheduler, 0, 5, 0.1) == PAUSE
    assert [len(rung) for rung in scheduler.ladders[0].rungs] == [1, 0, 0]
    assert scheduler.ladders[0].rungs[0].value(0) == 1.0
    assert scheduler.incumbent is not None
    assert scheduler.incumbent.value == 1.0


def test_a_script_that_completes_at_its_milestone_stays_paused() -> None:
    scheduler = make_asha(type="promotion", max_resource_attr="epochs")
    for trial_id, loss in enumerate([0.0, 1.0]):
        scheduler.on_trial_add(trial=trial_of(trial_id))
        assert report(scheduler, trial_id, 1, loss) == PAUSE
        scheduler.on_trial_complete(trial_of(trial_id), {"loss": loss, "epoch": 1})
    assert scheduler.suggest().checkpoint_trial_id == 0


def test_where_nothing_new_starts_a_trial_that_may_yet_be_promotable_goes_on() -> None:
    scheduler = make_asha(type="promotion")
    for trial_id in range(2):
        scheduler.on_trial_add(trial=trial_of(trial_id))
    assert report(scheduler, 0, 1, 1.0) == PAUSE
    scheduler.stop_starting()
    assert scheduler.suggest().checkpoint_trial_id == 0, "the other trial may turn out to be worse"
    assert [report(scheduler, 0, 3, 1.0), report(scheduler, 1, 1, 2.0)] == [PAUSE, PAUSE]
    assert scheduler.suggest().checkpoint_trial_id == 0, "it is alone at its rung"
    assert scheduler.suggest() is None


def test_where_nothing_new_starts_a_script_that_ends_at_its_milestone_is_waited_for() -> None:
    """The tuner is to go on asking until it has ended, and is given any trial meanwhile."""
    scheduler = make_asha(type="promotion", max_resource_attr="epochs")
    for trial_id in range(3):
        scheduler.on_trial_add(trial=trial_of(trial_id))
    assert [report(scheduler, trial_id, 1, 1.0 + trial_id) for trial_id in range(2)] == [PAUSE, PAUSE]
    scheduler.on_trial_error(trial_of(0))
    scheduler.stop_starting()
    assert scheduler.suggest().checkpoint_trial_id == 1, "though a third of three trials can never include it"
    assert scheduler.suggest() is None


def test_a_script_that_completes_before_its_milestone_is_not_resumed() -> None:
    scheduler = make_asha(type="promotion", grace_period=3, max_t=27)
    for trial_id, loss in enumerate([0.0, 1.0, 2.0]):
        scheduler.on_trial_add(trial=trial_of(trial_id))
        report(scheduler, trial_id, 2, loss)
    scheduler.on_trial_complete(trial_of(0), {"loss": 0.0, "epoch": 2})
    assert [report(scheduler, trial_id, 3, 1.0) for trial_id in range(3)] == [STOP, PAUSE, PAUSE]
    assert scheduler.suggest().checkpoint_trial_id == 1


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


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"type": "hyperband"}, ValueError, "type must be 'stopping' or 'promotion', but got 'hyperband'"),
        ({"type": np.array(["stopping", "x"])}, ValueError, "type must be 'stopping' or 'promotion', but got array"),
        ({"brackets": 0}, ValueError, "brackets must be from 1 to the number of rungs"),
        ({"brackets": 5}, ValueError, r"number of rungs \+ 1 = 4, got 5"),
        ({"brackets": 1.0}, TypeError, "brackets must be an integer, but got 1.0"),
        ({"max_resource_attr": 3}, TypeError, "max_resource_attr must be the name"),
        ({"max_resource_attr": "n"}, ValueError, "max_resource_attr must not be searched, but 'n' is in config_space"),
        ({"grace_period": 28}, ValueError, "grace_period must be at most max_t = 27, but got 28"),
        ({"reduction_factor": 1}, ValueError, "reduction_factor must be a finite number greater than 1, but got 1"),
    ],
)
def test_refuses_bad_arguments(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_asha(**kwargs)


def test_refuses_reports_of_a_trial_that_was_never_added() -> None:
    with pytest.raises(ValueError, match="trial 4 has reported, but on_trial_add was never called for it"):
        report(make_asha(), 4, 1, 0.0)


def test_decisions_are_syne_tunes_words() -> None:
    assert (CONTINUE, PAUSE, STOP) == (
        SchedulerDecision.CONTINUE,
        SchedulerDecision.PAUSE,
        SchedulerDecision.STOP,
    )


SCRIPT = """
    import argparse, json, time
    from pathlib import Path
    from tests.reporter import Reporter

    parser = argparse.ArgumentParser()
    parser.add_argument("--x", type=float)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--st_checkpoint_dir", type=Path)
    arguments = parser.parse_args()
    arguments.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.st_checkpoint_dir / "state.json"
    done = json.loads(checkpoint.read_text())["epoch"] if checkpoint.exists() else 0
    report = Reporter()
    for epoch in range(done + 1, arguments.epochs + 1):
        checkpoint.write_text(json.dumps({"epoch": epoch}))
        report(loss=arguments.x + 1 / epoch, epoch=epoch)
        time.sleep(EPOCH_S)
"""


# LocalBackend forgets the processes and files of a trial that it resumes.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("max_resource_attr", ["epochs", None])
def test_pauses_and_resumes_real_scripts_on_syne_tunes_local_backend(
    max_resource_attr: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "results"))
    script = tmp_path / "train.py"
    # A script that is to be paused by the backend must still be busy with the next epoch when its report is read.
    script.write_text(
        textwrap.dedent(SCRIPT).replace("EPOCH_S", "0" if max_resource_attr else "60 * (epoch in (1, 2))")
    )
    scheduler = ASHA(
        {"x": uniform(0, 1), "epochs": 4},
        metric="loss",
        time_attr="epoch",
        max_t=4,
        type="promotion",
        grace_period=1,
        reduction_factor=2,
        max_resource_attr=max_resource_attr,
        points_to_evaluate=[{"x": x} for x in (0.9, 0.1, 0.5)],
        random_seed=0,
    )
    tuner = Tuner(
        trial_backend=LocalBackend(str(script)),
        scheduler=scheduler,
        stop_criterion=StoppingCriterion(max_num_trials_finished=1, max_wallclock_time=100),
        n_workers=1,
        sleep_time=0.05,
        suffix_tuner_name=False,
        tuner_name="asha",
        save_tuner=False,
    )
    tuner.run()
    del tuner
    gc.collect()
    results = load_experiment("asha").results.sort_values("st_tuner_time")
    epochs = {int(trial_id): list(rows["epoch"]) for trial_id, rows in results.groupby("trial_id")}
    # 0.9 and 0.1 are paused at epoch 1, 0.1 is the better half and goes on to 2; 0.5 follows, and so on.
    assert epochs[1] == [1, 2, 3, 4]
    assert all(reported == list(range(1, len(reported) + 1)) for reported in epochs.values())
    assert scheduler.incumbent is not None
    assert (scheduler.incumbent.trial_id, scheduler.incumbent.resource) == (1, 4)


@pytest.mark.parametrize("type_", list(REFERENCES))
def test_the_checkpoint_of_a_trial_that_is_stopped_may_be_removed(type_):
    scheduler = ASHA(SPACE, "loss", "epoch", max_t=2, type=type_)
    trials = [trial_of(number, scheduler.suggest().config) for number in range(2)]
    for trial in trials:
        scheduler.on_trial_add(trial)
    assert scheduler.on_trial_result(trials[1], {"loss": 0.5, "epoch": 2}) == STOP
    assert scheduler.trials_checkpoints_can_be_removed() == [1]


@pytest.mark.parametrize("type_", list(REFERENCES))
def test_the_checkpoint_of_a_trial_whose_script_has_ended_may_be_removed(type_):
    scheduler = make_asha(type=type_, grace_period=3)
    for trial_id in range(2):
        scheduler.on_trial_add(trial_of(trial_id))
        assert report(scheduler, trial_id, 1, 0.5) == CONTINUE
    scheduler.on_trial_complete(trial_of(1), {"loss": 0.5, "epoch": 1})
    assert scheduler.trials_checkpoints_can_be_removed() == [1]


def test_only_a_scheduler_that_pauses_has_a_maximum_of_paused_trials():
    with pytest.raises(ValueError, match='max_paused must be left out with type="stopping"'):
        ASHA(SPACE, "loss", "epoch", max_t=9, type="stopping", max_paused=3)
    assert ASHA(SPACE, "loss", "epoch", max_t=9, type="promotion", max_paused=3).max_paused == 3


def test_a_scheduler_is_for_one_tuning():
    scheduler = make_asha()
    scheduler.on_trial_add(trial_of(0))
    assert scheduler.has_trials
    with pytest.raises(ValueError, match="scheduler must have no trials yet, but this ASHA has been used"):
        scheduler.on_trial_add(trial_of(0))
