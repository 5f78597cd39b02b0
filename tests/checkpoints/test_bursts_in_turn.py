"""Where a checkpoint ends if the script uses several names in turn."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._bursts import Bursts
from tests.checkpoints.bursts import add


def test_two_names_in_turn_and_then_which_one_is_the_newest():
    bursts = Bursts()
    assert add(bursts, "A", "newest", "|") == [True, False]
    bursts.add("B")
    assert bursts.is_partial
    bursts.add("newest")
    bursts.report()
    for name in ("A", "B", "A"):
        assert bursts.add(name)
        assert bursts.is_partial
        assert not bursts.add("newest")
        assert bursts.is_complete
        bursts.report()


def test_names_are_not_used_in_turn_if_reports_come_in_the_middle():
    """A thread saves."""
    bursts = Bursts()
    add(bursts, "model", "|", "state", "model", "|", "state", "|", "model", "state", "|", "model", "|", "state")
    assert bursts.is_complete
    assert bursts.add("model")
    assert bursts.is_partial


REPORTS_IN_A_SAVE = [
    ("A", "|", "newest", "B", "newest", "|", "A", "newest", "B", "|", "|", "newest", "A", "newest", "B"),
    ("A", "|", "newest", "B", "|", "newest", "A", "|", "newest", "B"),
    ("A", "|", "newest", "|", "B", "newest", "A", "newest", "|", "|", "B"),
]


@pytest.mark.parametrize("files", REPORTS_IN_A_SAVE)
def test_names_are_used_in_turn_and_reports_come_at_any_time(files):
    """A thread saves."""
    bursts = Bursts()
    add(bursts, *files)
    assert bursts.is_partial
    assert not bursts.is_complete
    for name in ("C", "B", "A"):
        bursts.report()
        assert not bursts.add("newest")
        assert bursts.is_complete
        assert bursts.add(name)
        assert bursts.is_partial


@pytest.mark.parametrize("files", REPORTS_IN_A_SAVE)
def test_the_second_checkpoint_of_names_in_turn_is_known_by_how_the_first_one_ended(files):
    bursts, ends = Bursts(), 0
    for name in files:
        add(bursts, name)
        ends += name == "newest"
        assert bursts.is_first == (ends < 2)
        if ends > 1 and name == "newest":
            assert bursts.is_complete


def test_a_file_that_is_only_written_at_the_start_is_taken_for_a_name_in_turn_for_one_checkpoint():
    bursts = Bursts()
    add(bursts, "settings", "last", "best", "|", "last")
    assert bursts.is_complete
    bursts.report()
    add(bursts, "last", "best", "|")
    add(bursts, "last", "best", "|")
    assert bursts.is_complete


def test_the_second_checkpoint_of_a_launch_may_have_another_name():
    bursts = Bursts()
    assert add(bursts, "slot-a", "newest", "|", "slot-b") == [True, False, False]
    assert bursts.is_partial
    assert not bursts.add("newest")
    assert not bursts.is_partial
    bursts.report()
    assert bursts.is_complete
    assert add(bursts, "slot-a", "newest") == [True, False]
    assert bursts.is_complete
