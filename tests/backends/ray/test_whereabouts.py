"""Where checkpoints are, and which copies are due, on what nodes have told alone."""

from __future__ import annotations

import pytest

from syne_hypersched.backends.ray._whereabouts import TUNER, Whereabouts


@pytest.fixture
def known():
    whereabouts = Whereabouts()
    assert whereabouts.begin("0", "a") == ""
    return whereabouts


def test_a_trial_that_was_never_launched_is_nowhere():
    known = Whereabouts()
    assert known.node("0") == TUNER
    assert known.is_settled("0")
    assert not known.trains("0")
    assert not known.is_known("0")
    assert known.due([]) == []


def test_each_generation_is_copied_while_it_trains(known):
    assert known.due([]) == []
    known.take("0", 1)
    assert known.due([]) == [("0", "a", False)]
    assert known.due(["0"]) == []
    assert not known.is_settled("0")
    known.take("0", 2)
    known.copied("0", "a", 1, with_live=False)
    assert known.due([]) == [("0", "a", False)]
    known.copied("0", "a", 2, with_live=False)
    assert known.due([]) == []
    assert known.is_settled("0")


def test_all_is_copied_when_it_rests_and_before_what_trains():
    known = Whereabouts()
    known.begin("0", "a")
    known.take("0", 1)
    known.begin("1", "b")
    known.end("1", is_lost=False)
    assert known.due([]) == [("1", "b", True), ("0", "a", False)]
    known.copied("1", "b", None, with_live=True)
    assert known.due([]) == [("0", "a", False)]
    assert known.node("1") == "b"


def test_a_copy_that_began_before_the_end_is_not_the_last_one(known):
    known.take("0", 3)
    known.end("0", is_lost=False)
    known.copied("0", "a", 3, with_live=False)
    assert known.due([]) == [("0", "a", True)]


def test_a_copy_of_the_end_is_not_all_when_the_next_launch_trains(known):
    known.end("0", is_lost=False)
    assert known.begin("0", "a") == ""
    known.take("0", 4)
    known.copied("0", "a", 3, with_live=True)
    assert known.due([]) == [("0", "a", False)]


class TestALostNode:
    def test_nothing_is_lost_if_the_newest_was_copied(self, known):
        known.take("0", 1)
        known.copied("0", "a", 1, with_live=False)
        known.end("0", is_lost=True)
        assert known.node("0") == TUNER
        assert known.begin("0", "b") == ""
        assert known.node("0") == "b"

    def test_a_trial_goes_back_and_says_so_once(self, known):
        known.take("0", 1)
        known.copied("0", "a", 1, with_live=False)
        known.take("0", 2)
        known.end("0", is_lost=True)
        assert known.due([]) == []
        assert "node a was lost before its newest checkpoint" in known.begin("0", "b")
        known.end("0", is_lost=True)
        assert known.begin("0", "c") == ""

    def test_a_copy_may_arrive_last(self, known):
        """It was being put in place when its node was lost."""
        known.take("0", 1)
        known.end("0", is_lost=True)
        known.copied("0", "a", 1, with_live=False)
        assert known.begin("0", "b") == ""

    def test_numbers_are_used_again(self, known):
        known.take("0", 7)
        known.end("0", is_lost=True)
        known.begin("0", "b")
        known.take("0", 1)
        assert known.due([]) == [("0", "b", False)]
        known.copied("0", "b", 1, with_live=False)
        assert known.is_settled("0")

    def test_trials_at_rest_go_back_too_unless_they_were_copied(self, known):
        known.end("0", is_lost=False)
        known.begin("1", "a")
        known.end("1", is_lost=False)
        known.copied("1", "a", 1, with_live=True)
        known.begin("2", "a")
        known.lose("a")
        assert [known.node(trial) for trial in "012"] == [TUNER, TUNER, "a"]
        assert "node a was lost before its last checkpoint" in known.begin("0", "b")
        assert known.begin("1", "b") == ""

    def test_another_node_changes_nothing(self, known):
        known.lose("b")
        assert known.node("0") == "a"


def test_what_is_on_the_tuners_disk_may_be_removed_from_a_node(known):
    known.begin("1", "a")
    known.end("1", is_lost=False)
    known.begin("2", "a")
    known.end("2", is_lost=False)
    known.copied("2", "a", 5, with_live=True)
    assert known.spare("a") == ["2"]
    assert [known.node(trial) for trial in "012"] == ["a", "a", TUNER]
    assert known.begin("2", "a") == ""
    assert known.spare("b") == []


def test_a_copy_that_is_given_up_is_not_due(known):
    known.take("0", 1)
    known.give_up("0")
    assert known.due([]) == []
