"""What is said about what was observed, without a process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syne_hypersched.check._judge import judge
from syne_hypersched.check._stages import Observed
from syne_hypersched.check._trace import LaunchTrace
from syne_hypersched.checkpoints import Change

LOSSES = {1: 1.0, 2: 0.5, 3: 0.25, 4: 0.125}


def launch(*epochs, num_devices=1, losses=LOSSES, **fields):
    """A launch that saves before each of its reports."""
    reports = tuple({"epoch": epoch, "loss": losses[epoch], "batch_size": 8} for epoch in epochs)
    changes = tuple(Change(kind, "state") for _ in epochs for kind in ("created", "closed"))
    places = tuple((2 * number, 2 * number) for number in range(1, len(epochs) + 1))
    return LaunchTrace(num_devices, reports, places, changes, **fields)


RIGHT = Observed(
    alone=launch(1, 2, 3, 4),
    terminated=launch(1, 2, leave_s=0.1, exit_code=75, num_before_signal=2),
    resized=launch(3, 4, num_devices=2),
    resumed=launch(3, 4),
    killed=launch(1, 2, exit_code=-9, num_before_signal=2),
    restarted=launch(3, 4),
    torn=[("state half written", launch(3, 4))],
    num_torn=2,
    num_before=2,
    num_resumed=2,
    num_devices=2,
)


def failures(**seen):
    _, rows = judge(replace(RIGHT, **seen), None, None, 5.0, 0.05)
    assert all(row.advice for row in rows if row.status == "FAIL")
    return {row.name for row in rows if row.status == "FAIL"}


def test_all_is_right():
    names, rows = judge(RIGHT, None, None, 5.0, 0.05)
    assert (names.resource, names.metric) == ("epoch", "loss")
    assert {row.status for row in rows} == {"PASS"}
    assert not any(row.advice for row in rows)


WHERE = "goes on where it was"


@pytest.mark.parametrize(
    ("row", "seen"),
    [
        ("runs", {"alone": launch(exit_code=1, last_words="ValueError")}),
        ("runs", {"alone": replace(launch(1, 2), is_silent=True)}),
        ("reports", {"alone": launch(exit_code=0)}),
        ("reports", {"resized": replace(launch(3, num_devices=2), reports=({"epoch": 3},))}),
        ("checkpoint found", {"alone": replace(launch(1, 2, 3, 4), changes=(), places=((0, 0),) * 4)}),
        ("checkpoint before report", {"alone": replace(launch(1, 2, 3, 4), places=((0, 0), (2, 2), (4, 4), (6, 6)))}),
        ("leaves on SIGTERM", {"terminated": replace(RIGHT.terminated, was_killed=True, exit_code=-9)}),
        ("leaves on SIGTERM", {"terminated": replace(RIGHT.terminated, exit_code=1)}),
        ("leaves on SIGTERM", {"terminated": launch(1, 2, 3, 4, leave_s=1.0, exit_code=0, num_before_signal=2)}),
        (
            "only whole epochs reported",
            {
                "terminated": launch(1, 2, 3, losses=LOSSES | {3: 0.4}, leave_s=0.1, exit_code=75, num_before_signal=2),
                "resized": launch(4, num_devices=2),
            },
        ),
        (WHERE, {"resized": launch(1, 2, num_devices=2)}),
        (WHERE, {"resized": launch(2, 3, num_devices=2)}),
        (WHERE, {"resized": launch(4, num_devices=2)}),
        # It reports what was left to report, and then begins anew.
        (WHERE, {"resized": replace(launch(2, 1, num_devices=2), places=((0, 0), (2, 2)))}),
        (WHERE, {"terminated": launch(2, 3, leave_s=0.1, exit_code=75, num_before_signal=2)}),
        (WHERE, {"resumed": launch(exit_code=1), "resized": launch(num_devices=2, exit_code=1)}),
        (WHERE, {"resumed": replace(launch(3), is_silent=True)}),
        ("other number of devices", {"resized": launch(num_devices=2, exit_code=1)}),
        ("whole after a kill in a save", {"restarted": launch(exit_code=1)}),
        ("whole after a kill in a save", {"restarted": launch(1, 2)}),
        ("whole after a kill in a save", {"restarted": launch(3, 1)}),
        ("whole after a kill in a save", {"torn": [("half", launch(exit_code=1))]}),
        ("whole after a kill in a save", {"torn": [("mixed", launch(3, losses=LOSSES | {3: 0.1}))]}),
        ("curve as undisturbed", {"resumed": launch(3, 4, losses=LOSSES | {3: 0.3})}),
        ("curve as undisturbed", {"resized": launch(3, 4, num_devices=2, losses=LOSSES | {4: 0.4})}),
    ],
)
def test_one_thing_is_wrong(row, seen):
    assert failures(**seen) == {row}


def test_a_batch_that_grows_with_the_devices():
    reports = tuple({**report, "batch_size": 16} for report in RIGHT.resized.reports)
    assert failures(resized=replace(RIGHT.resized, reports=reports)) == {"global batch kept"}


def test_what_is_no_fault():
    # It finishes its epoch after SIGTERM.
    finished = launch(1, 2, 3, leave_s=1.0, exit_code=0, num_before_signal=2)
    assert failures(terminated=finished, resized=launch(4, num_devices=2)) == set()
    # It reports again what is in the checkpoint.
    again = replace(launch(2, 3, 4, num_devices=2), places=((0, 0), (2, 2), (4, 4)))
    assert failures(resized=again) == set()
    # The kill came after the save, and the report is lost.
    assert failures(restarted=launch(4)) == set()
    # Each time SIGTERM came between the save and its report.
    between = (*launch(1, 2).changes, Change("written", "state"))
    lost = launch(1, 2, leave_s=0.1, exit_code=-15, num_before_signal=2)
    assert failures(terminated=replace(lost, changes=between), resized=launch(4, num_devices=2)) == set()
    assert failures(terminated=lost, resized=launch(4, num_devices=2)) == {WHERE}
    # It differs from run to run.
    noisy = launch(1, 2, losses=LOSSES | {2: 0.55}, leave_s=0.1, exit_code=75, num_before_signal=2)
    assert failures(terminated=noisy, resumed=launch(3, 4, losses=LOSSES | {3: 0.3})) == set()


def test_several_reports_of_a_level_are_no_fault():
    def twice(*epochs, saves=True):
        reports = [{"epoch": epoch, name: LOSSES[epoch]} for epoch in epochs for name in ("train_loss", "val_loss")]
        places = tuple((number * saves,) * 2 for number in range(1, len(epochs) + 1) for _ in range(2))
        return LaunchTrace(1, tuple(reports), places, (Change("closed", "state"),) * len(epochs))

    def rows(alone):
        return {row.name: row.status for row in judge(Observed(alone), None, None, 5.0, 0.05)[1]}

    right = rows(twice(1, 2, 3))
    assert (right["reports"], right["checkpoint before report"]) == ("PASS", "PASS")
    assert rows(twice(1, 2, 3, saves=False))["checkpoint before report"] == "FAIL"
    cut = twice(1, 2, 3)
    cut = replace(cut, reports=cut.reports[:-1], places=cut.places[:-1])
    assert (rows(cut)["reports"], rows(cut)["checkpoint before report"]) == ("PASS", "PASS")


def test_reports_before_the_death_from_sigterm_are_no_fault():
    died = launch(1, 2, 3, 4, leave_s=0.1, exit_code=-15, num_before_signal=2)
    assert not failures(terminated=died, resized=None) & {"leaves on SIGTERM", "only whole epochs reported"}


def test_a_copy_of_which_the_reports_are_not_known_is_not_compared():
    late = {"resumed": launch(4), "terminated": None, "resized": None}
    assert failures(**late) == {WHERE}
    assert failures(**late, num_resumed=0) == set()


def test_one_process_on_all_devices_may_write_more_often():
    often = replace(launch(3, 4, num_devices=2), changes=(Change("closed", "state"),) * 4)
    assert failures(resized=replace(often, num_processes=1)) == set()
    assert failures(resized=replace(often, num_processes=2)) == {"one rank writes"}


def test_what_could_not_be_seen_is_unknown():
    _, rows = judge(Observed(launch(1, exit_code=0)), None, None, 5.0, 0.05)
    statuses = {row.name: row.status for row in rows}
    assert statuses["leaves on SIGTERM"] == statuses[WHERE] == statuses["curve as undisturbed"] == "UNKNOWN"
    assert "FAIL" not in statuses.values()


def test_a_script_that_does_not_know_the_folder_is_told_so():
    words = "train.py: error: unrecognized arguments: --st_checkpoint_dir /tmp/x"
    _, rows = judge(Observed(launch(exit_code=2, last_words=words)), None, None, 5.0, 0.05)
    assert rows[0].status == "FAIL"
    assert "{st_checkpoint_dir}" in rows[0].advice


def test_a_script_that_crashes_is_not_asked_for_more_reports_and_its_log_is_shown():
    crashed = launch(exit_code=-11, last_lines=("importing", "Segmentation fault"))
    _, rows = judge(Observed(crashed), None, None, 5.0, 0.05)
    assert rows[0].found == "exit code -11 (SIGSEGV)"
    assert rows[0].log == ("importing", "Segmentation fault")
    assert {row.found for row in rows[2:]} == {"not tried, because the script did not run"}
    assert not any(row.log for row in rows[1:])
    _, rows = judge(Observed(launch(exit_code=0)), None, None, 5.0, 0.05)
    assert {row.found for row in rows[2:]} == {"not tried, because the script did not report"}


def test_the_log_of_the_launch_that_failed_is_shown():
    fails = launch(exit_code=1, last_words="KeyError: 'x'", last_lines=("KeyError: 'x'",))
    for name, seen in {
        WHERE: {"resumed": fails},
        "other number of devices": {"resized": replace(fails, num_devices=2)},
        "whole after a kill in a save": {"torn": [("fine", launch(3, 4)), ("half", fails)]},
    }.items():
        _, rows = judge(replace(RIGHT, **seen), None, None, 5.0, 0.05)
        (failed,) = [row for row in rows if row.status == "FAIL"]
        assert (failed.name, failed.log) == (name, ("KeyError: 'x'",))
        assert failed.found.endswith("exit code 1: KeyError: 'x'")


def test_a_kill_that_came_too_late_shows_nothing():
    def whole(**seen):
        _, rows = judge(replace(RIGHT, **seen), None, None, 5.0, 0.05)
        return next(row for row in rows if row.name == "whole after a kill in a save")

    early = launch(1, 2, exit_code=-9, num_before_signal=2)
    early = replace(early, changes=(*early.changes, Change("created", "state")))
    assert whole(torn=[], num_torn=0, killed=early).status == "PASS"
    assert "each came too late" in whole(torn=[], num_torn=0).found
    assert whole(torn=[], num_torn=2).status == "PASS", "what a save leaves is known from its changes"
    assert whole(torn=[], num_torn=0, restarted=launch(exit_code=1)).status == "FAIL"


def test_levels_are_known_without_a_metric():
    def without(trace):
        return replace(trace, reports=tuple({"epoch": report["epoch"]} for report in trace.reports))

    traces = {name: without(getattr(RIGHT, name)) for name in ("alone", "terminated", "resized", "resumed")}
    _, rows = judge(replace(RIGHT, **traces), None, None, 5.0, 0.05)
    statuses = {row.name: row.status for row in rows}
    assert (statuses["reports"], statuses[WHERE]) == ("FAIL", "PASS")
