from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syne_hypersched.experiments import Event, Report, Run, check_devices, check_reports, check_run, load_run
from tests.thoroughness import examples

runs = settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 10_000)


def rules(run: Run) -> set[str]:
    return {violation.rule for violation in check_run(run)}


@runs
@given(seed=seeds, num_devices=st.integers(1, 5))
def test_a_sound_run_breaks_no_rule(simulate: Callable[..., Path], seed: int, num_devices: int) -> None:
    assert check_run(load_run(simulate(num_devices, 20.0, seed))) == ()


@runs
@given(seed=seeds, data=st.data())
def test_a_report_delivered_twice_is_found(simulate: Callable[..., Path], seed: int, data: st.DataObject) -> None:
    run = load_run(simulate(2, 20.0, seed))
    again = data.draw(st.sampled_from(run.reports))
    assert rules(replace(run, reports=(*run.reports, again))) == {"twice"}


@runs
@given(seed=seeds, data=st.data())
def test_a_lost_report_is_found(simulate: Callable[..., Path], seed: int, data: st.DataObject) -> None:
    run = load_run(simulate(2, 20.0, seed))
    last = {report.trial_id: report.resource for report in run.reports}
    inner = [report for report in run.reports if 1 < report.resource < last[report.trial_id]]
    lost = data.draw(st.sampled_from(inner))
    broken = replace(run, reports=tuple(report for report in run.reports if report is not lost))
    (violation,) = check_run(broken, step=1)
    assert (violation.rule, violation.trial_id) == ("missing", lost.trial_id)
    # Without a step, what a launch leaves out between two of its own reports is the script's choice, and without a log
    # another trial must have reported it.
    ends_a_launch = {
        (before.trial_id, level.resource)
        for before, after in pairwise(sorted(run.reports, key=lambda report: (report.trial_id, report.resource)))
        if before.trial_id == after.trial_id and before.launch != after.launch
        for level in (before, after)
    }
    is_known = any(other.trial_id != lost.trial_id and other.resource == lost.resource for other in run.reports)
    is_found = is_known and (lost.trial_id, lost.resource) in ends_a_launch
    assert rules(broken) == ({"missing"} if is_found else set())
    assert f"level {lost.resource + 1:g} after {lost.resource - 1:g}" in violation.message


@runs
@given(seed=seeds, data=st.data())
def test_a_launch_before_the_last_exit_is_found(simulate: Callable[..., Path], seed: int, data: st.DataObject) -> None:
    run = load_run(simulate(3, 20.0, seed))
    launched_again = {(event.trial_id, event.launch) for event in run.events if event.event == "launch"}
    exits = [
        event
        for event in run.events
        if event.event == "exit" and (event.trial_id, (event.launch or 0) + 1) in launched_again
    ]
    if not exits:
        return
    lost = data.draw(st.sampled_from(exits))
    assert "launches" in rules(replace(run, events=tuple(event for event in run.events if event is not lost)))


def launch(trial_id: int, *devices: str) -> Event:
    return Event(1.0, "launch", trial_id, devices, 0)


def gone(trial_id: int) -> Event:
    return Event(2.0, "exit", trial_id, (), 0)


@pytest.mark.parametrize(
    ("events", "rule", "message"),
    [
        ([launch(0, "a"), launch(1, "a")], "owners", "trial 1 was given a, which trial 0 held"),
        ([launch(0, "a", "a")], "owners", "trial 0 was given a, which itself held"),
        ([launch(0, "c")], "devices", "trial 0 was given c, which is none of a, b"),
        ([launch(0, "a", "b"), launch(1, "b")], "devices", "trial 1 took 1 device, which makes 3 held of 2"),
        ([launch(0, "a"), launch(0, "b")], "launches", "trial 0 was launched while launch 0 still held a"),
    ],
)
def test_each_rule_about_devices(events: list[Event], rule: str, message: str) -> None:
    found = check_devices(events, ("a", "b"))
    assert any(violation.rule == rule and message in violation.message for violation in found)


def test_devices_may_go_from_hand_to_hand() -> None:
    events = [launch(0, "a", "b"), gone(0), launch(1, "a"), launch(2, "b"), gone(2), launch(0, "b"), gone(1), gone(0)]
    assert check_devices(events, ("a", "b")) == ()


def test_levels_may_lie_further_apart_when_the_script_says_so(simulate: Callable[..., Path]) -> None:
    run = load_run(simulate())
    wide = [replace(report, resource=5 * report.resource) for report in run.reports]
    assert check_reports(wide, step=5) == check_reports(wide) == ()
    assert {violation.rule for violation in check_reports(wide, step=1)} == {"missing"}
    with pytest.raises(ValueError, match="step must be positive, but got 0"):
        check_run(run, step=0)


def report(level: float, launch: int, iteration: int | None, trial_id: int = 0) -> Report:
    return Report(trial_id, 1.0, level, 0.5, 1, launch, iteration=iteration)


@pytest.mark.parametrize(
    ("reported", "twice"),
    [
        # The script's own: training and validation, each reported.
        ([(1, 0), (1, 0), (2, 0), (2, 0)], []),
        # A launch that has ended between the two.
        ([(1, 0), (1, 0), (2, 0), (2, 1), (3, 1), (3, 1)], []),
        # Work done again that the backend has not recognised.
        ([(1, 0), (2, 0), (2, 1)], [2]),
        ([(1, 0), (1, 0), (2, 0), (2, 0), (2, 1), (2, 1)], [2]),
    ],
)
def test_a_script_may_report_a_level_twice_but_a_backend_may_not(
    reported: list[tuple[int, int]], twice: list[int]
) -> None:
    reports = [report(level, launch, iteration) for iteration, (level, launch) in enumerate(reported)]
    found = [violation.message for violation in check_reports(reports) if violation.rule == "twice"]
    assert len(found) == len(twice)
    assert all(f"level {level} " in message for level, message in zip(twice, found, strict=True))
    # One report that comes twice is never the script's.
    assert {violation.rule for violation in check_reports([*reports, reports[0]])} == {"twice"}


