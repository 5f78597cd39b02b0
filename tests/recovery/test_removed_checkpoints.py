"""Checkpoints that are removed while an experiment is journaled, and what a resume makes of it."""

from __future__ import annotations

import pytest

from syne_hypersched.experiments import check_run, load_run


def removed(experiments, name):
    return {event.trial_id: event.time_s for event in experiments.events(name, "remove_checkpoint")}


def with_checkpoints(experiments, name):
    return {int(path.parent.name) for path in experiments.path(name).glob("*/checkpoints")}


def test_no_trial_goes_on_whose_checkpoint_is_gone(experiments):
    process = experiments.start("hypersched", "killed", delete_checkpoints=True)
    experiments.wait_for(lambda: removed(experiments, "killed"))
    process.kill()
    process.wait()
    # Of a removal that was begun: what has been put aside is to go as well.
    (first, *_) = removed(experiments, "killed")
    aside = experiments.path("killed") / str(first) / ".checkpoints-removed"
    aside.mkdir()
    (aside / "weights").write_bytes(b"half of it")
    num_lines = experiments.num_lines("killed")
    process = experiments.resume("killed", "--time-passes", "running")
    experiments.wait_for(lambda: experiments.num_lines("killed") > num_lines + 50)
    experiments.enough()
    assert process.wait() == 0, experiments.log()
    gone = removed(experiments, "killed")
    for event in experiments.events("killed", "start", "resume", "launch"):
        assert event.time_s < gone.get(event.trial_id, float("inf"))
    run = load_run(experiments.path("killed"), time_attr="epoch")
    assert check_run(run) == ()
    trials = {report.trial_id for report in run.reports}
    assert with_checkpoints(experiments, "killed") <= trials - set(gone)
    assert not aside.exists()
    assert (experiments.path("killed") / "best" / "checkpoint").is_dir()


@pytest.mark.slow
def test_what_a_resume_may_need_stays_at_the_end(experiments):
    process = experiments.start("one-by-one", "ended", delete_checkpoints=True)
    assert process.wait() == 0, experiments.log()
    table = experiments.results("ended")
    paused = set(table.groupby("trial_id").st_decision.last().loc[lambda decision: decision == "PAUSE"].index)
    assert paused
    assert paused <= with_checkpoints(experiments, "ended")
    assert not paused & set(removed(experiments, "ended"))
