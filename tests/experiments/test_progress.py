from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from syne_hypersched.experiments import Event, Report, load_run
from syne_hypersched.experiments._progress import Progress
from tests.experiments.clusters import large_run


def progress_of(*events: Event) -> Progress:
    progress = Progress("loss", True, "epoch", deadline_s=60.0)
    for event in (Event(0.0, "setup", devices=("cpu0", "cpu1"), details={"deadline_s": 59.9}), *events):
        progress.add_event(event)
    return progress


def test_one_line_says_it_all() -> None:
    progress = progress_of(
        Event(0.1, "start", 4), Event(0.2, "launch", 4, ("cpu1",), 0), Event(5.0, "drain", 4, ("cpu1",), 0, "resize")
    )
    assert progress.describe(20.4) == "40 s of 60 s left | no incumbent yet | trial 4*, 1 free"
    progress.add_report(Report(4, 3.0, 2, 0.25, admission_open=True))
    progress.add_report(Report(4, 4.0, 3, 0.5, admission_open=False))
    assert progress.describe(61.0) == (
        "0 s of 60 s left | admission closed | incumbent trial 4: loss 0.2500 at epoch 2 | trial 4*, 1 free"
    )
    assert (progress.num_trials, progress.num_resizes) == (1, 1)


def test_devices_are_free_from_the_exit_on() -> None:
    progress = progress_of(Event(0.2, "launch", 4, ("cpu0", "cpu1"), 0), Event(5.0, "exit", 4, ("cpu0", "cpu1"), 0))
    assert progress.holders == {}
    assert progress.describe_devices() == "2 free"


def test_the_last_decision_is_shown_with_its_reason() -> None:
    pause = Event(3.0, "decision", 4, reason="rank 3 of 4", details={"what": "pause", "numbers": {"rank": 3}})
    close = Event(5.0, "decision", 4, reason="it is late", details={"what": "close", "numbers": {}})
    assert progress_of().describe_decision() == ""
    assert progress_of(pause).describe(0.0).endswith(" | pause trial 4: rank 3 of 4")
    assert progress_of(pause, close).describe_decision() == "close admission: it is late"


def test_without_deadline_and_devices() -> None:
    progress = Progress("loss", True, "epoch")
    assert progress.describe(7.0) == "7 s gone | no incumbent yet"


def test_deadline_that_only_the_backend_knows() -> None:
    progress = Progress("loss", True, "epoch")
    progress.add_event(Event(0.0, "setup", devices=("cpu0",), details={"deadline_s": 30.0}))
    assert progress.describe_time(10.0) == "20 s of 30 s left"


def test_following_a_run_ends_with_what_reading_it_says(simulate: Callable[..., Path]) -> None:
    run = load_run(simulate(num_devices=3, deadline_s=30.0))
    progress = Progress(run.metric, run.do_minimize, run.time_attr)
    for event in run.events:
        progress.add_event(event)
        held = [device for trial in progress.live.values() for device in trial.devices]
        assert len(held) == len(set(held)) == len(progress.holders) <= 3
    for report in run.reports:
        progress.add_report(report)
    assert progress.incumbent == run.incumbent
    assert progress.admission_open is False
    assert progress.holders == {}
    assert progress.num_trials == len({report.trial_id for report in run.reports} | set(progress.last_report))


def test_devices_come_and_go() -> None:
    progress = progress_of(
        Event(0.2, "launch", 4, ("cpu0",), 0),
        Event(1.0, "retire", None, ("cpu0", "cpu1"), details={"present": 0}),
    )
    assert progress.describe_devices() == "trial 4, 1 away"
    progress.add_event(Event(1.5, "exit", 4, ("cpu0",), 0, "pool"))
    assert progress.describe_devices() == "2 away"
    progress.add_event(Event(2.0, "join", None, ("cpu1", "cpu2"), details={"present": 2}))
    assert progress.describe_devices() == "2 free, 1 away"
    progress.add_event(Event(3.0, "lose", None, ("cpu2",), details={"present": 1}))
    assert progress.describe_devices() == "1 free, 2 away"
    assert progress.num_resizes == 0


def test_devices_are_grouped_by_trial() -> None:
    many = tuple(f"gpu{index}" for index in range(8))
    progress = progress_of(Event(0.1, "launch", 3, many, 0), Event(0.2, "launch", 1, ("cpu1",), 0))
    assert progress.describe_devices() == "trial 3 ×8, trial 1, 1 free"


def test_a_line_names_few_of_many_trials() -> None:
    launches = [Event(0.1, "launch", trial_id, (f"gpu{trial_id}",), 0) for trial_id in range(100)]
    assert progress_of(*launches).describe_devices().endswith("trial 11, 88 more trials, 2 free")


def test_a_line_says_which_nodes_are_away() -> None:
    progress = Progress("loss", True, "epoch")
    for event in large_run().run.events:
        progress.add_event(event)
    assert progress.describe_devices().endswith(
        "24 free, 16 away, 30 of 32 nodes, node12 lost at 40 s: no answer for 10 s, node21 drained at 50 s"
    )
    for index in (1, 2, 3):
        devices = tuple(f"node{index}/{slot}" for slot in range(8))
        progress.add_event(Event(60.0, "lose", devices=devices, reason=f"node node{index} is lost: cut"))
    text = progress.describe_devices()
    assert text.endswith(
        "27 of 32 nodes, node1 lost at 60 s: cut, node2 lost at 60 s: cut, node3 lost at 60 s: cut, 2 more nodes away"
    )


def test_the_end_is_the_result() -> None:
    progress = progress_of(Event(0.1, "start", 4))
    assert progress.describe_end(60.02) == [
        "ended after 60.02 s of 60 s: 1 trial, 0 reports, 0 resizes",
        "no trial has reported a finite loss",
    ]
    progress.add_event(Event(59.7, "exit", 4))
    assert progress.describe_end(62.0)[0].startswith(
        "ended by the deadline of 60 s, with results stored at 62 s: 1 trial,"
    )
    progress.add_event(Event(61.7, "exit", 4))
    assert progress.describe_end(62.0)[0].startswith("ended after 62 s, later than the deadline of 60 s: 1 trial, ")
    progress.add_report(Report(4, 3.0, 2, 0.25), {"lr": 0.123456, "act": "relu"})
    progress.add_report(Report(4, 3.0, 3, 0.5), {"lr": 0.123456, "act": "relu"})
    assert progress.describe_end(60.0, "my run")[1:] == [
        "best loss 0.2500: trial 4 at epoch 2",
        "configuration: lr=0.1235, act=relu",
        "all results: hypersched report 'my run'",
    ]