UNEVEN = [report(level, 0, iteration) for iteration, level in enumerate((0.5, 1, 4, 9, 16))]


@pytest.mark.parametrize(
    ("reported", "in_log", "lost"),
    [
        # Whatever a launch leaves out is its own choice.
        ([(1, 0), (4, 0), (9, 0)], (1, 4, 9), None),
        ([(1, 0), (4, 0), (9, 0)], (1, 2, 3, 4, 9), None),
        ([(0.5, 0), (1, 0), (1.5, 0)], None, None),
        # Between two launches the log decides.
        ([(1, 0), (4, 0), (9, 1), (16, 1)], (1, 4, 9, 16), None),
        ([(1, 0), (9, 1), (16, 1)], (1, 4, 9, 16), 4),
        ([(1, 0), (2, 1)], (1, 1.5, 2), 1.5),
        ([(1, 0), (3, 1)], (1, 3), None),
        # Without a log: what other trials have reported, unless a launch has left out as much.
        ([(4, 0), (16, 1)], None, 9),
        ([(1, 0), (9, 1)], None, 4),
        ([(9, 0), (16, 1)], None, None),
        ([(1, 0), (4, 1)], None, None),
        ([(1, 0), (100, 1)], None, 4),
    ],
)
def test_a_level_is_missing_only_between_two_launches(
    reported: list[tuple[float, int]], in_log: tuple[float, ...] | None, lost: float | None
) -> None:
    reports = [report(level, launch, iteration, trial_id=1) for iteration, (level, launch) in enumerate(reported)]
    found = check_reports([*UNEVEN, *reports], levels_in_log=lambda trial_id: in_log)
    assert [(violation.rule, violation.trial_id) for violation in found] == [("missing", 1)] * (lost is not None)
    assert lost is None or found[0].message.endswith(f" has level {lost:g}")


def test_levels_in_seconds_lie_anywhere(simulate: Callable[..., Path]) -> None:
    run = load_run(simulate())
    reports = tuple(replace(report, resource=0.37 * report.resource) for report in run.reports)
    assert {violation.rule for violation in check_run(replace(run, reports=reports), step=1)} == {"missing"}
    for time_attr in ("st_worker_time", "st_device_time"):
        assert rules(replace(run, reports=reports, time_attr=time_attr)) == set()


def test_run_without_a_record_of_its_devices_cannot_be_checked() -> None:
    with pytest.raises(ValueError, match="must have an event 'setup'"):
        check_run(Run("loss", True, "epoch"))


def pool_story(*events: Event) -> list[str]:
    return [violation.message for violation in check_devices(events, ("a", "b"))]


def test_a_pool_that_changes_breaks_no_rule() -> None:
    launch, end = Event(1.0, "launch", 0, ("a", "b"), 0), Event(3.0, "exit", 0, ("a", "b"), 0, "pool")
    retire = Event(2.0, "retire", None, ("b",), details={"present": 1})
    join = Event(4.0, "join", None, ("b", "c"), details={"present": 3})
    assert pool_story(launch, retire, end, Event(3.0, "launch", 0, ("a",), 1)) == []
    assert pool_story(launch, retire, end, join, Event(5.0, "launch", 0, ("a", "b", "c"), 1)) == []


def test_a_launch_that_was_ordered_before_its_device_retired_breaks_no_rule() -> None:
    retire = Event(2.0, "retire", None, ("b",), details={"present": 1, "holders": {"b": 0}})
    launch, end = Event(2.1, "launch", 0, ("a", "b"), 0), Event(3.0, "exit", 0, ("a", "b"), 0, "pool")
    assert pool_story(retire, launch, end) == []
    again, other = Event(4.0, "launch", 0, ("b",), 1), Event(2.2, "launch", 1, ("b",), 0)
    assert len(pool_story(retire, launch, end, again)) == 1, "once it has given it back"
    assert len(pool_story(retire, other)) == 1, "another one"


@pytest.mark.parametrize("how", ["retire", "lose"])
def test_a_launch_on_a_device_that_was_given_back_is_found(how: str) -> None:
    gone = Event(2.0, how, None, ("b",), details={"present": 1})
    assert pool_story(gone, Event(3.0, "launch", 7, ("a", "b"), 0)) == [
        "at 3.000 s trial 7 was given b, which had been given back, or is lost"
    ]
    assert pool_story(Event(3.0, "launch", 7, ("c",), 0)) == ["at 3.000 s trial 7 was given c, which is none of a, b"]


def test_devices_that_are_prepared_are_held():
    events = [
        Event(1.0, "launch", 0, ("a",), 0),
        Event(2.0, "prepare", 0, ("a", "b"), 0),
        Event(3.0, "launch", 1, ("b",), 0),
        Event(4.0, "abandon", 0, ("a",), 0),
    ]
    (violation,) = check_devices(events, ("a", "b"))[:1]
    assert violation.rule == "owners"
    assert check_devices([events[0], events[1], events[3], events[2]], ("a", "b")) == ()
