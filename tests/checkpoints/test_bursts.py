"""Where a checkpoint of several files ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.checkpoints._bursts import Bursts
from tests.checkpoints.bursts import add


def test_a_file_that_comes_again_begins_the_next_checkpoint():
    bursts = Bursts()
    begins = add(bursts, "model", "optimizer", "state", "model", "optimizer", "state", "model")
    assert begins == [True, False, False, True, False, False, True]


def test_it_is_complete_when_it_has_what_the_one_before_had():
    bursts = Bursts()
    seen = []
    for path in ("model", "state", "model", "state", "model"):
        bursts.add(path)
        seen.append(bursts.is_complete)
    assert seen == [False, False, False, True, False]


@pytest.mark.parametrize("wait", [Bursts.report, Bursts.rest])
def test_a_single_file_is_known_from_its_second_time_on(wait):
    bursts = Bursts()
    assert bursts.add("model")
    assert not bursts.is_complete
    wait(bursts)
    assert bursts.add("model")
    assert bursts.is_complete


@pytest.mark.parametrize("wait", [None, Bursts.report, Bursts.rest])
def test_a_file_that_is_written_twice_at_once_is_one_file_of_the_first_checkpoint(wait):
    """Keras, for instance, opens its file a second time to add the optimizer."""
    bursts, seen = Bursts(), []
    for epoch in (1, 2, 3):
        for path in ("model", "model", "state"):
            begins = bursts.add(path)
            seen.append((epoch, path, begins, bursts.is_complete, bursts.may_go_on))
        if wait is not None:
            wait(bursts)
    assert seen == [
        (1, "model", True, False, False), (1, "model", False, False, True), (1, "state", False, False, False),
        (2, "model", True, False, True), (2, "model", False, False, True), (2, "state", False, True, False),
        (3, "model", True, False, True), (3, "model", False, False, True), (3, "state", False, True, False),
    ]  # fmt: skip


def test_the_first_checkpoint_may_lack_files_if_a_report_came_while_one_was_written():
    bursts = Bursts()
    bursts.report()
    bursts.overlap(False)
    bursts.add("model")
    assert not bursts.is_partial
    bursts.overlap(True)
    assert bursts.is_partial
    bursts.report()
    assert bursts.is_partial
    assert not bursts.is_first
    bursts.add("optimizer")
    assert bursts.is_partial
    add(bursts, "model", "optimizer")
    assert bursts.is_complete
    assert not bursts.is_partial


@pytest.mark.parametrize("folder", ["", "epoch-{}/"])
def test_parts_with_numbers_are_parts_of_one_checkpoint(folder):
    bursts = Bursts()
    for epoch in (1, 2, 3):
        parts = [f"{folder.format(epoch)}model-{part}-of-3" for part in (1, 2, 3)]
        for number, part in enumerate(parts):
            assert bursts.add(part) == (number == 0)
            assert bursts.is_complete == (epoch > 1 and number == 2)
            assert bursts.is_partial == (number < 2)
        bursts.report()


def test_a_report_in_the_middle_does_not_end_parts_whose_names_say_how_many_there_are():
    """A thread saves while the script trains on and reports."""
    bursts = Bursts()
    assert add(bursts, "model-1-of-3", "model-2-of-3", "|") == [True, False]
    assert (bursts.is_first, bursts.is_partial) == (False, True)
    assert add(bursts, "model-3-of-3", "index", "|") == [False, False]
    assert (bursts.is_first, bursts.is_partial) == (True, False)
    assert add(bursts, "model-1-of-3", "|", "model-2-of-3", "model-3-of-3", "|", "index") == [True, False, False, False]
    assert bursts.is_complete


def test_a_number_of_parts_that_never_comes_is_one_of_epochs():
    bursts = Bursts()
    for epoch in (1, 2, 3):
        assert add(bursts, f"checkpoint-{epoch}-of-27", "|") == [epoch == 1]
    for epoch in (4, 5, 6):
        assert add(bursts, f"checkpoint-{epoch}-of-27", "|") == [True]
    assert bursts.is_complete


def test_a_file_for_each_epoch_is_a_checkpoint_of_its_own():
    bursts = Bursts()
    assert add(bursts, "epoch-1", "|", "epoch-2", "|", "epoch-3") == [True, True, True]
    assert bursts.is_complete


def test_a_file_that_comes_once_does_not_make_two_epochs_one_checkpoint():
    bursts = Bursts()
    assert add(bursts, "pid", "epoch-1", "|", "epoch-2", "|", "epoch-3", "|", "epoch-4") == [
        True, False, True, True, True,
    ]  # fmt: skip
    assert bursts.is_complete


def test_a_report_does_not_end_a_checkpoint_that_was_longer_before():
    """A thread saves while the script trains on and reports."""
    bursts = Bursts()
    assert add(bursts, "1/part-1", "1/part-2", "|", "2/part-1", "|", "2/part-2", "3/part-1") == [
        True, False, True, False, True,
    ]  # fmt: skip


def test_a_file_may_be_written_to_in_several_goes():
    bursts = Bursts()
    add(bursts, "model", "state", "model", "model")
    assert not bursts.is_complete
    bursts.add("state")
    assert bursts.is_complete


def test_a_file_that_is_written_once_is_no_part_of_the_next_checkpoints():
    bursts = Bursts()
    begins = add(bursts, "model", "config", "|", "model", "|", "model", "|", "model", "|", "model")
    assert begins == [True, False, True, False, True, True]
    assert bursts.is_complete


def test_a_checkpoint_may_begin_with_another_name_than_the_first_one():
    bursts = Bursts()
    bursts.begin()
    bursts.add("model")
    bursts.begin()
    assert add(bursts, "model.old", "model") == [True, False]
    for _ in range(3):
        bursts.begin()
        assert bursts.add("model.old")
        assert bursts.is_partial
        assert not bursts.add("model")
        assert bursts.is_complete


@pytest.mark.parametrize(
    "paths",
    [
        ["settings", "model", "|", "model", "|"],
        ["settings", "words", "model", "state", "|", "model", "state", "|"],
        ["settings", "step-1/model", "|", "step-2/model"],
    ],
)
def test_files_that_are_written_once_are_no_part_of_the_next_checkpoint_after_a_report(paths):
    bursts = Bursts()
    add(bursts, *paths)
    if paths[-1] != "|":
        bursts.remove("step-1/model")  # so that step-2 is no second part of the first checkpoint
        bursts.report()
    assert bursts.is_complete
    assert not bursts.is_partial


@pytest.mark.parametrize(
    "paths",
    [
        ["model", "state", "|", "model", "|"],  # a thread saves
        ["shard-1", "shard-0", "|", "shard-0", "|"],  # two processes save, without waiting for each other
        ["model", "settings", "|", "model", "|"],
    ],
)
def test_a_report_does_not_complete_a_checkpoint_that_may_lack_files(paths):
    bursts = Bursts()
    add(bursts, *paths)
    assert not bursts.is_complete
    assert bursts.is_partial


def test_a_report_says_nothing_if_one_came_while_a_file_was_written():
    bursts = Bursts()
    add(bursts, "settings", "model", "|")
    bursts.overlap(True)
    add(bursts, "model", "|")
    assert bursts.is_partial


def test_if_no_checkpoint_is_like_the_one_before_names_say_nothing():
    """Other files each time, and reports come at any time."""
    bursts = Bursts()
    add(bursts, "A", "model", "|", "B", "C", "model", "|", "D", "model", "E", "|", "F", "model", "G", "model", "H")
    assert not bursts.is_complete
    assert not bursts.is_partial


#: The files of a checkpoint, by its number.
LAYOUTS = {
    "one file": lambda n: ["model"],
    "files": lambda n: ["model", "state", "meta"],
    "steps": lambda n: [f"model-{n}", f"state-{n}"],
    "a step and the newest": lambda n: [f"step-{n}", "latest"],
    "names in turn": lambda n: [f"model-{'ab'[n % 2]}", f"state-{'ab'[n % 2]}", "newest"],
    "parts": lambda n: ["model-1-of-3", "model-2-of-3", "model-3-of-3", "index"],
    "parts of steps": lambda n: [f"step-{n}-part-0", f"step-{n}-part-1"],
    "a folder of parts": lambda n: ["model/part-0", "model/part-1", "model/index"],
    "folders of ranks": lambda n: ["rank-0/model", "rank-0/state", "rank-1/model", "rank-1/state"],
    "folders": lambda n: [f"step-{n}/model/part-0", f"step-{n}/model/part-1", f"step-{n}/opt/part-0", f"step-{n}/meta"],
    "folders and the newest": lambda n: [f"step-{n}/part-0", f"step-{n}/part-1", "latest"],
    "a folder of steps": lambda n: [f"version_0/step-{n}", "version_0/last"],
    "folders in a folder": lambda n: [f"version_0/step-{n}/model", f"version_0/step-{n}/state"],
}  # fmt: skip


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("is_cut", [False, True])
@given(data=st.data())
def test_a_checkpoint_is_never_complete_in_its_middle(files, is_cut, data):
    """One report for each checkpoint: after it, or, if a thread saves, somewhere in it."""
    bursts = Bursts()
    for number in range(1, 8):
        names = files(number)
        place = data.draw(st.integers(0, len(names))) if is_cut and len(names) > 1 else len(names)
        for name in (*names[:place], "|", *names[place:]):
            add(bursts, name)
            written = [*names[: names.index(name)], name] if name != "|" else names[:place]
            if 0 < len(written) < len(names):
                assert not bursts.is_complete
        # Names tell nothing of the first ones.
        assert is_cut or number < 5 or bursts.is_complete


@pytest.mark.parametrize("paths", [["model", "state", "|", "model"], ["model-1", "state-1", "|", "model-2"]])
def test_what_may_be_of_two_checkpoints_is_not_the_only_one(paths):
    bursts = Bursts()
    assert not bursts.is_only_one
    add(bursts, *paths)
    assert not bursts.is_only_one


def test_a_report_while_a_thread_writes_a_folder_aside_does_not_split_the_folder():
    bursts = Bursts()
    add(bursts, "aside-1/model", "|", "aside-1/state")
    assert bursts.withdraw("aside-1")


def test_one_of_several_files_that_are_moved_into_place_one_by_one_has_come_since_the_report():
    bursts = Bursts()
    add(bursts, "|", "aside-1", "aside-2")
    assert bursts.withdraw("aside-1")
    add(bursts, "aside-3", "|", "aside-4")
    assert not bursts.withdraw("aside-3")


def test_a_script_that_opens_a_file_twice_during_a_save_may_open_it_once_more():
    """As where a second library adds to the file of the first one."""
    bursts = Bursts()
    add(bursts, "model", "model", "|")
    assert not bursts.may_go_on
    assert add(bursts, "model") == [True]
    assert bursts.may_go_on
    assert add(bursts, "model") == [False]
    bursts.report()
    assert bursts.is_complete
    assert not bursts.may_go_on  # it has reported since


def test_a_file_that_is_written_again_after_a_pause_is_another_checkpoint():
    bursts = Bursts()
    bursts.add("model")
    bursts.rest()
    assert bursts.add("model")
    assert not bursts.may_go_on
