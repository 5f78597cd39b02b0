"""The description of best/, and checks of its content."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syne_hypersched.checkpoints import fingerprint
from syne_hypersched.experiments import Event, Run, check_run, load_run
from syne_hypersched.experiments.report import describe_run


@pytest.fixture
def run(simulate: Callable[..., Path]) -> Run:
    return load_run(simulate(2, 20.0))


def put(run: Run, match: Any = "exact", **changes: Any) -> Path:
    """Publishes the incumbent, and returns the file of its checkpoint."""
    best, incumbent = run.path / "best", run.incumbent
    (best / "checkpoint").mkdir(parents=True)
    (best / "checkpoint" / "model").write_text("weights")
    checkpoint = {
        "level": incumbent.resource, "launch": 0, "generation": 1, "match": match, "num_files": 1, "num_bytes": 7,
    }  # fmt: skip
    result = {
        "trial_id": incumbent.trial_id, run.time_attr: incumbent.resource, run.metric: incumbent.value,
        "st_checkpoint": checkpoint, **changes,
    }  # fmt: skip
    (best / "result.json").write_text(json.dumps(result))
    return best / "checkpoint" / "model"


def found(run: Run) -> list[str]:
    return [violation.message for violation in check_run(run) if violation.rule == "best"]


def test_the_checkpoint_of_the_best_report(run: Run) -> None:
    put(run)
    text = describe_run(run)
    assert f"checkpoint, configuration and result: {run.path / 'best'}" in text
    assert text.endswith(f"the checkpoint is of trial {run.incumbent.trial_id} at epoch {run.incumbent.resource:g}")
    assert found(run) == []


def test_a_checkpoint_that_may_be_newer(run: Run) -> None:
    put(run, match=2)
    assert describe_run(run).endswith("or up to 2 reports newer")
    assert found(run) == []


def test_a_checkpoint_that_may_be_of_the_next_report(run: Run) -> None:
    put(run, match=1)
    assert describe_run(run).endswith("or up to 1 report newer")


def test_no_checkpoint(run: Run) -> None:
    put(run, st_checkpoint=None)
    assert f"configuration and result, but no checkpoint: {run.path / 'best'}" in describe_run(run)
    assert found(run) == []


def test_nothing_was_published(run: Run) -> None:
    assert "best/" not in describe_run(run)
    assert found(run) == []


def test_a_checkpoint_that_is_gone_or_torn(run: Run) -> None:
    model = put(run)
    model.write_text("we")
    (message,) = found(run)
    assert "whose checkpoint had 1 file with 7 bytes and has 1 with 2" in message
    model.unlink()
    (message,) = found(run)
    assert "its checkpoint is gone" in message


@pytest.mark.parametrize(("by", "what"), [(-1, "older"), (1, "newer")])
def test_a_checkpoint_of_another_level(run: Run, by: int, what: str) -> None:
    put(run)
    path = run.path / "best" / "result.json"
    result = json.loads(path.read_text())
    result["st_checkpoint"]["level"] += by
    path.write_text(json.dumps(result))
    (message,) = found(run)
    assert f"whose checkpoint is {what}" in message


def test_the_best_one_that_the_tuner_knows_is_no_surprise(run: Run) -> None:
    put(run)
    assert "had not received" not in describe_run(run)


def test_something_better_than_the_tuner_knows_is_spoken_of(run: Run) -> None:
    put(run, **{run.metric: run.incumbent.value + (-1 if run.do_minimize else 1)})
    assert "which the tuner had not received when it ended" in describe_run(run)


@pytest.mark.parametrize("by", [-1, 1])
def test_a_metric_that_no_trial_has_reported_is_not_taken_for_a_late_one(run: Run, by: int) -> None:
    incumbent = run.incumbent
    put(run, **{run.metric: incumbent.value + by})
    (run.path / str(incumbent.trial_id)).mkdir(exist_ok=True)
    log = run.path / str(incumbent.trial_id) / "std.out"
    for value, is_told in ((incumbent.value, True), (incumbent.value + by, False)):
        with log.open("a") as file:
            file.write(f"[tune-metric]: {json.dumps({run.time_attr: incumbent.resource, run.metric: value})}\n")
        assert ("which its trial has never reported" in describe_run(run)) == is_told
        assert ("had not received" in describe_run(run) or "a better result" in describe_run(run)) == (not is_told)


def test_something_better_has_to_be_spoken_of(run: Run) -> None:
    worse = run.incumbent.value + (1 if run.do_minimize else -1)
    put(run, **{run.metric: worse})
    assert "a better result has no whole checkpoint" in describe_run(run)
    (message,) = found(run)
    assert f"while trial {run.incumbent.trial_id} has" in message
    for kind in ("unpublished", "best"):
        event = replace(
            run.events[-1], event=kind, trial_id=run.incumbent.trial_id, reason="torn",
            details={"result": {run.metric: run.incumbent.value}, "checkpoint": None},
        )  # fmt: skip
        assert found(replace(run, events=(*run.events, event))) == []


@pytest.mark.parametrize(("changes", "text"), [
    ({"is_over": True, "is_killed": False}, "a better result has no whole checkpoint\n"),
    ({"is_over": True, "is_killed": True}, "a better result was not published before the tuner was killed"),
    ({"is_over": False, "is_killed": False}, "a better result has no whole checkpoint so far\n"),
])  # fmt: skip
def test_of_a_run_that_may_go_on_nobody_says_that_there_is_no_better_checkpoint(
    run: Run, changes: dict[str, bool], text: str
) -> None:
    put(run, **{run.metric: run.incumbent.value + (1 if run.do_minimize else -1)})
    assert text in describe_run(replace(run, **changes)) + "\n"


def test_a_result_of_a_version_that_did_not_count_files(run: Run) -> None:
    put(run, st_checkpoint={"level": run.incumbent.resource, "launch": 0, "generation": 1, "match": 1})
    assert describe_run(run).endswith("or up to 1 report newer")
    assert found(published(run)) == []
    shutil.rmtree(run.path / "best" / "checkpoint")
    assert "its checkpoint is gone" in describe_run(run)
    assert "its checkpoint is gone" in "".join(found(published(run)))


def published(run: Run) -> Run:
    """The run, with the event of what is in best/."""
    result = json.loads((run.path / "best" / "result.json").read_text())
    event = replace(
        run.events[-1], event="best", trial_id=result.pop("trial_id"),
        details={"checkpoint": result.pop("st_checkpoint"), "result": result},
    )  # fmt: skip
    return replace(run, events=(*run.events, event))


def test_what_was_published_is_there(run: Run) -> None:
    put(run)
    assert found(published(run)) == []


def test_a_checkpoint_that_was_exchanged_for_one_of_the_same_size(run: Run) -> None:
    model = put(run)
    path = run.path / "best" / "result.json"
    result = json.loads(path.read_text())
    result["st_checkpoint"]["fingerprint"] = fingerprint(model.parent)
    path.write_text(json.dumps(result))
    assert found(published(run)) == []
    model.write_text("WEIGHTS")
    (message,) = found(published(run))
    assert "exchanged or changed" in message


@pytest.mark.parametrize("is_gone", [True, False])
def test_best_that_is_gone_or_empty(run: Run, is_gone: bool) -> None:
    put(run)
    run = published(run)
    shutil.rmtree(run.path / "best")
    if not is_gone:
        (run.path / "best").mkdir()
    (message,) = found(run)
    assert ("is not there" if is_gone else "no result that can be read") in message


def test_an_older_best_that_was_put_back(run: Run) -> None:
    put(run)
    run = published(run)
    shutil.rmtree(run.path / "best")
    worse = run.incumbent.value + (1 if run.do_minimize else -1)
    put(run, **{run.metric: worse})
    event = replace(run.events[-1], event="unpublished", details={"result": {run.metric: run.incumbent.value}})
    (message,) = found(replace(run, events=(*run.events, event)))
    assert "was published last" in message


@pytest.mark.parametrize("trial_id", [None, 99])
def test_a_best_of_which_the_tuner_could_not_write_the_event(run: Run, trial_id: int | None) -> None:
    put(run)
    run = published(run)
    shutil.rmtree(run.path / "best")
    better = run.incumbent.value + (-1 if run.do_minimize else 1)
    put(run, **{run.metric: better}, **({} if trial_id is None else {"trial_id": trial_id}))
    assert bool(found(run)) is (trial_id is not None)


@pytest.mark.parametrize(("config", "what"), [('{"x": 1}', ""), ('{"x": 2}', "x differs"), ("{", "cannot be read")])
def test_the_configuration_is_that_of_the_trial(run: Run, config: str, what: str) -> None:
    put(run)
    of_trial = run.path / str(run.incumbent.trial_id) / "config.json"
    of_trial.parent.mkdir(exist_ok=True)
    of_trial.write_text('{"x": 1, "epochs": 3}')
    (run.path / "best" / "config.json").write_text(config)
    assert [what in message for message in found(run)] == ([True] if what else [])


def test_a_checkpoint_that_is_gone_is_not_said_to_be_there(run: Run) -> None:
    put(run).unlink()
    assert describe_run(run).endswith("and its checkpoint is gone")


def redo(run: Run, level: float, before: float) -> Event:
    return replace(run.events[-1], event="redo", trial_id=0, details={"level": level, "first": 1.0, "before": before})


def test_a_trial_that_repeatedly_starts_from_the_beginning(run: Run) -> None:
    once = (*run.events, redo(run, 1, 5))
    assert check_run(replace(run, events=once)) == ()
    (violation,) = check_run(replace(run, events=(*once, redo(run, 1, 9))))
    assert violation.rule == "anew"
    assert "begun at level 1 in 2 launches, the last time after it had reached 9" in violation.message


@pytest.mark.parametrize(("level", "before"), [(4, 5), (1, 1), (5, 5)])
def test_work_that_is_done_again_since_the_last_checkpoint(run: Run, level: float, before: float) -> None:
    again = redo(run, level, before)
    assert check_run(replace(run, events=(*run.events, again, again))) == ()


@pytest.mark.parametrize(
    ("how", "before", "is_violation"), [("lost", 5, False), ("lost", 9, True), ("drained", 5, True)]
)
def test_a_launch_that_was_killed_before_it_got_further_is_repeated(
    run: Run, how: str, before: float, is_violation: bool
) -> None:
    end = replace(run.events[-1], event="exit", trial_id=0, details={"how": how})
    events = (*run.events, redo(run, 1, 5), end, redo(run, 1, before))
    assert bool(check_run(replace(run, events=events))) is is_violation


@pytest.mark.parametrize(("launch", "is_violation"), [(3, False), (2, True)])
def test_a_launch_before_which_an_older_checkpoint_was_put_back_may_report_again_what_it_has_loaded(
    run: Run, launch: int, is_violation: bool
) -> None:
    back = replace(run.events[-1], event="restore", trial_id=0, launch=launch, details={})
    events = (*run.events, redo(run, 1, 5), back, replace(redo(run, 1, 9), launch=3))
    assert bool(check_run(replace(run, events=events))) is is_violation
