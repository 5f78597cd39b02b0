"""Which reports a change of the checkpoint folder lies between: real files, real events, and no process."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time

import pytest

from syne_hypersched.checkpoints._launch_log import LaunchLog
from syne_hypersched.checkpoints._states import Order
from tests.checkpoints.seen import Seen


def truncated(path):
    """Opens a file for writing, of which the kernel tells only later."""
    file = open(path, "r+")  # noqa: SIM115
    os.utime(path, (os.stat(path).st_mtime + 1.0,) * 2)  # the time of the truncation, of which there is no event
    return file


@pytest.mark.parametrize("is_noticed", [True, False])
def test_a_save_that_was_begun_before_a_report_is_not_of_it_although_the_event_comes_later(seen, is_noticed):
    """A thread saves, and the kernel tells of a truncation when it is over."""
    seen.report()
    seen.write("model")
    if not is_noticed:
        (seen.folder / "model").write_text("more")
    os.utime(seen.folder / "model", (1.0, 1.0))
    with truncated(seen.folder / "model") as file:
        seen.report()
        file.write("weights")
        file.flush()
        seen.observer.look()
    seen.observer.look()
    assert seen.bounds == (1, 2)


def test_a_save_that_is_begun_after_a_report_is_of_it(seen):
    seen.report()
    seen.write("model")
    seen.report()
    with open(seen.folder / "model", "w") as file:
        file.write("weights")
        seen.observer.look()
    seen.observer.look()
    assert seen.bounds == (2, 2)


def test_what_earlier_checkpoints_had_goes_on_after_a_report_and_a_pause(seen):
    seen.write("one", "two")
    for _ in range(2):
        seen.report()
        seen.quiet()
        seen.write("one")
    seen.report()
    seen.quiet()
    seen.write("two")
    assert seen.bounds == (2, 3)


def test_the_first_checkpoint_may_end_after_a_report_but_not_after_a_pause_too(seen):
    seen.write("one")
    seen.report()
    seen.write("two")
    assert seen.bounds == (0, 1)
    seen.report()
    seen.quiet()
    seen.write("three")
    assert seen.bounds == (2, 2)


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_script_that_reports_in_the_middle_of_a_save_has_no_order(seen, is_cut):
    """A thread saves, at times before and at times after the report."""
    seen.matcher.order = Order.EARLY
    for epoch in (1, 2, 3):
        seen.write(f"slot-{'ab'[epoch % 2]}")
        if is_cut and epoch == 3:
            seen.report()
        seen.write("newest")
        if not is_cut or epoch < 3:
            seen.report()
    assert seen.matcher.order is (Order.MIXED if is_cut else Order.EARLY)


def test_lines_that_were_seen_together_do_not_show_that_a_report_came_in_the_middle_of_a_save(seen):
    seen.matcher.order = Order.EARLY
    for _ in range(2):
        seen.write("one", "two")
        seen.report()
    look, seen.observer.look = seen.observer.look, lambda: None
    seen.write("one")
    for _ in range(2):
        seen.print("perhaps this was printed earlier")
        seen.report()
        seen.write("two")
    look()
    seen.observer.look = look
    assert seen.matcher.order is Order.EARLY


@pytest.mark.parametrize("is_seen_late", [False, True])
def test_only_a_report_that_certainly_came_while_a_file_was_written_leaves_the_first_checkpoint_open(
    seen, is_seen_late
):
    look = seen.observer.look
    seen.observer.look = (lambda: None) if is_seen_late else look
    seen.print("perhaps this was printed earlier")
    seen.report()
    with open(seen.folder / "model", "w") as file:
        file.write("half")
        file.flush()
        seen.observer.look()
        seen.report()
    seen.report()
    look()
    assert seen.observer.bursts.is_partial is not is_seen_late


@pytest.mark.parametrize("is_alone", [True, False])
def test_epochs_that_are_seen_together_keep_their_order_if_nothing_else_was_printed(seen, is_alone):
    look, seen.observer.look = seen.observer.look, lambda: None
    for _ in range(3):
        seen.write("model")
        if not is_alone:
            seen.print("an epoch is over")
        seen.report()
    look()
    assert seen.bounds == ((2, 2) if is_alone else (0, 3))


def test_what_was_there_before_the_launch_is_no_file_aside(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "model").write_text("weights")
    seen = Seen(tmp_path)
    seen.move("model", "model.old")
    assert not seen.observer.habits.is_aside("model")


def test_a_report_from_before_sigterm_does_not_show_that_the_script_goes_on(seen, monkeypatch):
    """It is read only afterwards."""
    place = str(seen.folder / "model")
    monkeypatch.setattr("syne_hypersched.checkpoints._observer.open_for_writing", lambda pids, folder: {place})
    with open(seen.log, "a") as file:
        file.write('[tune-metric]: {"epoch": 1}\n')
    seen.observer.doubts.begin({"model"}, is_alone=True, log_end=seen.observer.log.size())
    seen.observer.look()
    assert seen.observer.doubts.paths
    seen.report()
    assert not seen.observer.doubts.paths


def test_a_report_was_printed_when_the_log_was_written_to_unless_more_follows(seen):
    seen.report()
    os.utime(seen.log, (time.time() - 100, time.time() - 100))
    log = seen.observer.log
    (first,) = LaunchLog(str(seen.log), 0).new_reports(log.size())
    ago_s = time.monotonic() - log.printed_s(first, looked_s=0.0)
    assert ago_s == pytest.approx(100, abs=10)
    now = time.monotonic()
    assert log.printed_s(first, looked_s=now) == now
    seen.report()
    log.size()
    assert log.printed_s(first, looked_s=5.0) == 5.0


def test_what_a_database_needs_during_a_transaction_is_no_part_of_a_checkpoint(seen):
    for epoch in range(1, 4):
        with contextlib.closing(sqlite3.connect(seen.folder / "state.db")) as database:
            database.execute("create table if not exists weights (value)")
            database.execute("insert into weights values (?)", [epoch])
            seen.observer.look()
            database.commit()
        seen.observer.look()
        assert not seen.observer.bursts.is_partial
        seen.quiet()
        seen.report()
    assert seen.observer.is_complete
    assert seen.bounds == (2, 2)
    assert not seen.matcher._rhythm.is_out_of_step


def lost(seen, name="model", num_reports=1):
    """A file in a new folder, of which nothing is seen before the reports after it."""
    (seen.folder / "step").mkdir(exist_ok=True)
    (seen.folder / "step" / name).write_text("weights")
    for _ in range(num_reports):
        seen.print_report()
    seen.observer.look()


def test_a_file_in_a_new_folder_belongs_to_the_report_that_came_at_once(seen):
    """Nobody watches the folder yet when the file is written, but the file has a time that no script can set."""
    seen.matcher.follow("epoch", "epoch", True)
    lost(seen)
    assert seen.bounds == (0, 0)


def test_a_file_in_a_new_folder_may_have_come_after_the_report_if_anything_was_printed_after_that(seen):
    lost(seen, num_reports=2)
    assert seen.bounds == (0, 2)


def test_a_file_in_a_new_folder_that_was_written_long_after_the_report_may_be_of_the_next_one(seen):
    (seen.folder / "step").mkdir()
    seen.print_report()
    reported_ns = os.stat(seen.log).st_mtime_ns
    while True:  # real time passes
        (seen.folder / "step" / "model").write_text("weights")
        if os.stat(seen.folder / "step" / "model").st_ctime_ns - reported_ns > 20_000_000:
            break
    seen.observer.look()
    assert seen.bounds == (0, 1)


def test_a_copy_with_the_time_of_its_source_was_finished_now(seen):
    """The time from the end of a save to the report shows whether the script saves before it reports."""
    seen.matcher.follow("epoch", "epoch", True)
    with open(seen.folder / "model", "w") as file:
        file.write("weights")
        file.flush()
        os.utime(file.name, (1e9, 1e9))
    seen.observer.look()
    seen.matcher.taken(1)
    seen.report()
    assert seen.matcher.decides_s is not None
    assert seen.matcher.decides_s < time.monotonic() + 1000


def test_a_file_that_was_open_when_its_folder_was_found_is_one_file(seen):
    """Its end comes after a report, and is noticed together with it."""
    seen.report()
    (seen.folder / "step").mkdir()
    with open(seen.folder / "step" / "shard-0", "w") as file:
        file.write("half")
        file.flush()
        seen.observer.look()
        seen.print_report()
        file.write("whole")
    with open(seen.folder / "step" / "shard-1", "w") as file:
        file.write("half")
        file.flush()
        seen.observer.look()
        assert seen.observer.bursts.is_only_one
        assert seen.bounds == (1, 2)
