"""Which reports a change of the checkpoint folder lies between: real files, real events, and no process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import time

import pytest

from syne_hypersched.checkpoints._changes import ChangeWatch
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints._launch_log import LaunchLog
from syne_hypersched.checkpoints._matching import Matcher
from syne_hypersched.checkpoints._observer import Observer
from syne_hypersched.checkpoints._spec import CheckpointSpec
from syne_hypersched.checkpoints._states import Order
from syne_hypersched.checkpoints._store import Notes


class Seen:
    """A script's folder and log, and what an observer makes of it."""

    def __init__(self, folder):
        self.folder, self.log = folder / "checkpoints", folder / "std.out"
        self.folder.mkdir(exist_ok=True)
        self.log.touch()
        self.watch = ChangeWatch(str(self.folder), str(self.log))
        self.matcher = Matcher(0, Notes(), Order.UNKNOWN, time.monotonic(), goes_on=True)
        spec = CheckpointSpec(folder=str(self.folder), log=str(self.log), launch=0)
        self.observer = Observer(spec, self.watch, self.matcher, lambda: None)
        self._epoch = 0

    def write(self, *paths):
        for path in paths:
            (self.folder / path).parent.mkdir(exist_ok=True)
            self.observer.look()
            (self.folder / path).write_text("weights")
        self.observer.look()

    def move(self, source, target):
        os.replace(self.folder / source, self.folder / target)
        self.observer.look()

    def make_and_move(self, folder, target):
        """Makes a folder with a file, and moves it before anybody looks."""
        (self.folder / folder).mkdir()
        (self.folder / folder / "model").write_text("weights")
        self.move(folder, target)

    def report(self):
        self._epoch += 1
        with open(self.log, "a") as file:
            file.write(f"[tune-metric]: {json.dumps({'epoch': self._epoch})}\n")
        self.observer.look()

    def quiet(self):
        """Nothing happens for a while, so that the keeper takes the checkpoint to be complete."""
        self.observer.is_open = False

    @property
    def bounds(self):
        state = self.matcher.current
        return state.after, state.before


@pytest.fixture
def seen(tmp_path):
    seen = Seen(tmp_path)
    yield seen
    seen.watch.close()


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


def test_an_old_checkpoint_that_is_moved_away_and_removed_was_not_written_aside(seen):
    """It is looked at so late that the files of the next one are not known when the old one is moved."""
    seen.write("step-1/model")
    seen.report()
    seen.write("step-2/model")
    for number in (3, 4):
        (seen.folder / f"step-{number}").mkdir()
        (seen.folder / f"step-{number}" / "model").write_text("weights")
        os.rename(seen.folder / f"step-{number - 1}", seen.folder / f"gone-step-{number - 1}")
        shutil.rmtree(seen.folder / f"gone-step-{number - 1}")
    seen.observer.look()
    assert not seen.observer.habits.is_aside("step-5/model")
    assert seen.matcher.current is not None
    seen.report()
    for number in (5, 6):
        seen.write(f"step-{number}/model")
        seen.move(f"step-{number - 1}", f"gone-step-{number - 1}")
        shutil.rmtree(seen.folder / f"gone-step-{number - 1}")
        seen.report()
    assert seen.observer.is_complete


def test_a_folder_that_is_moved_into_place_began_with_its_first_file(seen):
    seen.report()
    seen.write("aside/one")
    seen.report()
    seen.quiet()
    seen.write("aside/two")
    seen.quiet()
    seen.move("aside", "checkpoint-1")
    assert seen.bounds == (1, 2)


@pytest.mark.parametrize("num_before", [0, 2])
def test_a_folder_that_was_moved_into_place_is_incomplete_once_a_file_of_it_is_removed(seen, num_before):
    """The script may be removing it, and has only begun."""
    for epoch in range(1, num_before + 2):
        seen.write("aside/one", "aside/two")
        seen.move("aside", f"checkpoint-{epoch}")
        seen.report()
    assert seen.observer.is_complete if num_before else seen.observer.is_first
    os.remove(seen.folder / f"checkpoint-{num_before + 1}" / "one")
    seen.observer.look()
    assert not seen.observer.is_complete
    assert not seen.observer.is_first
    assert seen.observer.bursts.is_partial
    assert seen.observer.last_complete()[0] == {}


def test_so_did_one_that_is_moved_after_the_next_report(seen):
    for epoch in (1, 2):
        seen.report()
        seen.write("aside/one", "aside/two")
        seen.move("aside", f"checkpoint-{epoch}")
    seen.write("aside/one", "aside/two")
    seen.report()
    seen.quiet()
    seen.move("aside", "checkpoint-3")
    assert seen.bounds == (2, 3)


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


