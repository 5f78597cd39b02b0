"""A short run with all kinds of faults, and its checks: they must find violations."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarking.faults import chaos, chaos_script
from benchmarking.faults.chaos import Call, RestlessASHA, replay, run, wrong_reports
from syne_hypersched.experiments import Report

pytestmark = pytest.mark.usefixtures("no_process_left")


def test_nothing_is_lost_whatever_goes_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    outcome = run(num_reports=150, seed=1, mean_pause_s=0.25, folder=tmp_path)
    assert outcome.wrong == []
    # It has been a run, and not an undisturbed one.
    assert outcome.num_reports >= 100
    assert outcome.faults.total() >= 5
    assert outcome.num_retries + outcome.ends["lost"] >= 3


def test_a_checkpoint_that_is_torn_is_left_out_for_the_one_before(tmp_path):
    for epoch in (1, 2, 3):
        chaos_script.write_checkpoint(tmp_path, epoch, f"state {epoch}")
    assert chaos_script.read_checkpoint(tmp_path) == (3, "state 3")
    newest = chaos_script.newest_checkpoint(tmp_path)
    newest.write_text(newest.read_text()[:-7])
    assert chaos_script.read_checkpoint(tmp_path) == (2, "state 2")
    newest = chaos_script.newest_checkpoint(tmp_path)
    newest.write_text(newest.read_text().replace("state", "estat"))  # whole, but not what was written
    assert chaos_script.read_checkpoint(tmp_path) is None


def test_a_plain_writer_has_one_checkpoint_and_fails_if_it_is_torn(tmp_path):
    for epoch in (1, 2, 3):
        chaos_script.write_checkpoint(tmp_path, epoch, f"state {epoch}", "plain")
    assert chaos_script.read_checkpoint(tmp_path, "plain") == (3, "state 3")
    (path,) = tmp_path.iterdir()
    assert chaos_script.newest_checkpoint(tmp_path) == path
    path.write_text(path.read_text()[:-7])
    with pytest.raises(ValueError, match="torn"):
        chaos_script.read_checkpoint(tmp_path, "plain")
    path.unlink()
    assert chaos_script.read_checkpoint(tmp_path, "plain") is None


def recorded_calls(num_suggestions=6):
    """A scheduler with trials that report one after the other until they are paused."""
    scheduler = RestlessASHA(seed=0, slow_exit_s=0.0)
    trials = {}
    for _ in range(num_suggestions):
        suggestion = scheduler.suggest()
        if suggestion.spawn_new_trial_id:
            trial = trials[len(trials)] = chaos.Trial(len(trials), suggestion.config, None)
            scheduler.on_trial_add(trial)
        else:
            trial = trials[suggestion.checkpoint_trial_id]
        for epoch in range(1, 4) if suggestion.spawn_new_trial_id else range(4, 10):
            scheduler.on_trial_result(trial, {"epoch": epoch, "loss": chaos.loss_at(trial.config["x"], epoch)})
        scheduler.on_trial_remove(trial)
    return scheduler


def test_a_replay_of_what_was_recorded_finds_no_difference():
    assert list(replay(recorded_calls(), RestlessASHA(seed=0, slow_exit_s=0.0))) == []


@pytest.mark.parametrize("what", ["lost", "doubled", "wrong"])
def test_a_replay_finds_a_report_that_was_lost_doubled_or_wrong(what):
    recorded = recorded_calls()
    index = next(i for i, call in enumerate(recorded.calls) if call == Call("result", 2, "PAUSE"))
    if what == "lost":
        del recorded.calls[index - 1]
    elif what == "doubled":
        recorded.calls.insert(index, recorded.calls[index - 1])
    else:
        recorded._brackets[0].ladder.rungs[0].record(99, 0.5)
    assert list(replay(recorded, RestlessASHA(seed=0, slow_exit_s=0.0))) != []


def test_a_report_with_another_value_than_that_of_uninterrupted_training_is_found():
    good = tuple(Report(0, float(epoch), epoch, chaos.loss_at(0.25, epoch)) for epoch in (1, 2, 3))

    def found(reports):
        return list(wrong_reports(reports, {0: 0.25}))

    assert found(good) == []
    assert len(found((*good[:2], dataclasses.replace(good[2], value=good[2].value + 1e-6)))) == 1
    assert len(found((good[0], good[2]))) == 1
    assert len(found((*good, good[2]))) == 1
