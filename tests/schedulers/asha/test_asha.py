"""ASHA: promotions, trials that fail or end, arguments, and real scripts."""

from __future__ import annotations

import gc
import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend import LocalBackend
from syne_tune.config_space import uniform
from syne_tune.experiments import load_experiment
from syne_tune.optimizer.scheduler import SchedulerDecision

from syne_hypersched.schedulers import ASHA
from syne_hypersched.schedulers.asha import CONTINUE, PAUSE, STOP
from tests.schedulers.asha.reference_asha import (
    trial_of,
)
from tests.schedulers.asha.reports import REFERENCES, SPACE, make_asha, report


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
