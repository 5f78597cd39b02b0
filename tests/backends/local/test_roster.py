"""Records of ended trials are dropped; those of trials that may go on are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._roster import Roster


def idle_trial(trial_id: int, status: str) -> TrialProcesses:
    return TrialProcesses(trial_id, Path("std.out"), Path("std.err"), status=status)


def roster_of(*trials: TrialProcesses) -> Roster:
    roster = Roster()
    for trial in trials:
        roster[trial.trial_id] = trial
        roster.place(trial)
    return roster


@pytest.mark.parametrize("status", [Status.completed, Status.failed, Status.stopped])
def test_a_trial_that_has_ended_leaves_its_status(status: str) -> None:
    roster = roster_of(idle_trial(0, status))
    roster.forget_ended(watched=[])
    assert (dict(roster), roster.ended) == ({}, {0: status})


@pytest.mark.parametrize("status", [Status.paused, Status.in_progress])
def test_a_trial_that_may_go_on_is_kept(status: str) -> None:
    trial = idle_trial(0, status)
    roster = roster_of(trial)
    roster.forget_ended(watched=[])
    assert (dict(roster), roster.ended) == ({0: trial}, {})


def test_a_trial_is_kept_until_the_tuner_asks_for_it_no_more() -> None:
    roster = roster_of(idle_trial(0, Status.completed), idle_trial(1, Status.completed))
    roster.forget_ended(watched=[0])
    assert (list(roster), list(roster.ended)) == ([0], [1])
    roster.forget_ended(watched=[])
    assert not roster


def test_a_trial_that_is_paused_at_the_last_report_of_its_script_is_kept() -> None:
    trial = idle_trial(0, Status.completed)
    roster = roster_of(trial)
    roster.forget_ended(watched=[0])
    trial.halt(Status.paused, "pause", order=1)
    roster.forget_ended(watched=[])
    assert roster[0] is trial


def test_reports_that_the_tuner_has_not_seen_are_kept_unless_it_has_stopped_the_trial() -> None:
    completed, stopped = idle_trial(0, Status.completed), idle_trial(1, Status.stopped)
    for trial in (completed, stopped):
        assert trial.reports.accept({"epoch": 1}, "epoch", now=0.0) is not None
    roster = roster_of(completed, stopped)
    roster.forget_ended(watched=[])
    assert (list(roster), list(roster.ended)) == ([0], [1])


@pytest.mark.parametrize("is_launched", [False, True])
def test_a_trial_that_wants_or_holds_devices_is_active(is_launched: bool) -> None:
    trial = idle_trial(0, Status.in_progress)
    trial.start(1, order=1)
    if is_launched:
        trial.begin_launch(1)
        trial.take_handle(0)
        trial.halt(Status.stopped, "stop", order=2)
        trial.begin_drain()
    roster = roster_of(trial)
    roster.forget_ended(watched=[])
    assert roster[0] is trial
    assert roster.active == (trial,)
    if is_launched:
        trial.exit()
    else:
        trial.halt(Status.stopped, "stop", order=2)
    roster.place(trial)
    assert roster.active == ()
    roster.forget_ended(watched=[])
    assert not roster


def test_a_paused_trial_is_forgotten_when_it_has_gone_on_and_ended() -> None:
    trial = idle_trial(0, Status.paused)
    roster = roster_of(trial)
    roster.forget_ended(watched=[])
    trial.start(1, order=1)
    roster.place(trial)
    assert roster.active == (trial,)
    trial.begin_launch(1)
    trial.take_handle(0)
    trial.exit()
    trial.finish(Status.completed, order=2)
    roster.place(trial)
    roster.forget_ended(watched=[])
    assert (dict(roster), roster.ended) == ({}, {0: Status.completed})


def test_only_logs_that_may_have_grown_are_read(tmp_path: Path) -> None:
    trials = [TrialProcesses(number, tmp_path / str(number), tmp_path / "err") for number in range(3)]
    for order, trial in enumerate(trials, 1):
        trial.stdout_path.write_text('[tune-metric]: {"epoch": 1}\n')
        trial.start(1, order=order)
    roster = roster_of(*trials)
    assert roster.look() == {0, 1, 2}, "they were not opened yet"
    for trial in trials:
        trial.reports.tail.reports()
    assert roster.look() == set()
    for trial in trials[:2]:
        with open(trial.stdout_path, "a") as log:
            log.write('[tune-metric]: {"epoch": 2}\n')
    assert roster.look(grown={1}) == {1}
    assert [len(trial.reports.tail.reports()) for trial in trials[1:]] == [1, 0]
    assert roster.look(grown=set()) == set()
    assert roster.look() == {0}


def test_a_log_that_was_not_read_to_its_end_is_read_on(tmp_path: Path) -> None:
    trial = TrialProcesses(0, tmp_path / "out", tmp_path / "err")
    trial.stdout_path.write_text('[tune-metric]: {"epoch": 0}\n')
    trial.start(1, order=1)
    roster = roster_of(trial)
    roster.look()
    num_read, num_reports = len(trial.reports.tail.reports()), 250_000
    with open(trial.stdout_path, "a") as log:
        log.writelines(f'[tune-metric]: {{"epoch": {epoch}}}\n' for epoch in range(num_reports))
    found = roster.look(grown={0})
    while found:
        num_read += len(trial.reports.tail.reports())
        found = roster.look(grown=set())
    assert num_read == 1 + num_reports
