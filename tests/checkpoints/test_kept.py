"""How a script makes its files, learnt from what it does."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints import _kept as kept_module
from syne_hypersched.checkpoints._files import FileState
from syne_hypersched.checkpoints._kept import Habits


def tree(*paths):
    return {path: FileState("file", number, 1, 1) for number, path in enumerate(paths)}


def test_what_was_moved_into_place_is_not_written_to_any_more():
    habits = Habits()
    habits.written("model.tmp", {})
    habits.moved_away("model.tmp")
    habits.moved("model", tree("model"))
    assert habits.of(tree("model")) == {"model": "new"}
    assert habits.is_aside("model.tmp")
    habits.take(tree("model"))  # with a hard link
    habits.moved("model", tree("model"))
    assert habits.of(tree("model")) == {"model": "moved"}


def test_what_was_moved_into_place_may_be_written_to_as_long_as_its_script_may_look_at_its_links():
    """As ``zip`` does: it writes to an archive in place if the archive has a second hard link."""
    habits = Habits()
    habits.moved("m.zip", tree("m.zip"))
    habits.moved("m.zip", tree("m.zip"))  # no generation was taken, and the first one had no second link
    assert habits.of(tree("m.zip")) == {"m.zip": "new"}
    habits.take(tree("m.zip"))
    assert habits.written("m.zip", tree("m.zip"))
    habits.moved("m.zip", tree("m.zip"))
    assert habits.of(tree("m.zip")) == {"m.zip": "written"}


@pytest.mark.parametrize(("before", "expected"), [("moved", "moved"), ("new", "new"), ("written", "new")])
def test_a_launch_knows_from_the_one_before_that_what_is_moved_into_place_is_not_written_to(before, expected):
    habits = Habits()
    habits.know({"model": before})
    habits.moved("model", tree("model"))
    assert habits.of(tree("model")) == {"model": expected}


def test_what_has_a_second_name_when_it_is_moved_into_place_may_be_written_to_under_that():
    habits = Habits()
    habits.moved("step-1", tree("step-1/model", "step-1/state", "step-10"), {"step-1/model"})
    assert habits.of(tree("step-1/model", "step-1/state")) == {"step-1/model": "written", "step-1/state": "new"}


@pytest.mark.parametrize("again", [False, True])
def test_what_is_written_to_after_it_was_moved_into_place_may_be_written_to_again(again):
    """Also if no generation was taken in between: the script moves a folder, and then changes a file in it."""
    habits = Habits()
    habits.moved("step", tree("step/model", "step/state"))
    if again:
        habits.moved_away("step", is_aside=False)
    habits.written("step/state", {})
    assert habits.of(tree("step/model", "step/state")) == {"step/model": "new", "step/state": "written"}


def test_files_in_a_folder_that_will_be_moved_will_be_moved_with_it():
    habits = Habits()
    habits.moved_away("step-1.tmp")
    assert habits.is_aside("step-2.tmp/shards/0")
    assert not habits.is_aside("step-2.tmp-shards")
    assert not habits.is_aside("step-2/shards/0")


def test_a_file_that_is_set_aside_for_the_next_one_is_not_written_aside():
    habits = Habits()
    habits.written("model", {})
    habits.moved_away("model", is_aside=False)
    assert not habits.is_aside("model")


def test_what_is_moved_out_of_the_way_and_removed_was_not_written_aside():
    """On a busy machine, the next checkpoint is noticed after the old one was moved away."""
    habits = Habits()
    for name in ("step-1/model", "step-2/model"):
        habits.written(name, {})
    habits.moved_away("step-1")
    habits.moved("gone-step-1", {})
    assert habits.is_aside("step-2/model")
    assert not habits.removed("other")
    assert habits.removed("gone-step-1/model")
    assert not habits.is_aside("step-2/model")
    assert not habits.removed("gone-step-1")


@pytest.mark.parametrize("between", ["nothing", "a report", "an earlier save"])
def test_what_is_written_again_just_after_it_was_moved_away_for_the_first_time_was_not_written_aside(between):
    habits = Habits()
    if between == "an earlier save":
        habits.moved_away("model")
        habits.report()
    habits.moved_away("model")
    if between == "a report":
        habits.report()
    habits.written("other", {})
    assert habits.is_aside("model")
    habits.written("model", {})
    assert habits.is_aside("model") == (between != "nothing")
    habits.moved_away("model")
    habits.written("model", {})
    assert habits.is_aside("model")


@pytest.mark.parametrize("what", ["written", "reported", "moved out"])
def test_a_checkpoint_that_is_removed_later_was_written_aside(what):
    habits = Habits()
    habits.written("step-1.tmp/model", {})
    habits.moved_away("step-1.tmp")
    if what == "moved out":
        habits.moved_away("other", is_aside=False)
    habits.moved("step-1", {})
    if what == "written":
        habits.written("step-2.tmp/model", {})
    elif what == "reported":
        habits.report()
    assert not habits.removed("step-1/model")
    assert habits.is_aside("step-2.tmp/model")


def test_a_file_that_is_written_again_is_copied():
    habits = Habits()
    habits.written("model", {})
    assert habits.of(tree("model")) == {"model": "written"}
    habits.take(tree("model"))
    assert not habits.written("model", tree("model"))
    assert habits.of(tree("model")) == {"model": "written"}


def test_files_with_numbers_are_taken_for_new_ones_from_the_second_on():
    habits = Habits()
    habits.written("model-1", {})
    habits.take(tree("model-1"))
    habits.written("model-2", tree("model-1"))
    assert habits.of(tree("model-1", "model-2")) == {"model-1": "new", "model-2": "new"}


def test_files_with_numbers_are_new_ones_although_none_was_taken():
    """A copy may take longer than an epoch."""
    habits = Habits()
    for epoch in (1, 2, 3):
        habits.written(f"model-{epoch}", {})
        habits.finished(f"model-{epoch}")
        habits.report()
    assert habits.of(tree("model-1", "model-2", "model-3")) == dict.fromkeys(("model-1", "model-2", "model-3"), "new")
    habits.written("model-2", {})  # it begins again
    assert habits.of(tree("model-2")) == {"model-2": "written"}
    habits.written("model-4", {})
    assert habits.of(tree("model-4")) == {"model-4": "written"}


def test_parts_with_numbers_are_no_new_files():
    habits = Habits()
    for part in (1, 2):
        habits.written(f"model-{part}-of-2", {})
        habits.finished(f"model-{part}-of-2")
    habits.report()
    assert set(habits.of(tree("model-1-of-2", "model-2-of-2")).values()) == {"written"}


def test_numbers_that_come_round_again_surprise_once_for_each_file():
    habits = Habits()
    for number in (0, 1, 2):
        habits.written(f"model-{number}", tree(*(f"model-{before}" for before in range(number))))
        habits.take(tree(*(f"model-{before}" for before in range(number + 1))))
    everything = tree("model-0", "model-1", "model-2")
    assert habits.written("model-0", everything)
    assert habits.written("model-1", everything)
    habits.take(everything)
    assert habits.written("model-2", everything)  # of which a second name was made before the first surprise
    habits.take(everything)
    assert not any(habits.written(f"model-{number}", everything) for number in range(3))
    habits.written("model-3", everything)
    assert habits.of(tree("model-3")) == {"model-3": "written"}


def test_a_folder_that_was_moved_has_all_its_files_in_place():
    habits = Habits()
    habits.moved("checkpoint-3", tree("checkpoint-3/model", "checkpoint-30/model"))
    assert habits.of(tree("checkpoint-3/model", "checkpoint-30/model")) == {
        "checkpoint-3/model": "new",
        "checkpoint-30/model": "written",
    }


def test_names_of_temporary_files_do_not_fill_the_memory(monkeypatch):
    """Some programs draw them at random. Those that come again are remembered."""
    monkeypatch.setattr(kept_module, "_MOST_ASIDES", 8)
    habits = Habits()
    for letter in "abcdefghijklmnopqrstuvwxyz":
        for name in (f"{letter}.tmp", "model.tmp"):
            habits.written(name, {})
            habits.finished(name)
            habits.moved_away(name)
            habits.moved("model", {})
        habits.report()
    assert habits.is_aside("model.tmp")
    assert habits.is_aside("z.tmp")
    assert not habits.is_aside("a.tmp")
    assert max(len(value) for value in vars(habits).values() if isinstance(value, (set, dict))) == 8
