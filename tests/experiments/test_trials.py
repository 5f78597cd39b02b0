from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from syne_hypersched.experiments import (
    Event,
    Holding,
    Report,
    Run,
    format_trials,
    launch_costs_s,
    load_run,
    trial_table,
)


def report(
    trial_id: int,
    resource: float,
    worker_time_s: float,
    signal_to_report_s: float | None = None,
    launch: int = 0,
    num_devices: int = 1,
) -> Report:
    return Report(trial_id, 0.0, resource, 0.5, num_devices, launch, signal_to_report_s, worker_time_s)


def test_launch_cost_is_signal_to_report_less_the_training_in_between() -> None:
    reports = [
        report(0, 1, 2.0, signal_to_report_s=3.5),
        report(0, 2, 4.0),
        report(0, 3, 6.2),
        # On two devices an epoch takes 1.1 s, and two were trained before the first report.
        report(0, 5, 8.4, signal_to_report_s=2.6, launch=1, num_devices=2),
        report(0, 6, 9.5, launch=1, num_devices=2),
    ]
    assert launch_costs_s(reports) == pytest.approx({(0, 0): 3.5 - 2.1, (0, 1): 2.6 - 2 * 1.1})


def test_a_trial_with_one_report_is_measured_by_the_others() -> None:
    reports = [report(0, 1, 1.0, 1.5), report(0, 2, 2.0), report(1, 1, 1.0, 1.2), report(2, 1, 1.0, 0.4)]
    assert launch_costs_s(reports) == pytest.approx({(0, 0): 0.5, (1, 0): 0.2, (2, 0): 0.0})


def test_a_launch_without_a_report_has_cost_all_its_time() -> None:
    held = [Holding(0, 0, ("a",), 1.0, 3.5), Holding(0, 1, ("a",), 4.0, None)]
    assert launch_costs_s([], held) == {(0, 0): 2.5}


def test_cost_is_unknown_when_no_epoch_was_ever_measured() -> None:
    assert launch_costs_s([report(0, 1, 1.0, 1.5)]) == {}


def test_table_of_a_run(simulate: Callable[..., Path]) -> None:
    run = load_run(simulate(num_devices=2, deadline_s=40.0, seed=1))
    trials = trial_table(run)
    assert sorted(trial.trial_id for trial in trials) == sorted({report.trial_id for report in run.reports})
    assert [trial.best for trial in trials] == sorted((trial.best for trial in trials), reverse=True)
    assert {trial.status for trial in trials} == {"paused", "deadline"}
    for trial in trials:
        reports = [report for report in run.reports if report.trial_id == trial.trial_id]
        launches = {report.launch for report in reports}
        assert trial.resource == reports[-1].resource
        assert trial.last == reports[-1].value
        assert trial.max_devices == max(report.num_devices or 0 for report in reports)
        assert trial.num_launches is not None
        assert trial.num_launches >= len(launches)
        # The simulated launches cost a quarter of a second, but for what the last one had no time to report.
        assert trial.launch_cost_s == pytest.approx(0.255 * trial.num_launches, abs=0.02 * trial.num_launches + 1.5)
    grown = [trial for trial in trials if trial.max_devices == 2]
    assert grown
    assert grown[0].num_devices == 2


@pytest.mark.parametrize(
    ("last_events", "status"),
    [
        ([Event(2.0, "pause", 0), Event(2.1, "exit", 0, ("a",), 0, "pause")], "paused"),
        ([Event(2.0, "pause", 0), Event(2.1, "exit", 0, ("a",), 0, "pause"), Event(3.0, "resume", 0)], "in progress"),
        ([Event(2.0, "stop", 0), Event(2.1, "exit", 0, ("a",), 0, "stop")], "stopped"),
        ([Event(2.1, "exit", 0, ("a",), 0, "deadline"), Event(2.2, "stop", 0)], "deadline"),
        ([Event(2.1, "exit", 0, ("a",), 0), Event(2.2, "complete", 0)], "completed"),
        ([Event(2.1, "exit", 0, ("a",), 0), Event(2.2, "fail", 0)], "failed"),
        ([], "in progress"),
    ],
)
def test_status_of_a_trial(last_events: list[Event], status: str) -> None:
    events = (Event(0.0, "start", 0), Event(0.1, "launch", 0, ("a",), 0), *last_events)
    (trial,) = trial_table(Run("loss", True, "epoch", events=events))
    assert trial.status == status
    assert (trial.best, trial.last, trial.resource) == (None, None, 0)


