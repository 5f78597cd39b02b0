"""The last complete checkpoint, beside which the next one is being made."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._complete import LastComplete
from syne_hypersched.checkpoints._files import FileState
from syne_hypersched.checkpoints._states import State

STATE = State(1, 1, 0.0)


def folders(*paths):
    """Files with the folders that they are in."""
    found = {}
    for path in paths:
        parts = path.split("/")
        for number in range(1, len(parts)):
            found["/".join(parts[:number])] = FileState("folder")
        found[path] = FileState("file", 1, 1, 1)
    return found


@pytest.fixture
def complete():
    made = LastComplete()
    made.finish("step-1/model", True, False, STATE)
    made.finish("step-1/state", False, True, STATE)
    return made


def test_what_was_begun_after_it_is_left_out(complete):
    complete.begin("step-2/model")
    complete.finish("step-2/model", True, False, State(2, 2, 0.0))
    complete.begin("step-2/state")
    live = folders("step-1/model", "step-1/state", "step-2/model", "step-2/state", "old")
    assert complete.tree(live, {"step-2/state"}) == folders("step-1/model", "step-1/state", "old")
    assert complete.state is STATE


def test_a_checkpoint_is_complete_when_the_next_one_is_begun():
    complete = LastComplete()
    complete.finish("epoch-1", True, False, STATE)
    assert complete.tree(folders("epoch-1"), ()) == {}
    complete.begin("epoch-2", begins=lambda _: True)
    assert complete.tree(folders("epoch-1", "epoch-2"), {"epoch-2"}) == folders("epoch-1")
    assert complete.state is STATE


def test_a_folder_that_was_put_in_place_as_a_whole_is_gone_with_its_first_file():
    complete = LastComplete()
    complete.finish("epoch-1", True, True, STATE)
    live = folders("epoch-1/state")
    assert complete.tree(live, ()) == live
    complete.remove("epoch-1/model")
    assert complete.tree(live, ()) == {}


@pytest.mark.parametrize("change", ["written", "removed", "moved away with its folder", "not closed", "gone"])
def test_there_is_none_once_it_was_changed(complete, change):
    live, unproven = folders("step-1/model", "step-1/state", "step-2/model"), set()
    if change == "written":
        complete.begin("step-1/model")
    elif change == "removed":
        complete.remove("step-1/state")
    elif change == "moved away with its folder":
        complete.remove("step-1")
    elif change == "not closed":
        unproven.add("step-1/model")
    else:
        del live["step-1/state"]
    assert complete.tree(live, unproven) == {}


def test_an_older_file_that_may_be_torn_spoils_it(complete):
    assert complete.tree(folders("step-1/model", "step-1/state", "log"), {"log"}) == {}
