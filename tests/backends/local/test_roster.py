"""Records of trials that have ended for good are dropped; those that may go on are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._roster import Roster
from syne_hypersched.backends.shared.reconcile import Phase


def idle_trial(trial_id: int, status: str) -> TrialProcesses:
    return TrialProcesses(trial_id, Path("std.out"), Path("std.err"), status=status)


def roster_of(*trials: TrialProcesses) -> Roster:
    roster = Roster()
    for trial in trials:
        roster[trial.trial_id] = trial
        roster.note(trial)
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
    trial.status = Status.paused
    roster.forget_ended(watched=[])
    assert roster[0] is trial


def test_reports_that_the_tuner_has_not_seen_are_kept_unless_it_has_stopped_the_trial() -> None:
    completed, stopped = idle_trial(0, Status.completed), idle_trial(1, Status.stopped)
    completed.queue.append({"epoch": 1})
    stopped.queue.append({"epoch": 1})
    roster = roster_of(completed, stopped)
    roster.forget_ended(watched=[])
    assert (list(roster), list(roster.ended)) == ([0], [1])


@pytest.mark.parametrize("what", [{"wants": 1}, {"phase": Phase.DRAINING}])
def test_a_trial_that_wants_or_holds_devices_is_active(what: dict[str, Any]) -> None:
    trial = TrialProcesses(0, Path("std.out"), Path("std.err"), status=Status.stopped, **what)
    roster = roster_of(trial)
    roster.forget_ended(watched=[])
    assert roster[0] is trial
    assert roster.active == (trial,)
    trial.wants, trial.phase = 0, Phase.IDLE
    roster.note(trial)
    assert roster.active == ()
    roster.forget_ended(watched=[])
    assert not roster


def test_a_paused_trial_is_forgotten_when_it_has_gone_on_and_ended() -> None:
    trial = idle_trial(0, Status.paused)
    roster = roster_of(trial)
    roster.forget_ended(watched=[])
    trial.wants, trial.status = 1, Status.in_progress
    roster.note(trial)
    assert roster.active == (trial,)
    trial.wants, trial.status = 0, Status.completed
    roster.note(trial)
    roster.forget_ended(watched=[])
    assert (dict(roster), roster.ended) == ({}, {0: Status.completed})