def test_an_older_one_that_is_moved_aside_afterwards_does_not_make_it_newer(seen):
    for epoch in (1, 2, 3):
        seen.report()
        seen.quiet()
        seen.write("aside/one")
        if epoch == 3:
            seen.report()
        seen.write("aside/two")
        seen.move("aside", f"checkpoint-{epoch}")
        if epoch > 1:
            seen.move(f"checkpoint-{epoch - 1}", "gone")
            shutil.rmtree(seen.folder / "gone")
            seen.observer.look()
    assert seen.bounds == (3, 4)


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
        seen.report()
        seen.write("two")
    look()
    seen.observer.look = look
    assert seen.matcher.order is Order.EARLY


@pytest.mark.parametrize("folder", ["", "aside/"])
def test_a_file_that_is_moved_before_it_is_closed_is_finished_when_it_is_closed(seen, folder):
    """As ``safetensors`` does."""
    for epoch in (1, 2, 3):
        (seen.folder / folder).mkdir(exist_ok=True)
        seen.observer.look()
        with open(seen.folder / f"{folder}model.new", "w") as file:
            file.write("weights")
            file.flush()
            seen.observer.look()
            if folder:
                seen.move("aside", f"checkpoint-{epoch}")
            else:
                seen.move("model.new", "model")
            assert not seen.observer.is_complete
            assert not seen.observer.is_first
            assert not seen.observer.is_proven
        seen.observer.look()
        if not folder:
            assert not seen.observer.is_complete
            seen.write("state")
        assert seen.observer.is_complete == (epoch > 1 + bool(folder))
        seen.report()
        assert seen.bounds == (epoch - 1, epoch - 1)
        seen.quiet()


def test_a_checkpoint_that_is_moved_away_does_not_make_the_next_one_older(seen):
    for _ in range(3):
        seen.report()
        seen.quiet()
        if (seen.folder / "model").exists():
            seen.move("model", "model.bak")
        seen.write("model")
    assert seen.bounds == (3, 3)


def test_what_is_made_and_moved_before_it_is_seen_was_written_aside(seen):
    """A folder is watched only some time after it was made."""
    seen.write("step-1/model")
    seen.report()
    seen.make_and_move("aside", "step-2")
    assert seen.observer.habits.is_aside("aside/model")
    seen.move("step-1", "old")  # which is known
    assert not seen.observer.habits.is_aside("step-1")


@pytest.mark.parametrize("is_seen_late", [False, True])
def test_only_a_report_that_certainly_came_while_a_file_was_written_leaves_the_first_checkpoint_open(
    seen, is_seen_late
):
    look = seen.observer.look
    seen.observer.look = (lambda: None) if is_seen_late else look
    seen.report()
    with open(seen.folder / "model", "w") as file:
        file.write("half")
        file.flush()
        seen.observer.look()
        seen.report()
    seen.report()
    look()
    assert seen.observer.bursts.is_partial is not is_seen_late


def test_a_checkpoint_that_is_moved_away_before_it_is_seen_is_known_by_its_name(seen):
    """A script that makes checkpoints quickly on a busy machine may have made the next one by then."""
    seen.write("step-1/model")
    seen.report()
    seen.make_and_move("step-2", "old-2")
    assert not seen.observer.habits.is_aside("step-3/model")


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


@pytest.mark.parametrize("is_late", [False, True])
def test_files_that_are_written_aside_and_moved_one_by_one_are_of_one_checkpoint(seen, is_late):
    """The folder in which they are written is new, so that nobody has seen them there the first time."""
    names = ("model", "optimizer", "state")
    for epoch in range(1, 5):
        if is_late:
            seen.report()
        (seen.folder / "aside").mkdir(exist_ok=True)
        for name in names:
            (seen.folder / "aside" / name).write_text("weights")
        if epoch > 1:
            seen.observer.look()
        for name in names:
            os.replace(seen.folder / "aside" / name, seen.folder / name)
        seen.observer.look()
        assert epoch == 1 or seen.observer.is_complete
        seen.quiet()
        if not is_late:
            seen.report()
    assert seen.bounds == ((4, 4) if is_late else (3, 3))
    assert not seen.matcher._rhythm.is_out_of_step


@pytest.mark.parametrize("is_seen", ["", "made", "written", "made and written"])
def test_files_with_names_of_chance_are_of_one_checkpoint(seen, is_seen):
    """As those of ``tempfile.mkstemp``, which makes each empty and closes it first."""
    for chance in ("tmpq_x1", "tmp7a_b", "tmpzz_9", "tmp_cdef"):
        for name in ("model", "optimizer", "state"):
            aside = seen.folder / f"{chance}{name[0]}"
            aside.touch()
            if "made" in is_seen:
                seen.observer.look()
            aside.write_text("weights")
            if "written" in is_seen:
                seen.observer.look()
            os.replace(aside, seen.folder / name)
        seen.observer.look()
        assert not seen.observer.bursts.is_partial
        if not is_seen:
            assert seen.observer.lacking == []  # what was taken before is whole
            seen.observer.mark_taken(read_tree(seen.folder), 1)
        seen.quiet()
        seen.report()
    assert seen.observer.is_complete
    assert seen.bounds == (3, 3)
    assert not seen.matcher._rhythm.is_out_of_step


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