def test_without_events_the_decisions_tell_the_status() -> None:
    reports = tuple(
        Report(index, 1.0, 1, 0.5, decision=name) for index, name in enumerate(("CONTINUE", "PAUSE", "STOP"))
    )
    trials = trial_table(Run("loss", True, "epoch", reports))
    assert [trial.status for trial in trials] == ["in progress", "paused", "stopped"]
    assert {(trial.num_launches, trial.max_devices, trial.launch_cost_s) for trial in trials} == {(None, None, None)}


def test_trials_without_a_finite_metric_come_last() -> None:
    values = {0: float("nan"), 1: 0.4, 2: float("inf"), 3: 0.1}
    reports = tuple(Report(trial_id, 1.0, 1, value) for trial_id, value in values.items())
    assert [trial.trial_id for trial in trial_table(Run("loss", True, "epoch", reports))] == [3, 1, 0, 2]


def test_text_is_aligned_and_marks_what_is_unknown() -> None:
    reports = (Report(0, 1.0, 12, 0.5), Report(1, 1.0, 3, 0.25))
    text = format_trials(trial_table(Run("loss", True, "epoch", reports)), "loss", "epoch")
    header, first, second = text.splitlines()
    assert header.split()[:3] == ["trial", "best", "loss"]
    assert first.split() == ["1", "0.2500", "0.2500", "3", "-", "-", "-", "-", "in", "progress"]
    assert second.index("12") + 2 == header.index("epoch") + len("epoch")


def test_a_trial_that_the_end_of_the_run_has_cut_off_is_unfinished() -> None:
    waits_for_its_retry = (
        Event(0.0, "start", 0), Event(0.1, "launch", 0, ("a",), 0),
        Event(1.0, "exit", 0, ("a",), 0, details={"how": "failed"}), Event(1.0, "retry", 0, (), 0),
        Event(0.0, "start", 1), Event(1.0, "fail", 1, (), 0),
    )  # fmt: skip
    for is_over, status in ((False, "in progress"), (True, "unfinished")):
        run = Run("loss", True, "epoch", events=waits_for_its_retry, is_over=is_over)
        assert {trial.trial_id: trial.status for trial in trial_table(run)} == {0: status, 1: "failed"}
    without_events = Run("loss", True, "epoch", (Report(0, 1.0, 1, 0.5), Report(1, 1.0, 1, 0.4, decision="STOP")))
    assert [trial.status for trial in trial_table(without_events)] == ["stopped", "in progress"]


def test_a_trial_that_waited_at_the_deadline_is_called_like_those_that_ran() -> None:
    at_the_deadline = (
        Event(0.0, "start", 0), Event(0.1, "launch", 0, ("a",), 0), Event(0.5, "stop", 0, ("a",), 0),
        Event(0.6, "exit", 0, ("a",), 0, reason="stop"),
        Event(0.0, "start", 1), Event(0.1, "launch", 1, ("b",), 0),
        Event(0.7, "start", 2),
        Event(1.0, "exit", 1, ("b",), 0, reason="deadline"),
    )  # fmt: skip
    run = Run("loss", True, "epoch", events=at_the_deadline, is_over=True)

    def statuses(run: Run) -> dict[int, str]:
        return {trial.trial_id: trial.status for trial in trial_table(run)}

    assert statuses(run) == {0: "stopped", 1: "deadline", 2: "deadline"}
    assert statuses(replace(run, is_killed=True))[2] == "unfinished", "it was resumed, and killed after that"
    interrupted = (*at_the_deadline[:-1], replace(at_the_deadline[-1], reason="stop"))
    assert set(statuses(replace(run, events=interrupted)).values()) == {"stopped", "unfinished"}


def test_columns_that_matter_least_are_left_out_where_there_is_no_room(simulate: Callable[..., Path]) -> None:
    trials = trial_table(load_run(simulate()))
    whole = format_trials(trials, "accuracy", "epoch")
    lengths = []
    for columns in (200, 75, 60, 40, 10):
        lines = format_trials(trials, "accuracy", "epoch", columns).splitlines()
        assert len(lines) == len(whole.splitlines())
        lengths.append(max(map(len, lines)))
        assert lengths[-1] <= columns or columns == 10
        names = lines[0].split()
        assert (names[0], names[-1], "epoch" in names) == ("trial", "status", True), (
            "what names a trial and its result stays"
        )
    assert lengths == sorted(lengths, reverse=True)
    assert format_trials(trials, "accuracy", "epoch", 200) == whole
