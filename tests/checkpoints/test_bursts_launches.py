"""Where a checkpoint ends if earlier launches have left files and knowledge."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._bursts import Bursts
from tests.checkpoints.bursts import add


def test_a_launch_knows_what_a_checkpoint_consists_of_if_an_earlier_one_has_shown_it():
    bursts = Bursts(["model", "state-#"])
    bursts.report()
    bursts.add("model")
    bursts.overlap(True)  # a thread saves while the script reports
    assert (bursts.is_partial, bursts.is_complete) == (True, False)
    bursts.add("state-7")
    assert (bursts.is_partial, bursts.is_complete) == (False, True)
    assert bursts.add("model")
    assert bursts.layout == ["model", "state-#"]


def test_what_a_checkpoint_consists_of_is_handed_on_only_if_it_is_certain():
    bursts = Bursts()
    assert bursts.layout == []
    add(bursts, "rank-0", "step-1", "|")
    assert bursts.layout == []
    add(bursts, "rank-0", "step-2", "|")
    assert bursts.layout == ["rank-0", "step-#"]
    add(bursts, "rank-0")
    assert bursts.layout == ["rank-0", "step-#"]
    add(bursts, "best", "rank-0")  # not each time the same
    assert bursts.layout == []
    in_turn = Bursts()
    add(in_turn, "slot-a", "newest", "|", "slot-b", "newest", "|", "slot-a", "newest", "|", "slot-b", "newest", "|")
    assert in_turn.layout == []


@pytest.mark.parametrize(
    "save", [("model", "model"), ("model", "model", "state"), ("state", "model-{}", "model-{}")], ids=" ".join
)
def test_a_file_that_is_always_written_twice_does_not_show_the_end_of_the_first_save_of_the_next_launch(save):
    """The next launch must wait for a report or a pause. LightGBM writes its model in this way."""
    bursts = Bursts()
    for epoch in (1, 2, 3):
        add(bursts, *(path.format(epoch) for path in save), "|")
    later = Bursts(bursts.layout)
    for epoch in (4, 5):
        seen = []
        for path in save:
            later.add(path.format(epoch))
            seen.append(later.is_complete and not later.may_go_on)
        assert seen == [*[False] * (len(save) - 1), save[-1] == "state"]
        later.report()
        assert later.is_complete
        assert not later.may_go_on


def test_a_thread_that_saves_a_new_file_for_each_epoch_does_not_save_two_at_a_time():
    """It finishes them now before and now after the report."""
    bursts = Bursts()
    add(bursts, "|", "epoch-1", "epoch-2", "|", "|", "epoch-3", "epoch-4", "|", "|")
    seen = []
    for number in (5, 6, 7, 8):
        begins = bursts.add(f"epoch-{number}")
        seen.append((begins, bursts.is_complete, bursts.is_partial))
        bursts.report()
    assert seen[-2:] == [(True, True, False)] * 2
    assert bursts.layout == ["epoch-#"]


def test_two_files_with_one_number_each_are_not_handed_on():
    bursts = Bursts()
    add(bursts, "a-1", "a-2", "|", "a-3", "a-4", "|", "a-5", "a-6", "|")
    assert bursts.is_complete
    assert bursts.layout == []


def test_files_that_a_launch_has_found_and_removes_before_its_first_save_are_missing():
    for layout in ([], ["model", "state-#"]):
        bursts = Bursts(layout, present=["model", "state-1"])
        assert not bursts.is_partial
        bursts.remove("state-1")
        assert bursts.is_partial
        bursts.add("model")
        assert bursts.is_partial
        bursts.add("state-2")
        assert not bursts.is_partial
        bursts.report()
        assert not bursts.is_partial


def test_files_that_a_launch_has_found_and_that_it_removes_after_its_first_save_are_not_missing():
    bursts = Bursts(["step-#"], present=["step-1", "step-2", "notes"])
    bursts.add("step-3")
    for path in ("step-1", "step-2"):
        bursts.remove(path)
    assert bursts.is_complete
    assert not bursts.is_partial


@pytest.mark.parametrize("layout", [[], ["step-#"]])
def test_a_folder_that_a_launch_puts_in_place_as_a_whole_takes_the_place_of_the_files_that_it_has_found(layout):
    found = ["step-1/model", "step-1/shards/1"]
    bursts = Bursts(layout, present=found)
    bursts.add("step-2")
    bursts.remove("step-1")
    assert not bursts.is_partial
    bursts = Bursts(layout, present=found)
    bursts.remove("step-1/model")
    assert bursts.is_partial
    bursts.remove("step-1")
    assert bursts.is_partial
    bursts.add("step-2")
    assert not bursts.is_partial


def test_what_a_launch_has_found_and_removed_is_of_no_use_if_it_is_not_there_at_a_report():
    bursts = Bursts(present=["left-over", "model"])
    bursts.remove("left-over")
    assert bursts.is_partial
    add(bursts, "model", "|")
    assert not bursts.is_partial
    add(bursts, "model")
    assert bursts.is_complete


def test_other_files_than_an_earlier_launch_had_are_learnt_anew():
    bursts = Bursts(["model"])
    assert add(bursts, "weights", "optimizer", "|", "weights", "optimizer", "|") == [True, False, True, False]
    assert bursts.is_complete
    assert bursts.layout == ["weights", "optimizer"]
