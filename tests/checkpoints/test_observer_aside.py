"""Files that are written aside and moved, or moved away: which checkpoint they belong to."""

from __future__ import annotations

import hashlib
import os
import shutil

import pytest

from syne_hypersched.checkpoints import _kept as kept_module
from syne_hypersched.checkpoints._files import read_tree
from tests.checkpoints.seen import Seen
from tests.checkpoints.steps import num_steps


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


def test_a_checkpoint_that_is_moved_away_before_it_is_seen_is_known_by_its_name(seen):
    """A script that makes checkpoints quickly on a busy machine may have made the next one by then."""
    seen.write("step-1/model")
    seen.report()
    seen.make_and_move("step-2", "old-2")
    assert not seen.observer.habits.is_aside("step-3/model")


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
            assert seen.observer.lacking.numbers == []  # what was taken before is whole
            seen.observer.mark_taken(read_tree(seen.folder), 1)
        seen.quiet()
        seen.report()
    assert seen.observer.is_complete
    assert seen.bounds == (3, 3)
    assert not seen.matcher._rhythm.is_out_of_step


def test_files_of_a_folder_that_was_moved_into_place_have_not_changed_any_more(seen):
    """Nothing is left of their names, so no move of them is to be waited for."""
    for epoch in (1, 2):
        seen.write("aside/one", "aside/two")
        seen.move("aside", f"checkpoint-{epoch}")
        seen.report()
    assert seen.observer.changed == {"checkpoint-1", "checkpoint-2"}
    assert not seen.observer.habits.any_aside(seen.observer.changed)


@pytest.mark.parametrize("aside", ["{place}.tmp", "{hash}.partial"])
def test_the_work_for_files_that_are_written_aside_grows_with_their_number_and_not_with_its_square(tmp_path, aside):
    """Thousands of files are moved one by one when an array is stored in chunks (Zarr)."""

    def steps_for(num_files):
        (folder := tmp_path / str(num_files)).mkdir()
        seen = Seen(folder)

        def save():
            for epoch in range(1, 4):
                for number in range(num_files):
                    place = f"chunk.{number}"
                    name = aside.format(place=place, hash=hashlib.md5(f"{epoch} {number}".encode()).hexdigest())
                    (seen.folder / name).write_text("weights")
                    seen.move(name, place)
                seen.observer.mark_taken(read_tree(seen.folder), epoch)
                seen.report()

        steps = num_steps(save)
        seen.watch.close()
        return steps

    assert steps_for(100) < 6 * steps_for(25)


def test_names_of_chance_do_not_fill_the_memory(seen, monkeypatch):
    """A tuning of days may write millions of temporary files."""
    monkeypatch.setattr(kept_module, "_MOST_ASIDES", 8)

    def num_kept():
        observer = seen.observer
        parts = (observer, observer.habits, observer.bursts, observer.logs, observer.doubts, observer.lacking)
        return sum(
            len(value) for part in parts for value in vars(part).values() if isinstance(value, (set, dict, list))
        )

    def save(epoch):
        for name in ("model", "state"):
            aside = f"{hashlib.md5(f'{epoch} {name}'.encode()).hexdigest()}.partial"
            (seen.folder / aside).write_text("weights")
            seen.move(aside, name)
        seen.observer.mark_taken(read_tree(seen.folder), epoch)
        seen.quiet()
        seen.report()

    for epoch in range(20):
        save(epoch)
    before = num_kept()
    for epoch in range(20, 60):
        save(epoch)
    assert num_kept() <= before + 2
