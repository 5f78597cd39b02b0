"""A change is either withdrawn by the backend or taken by the script, whoever comes first."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from syne_hypersched._resize_desk import ChangeOutcome, RankChange, ResizeDesk
from tests.thoroughness import examples


@pytest.fixture
def desk(tmp_path) -> ResizeDesk:
    desk = ResizeDesk(tmp_path / "trial" / "resizes")
    desk.open()
    return desk


def test_an_order_is_found_until_it_is_taken(desk):
    change = RankChange(0, 1, 3)
    assert desk.pending() is None
    desk.order(change)
    assert desk.pending() == change
    assert desk.take(change)
    assert desk.pending() is None
    assert not desk.withdraw(change)
    outcome = ChangeOutcome(0, True, "", 5.0, 0.1, 0.05)
    assert desk.outcome(change) is None
    desk.answer(outcome)
    assert desk.outcome(change) == outcome


def test_a_change_that_was_withdrawn_is_not_taken(desk):
    change = RankChange(0, 2, 1)
    desk.order(change)
    assert desk.withdraw(change)
    assert not desk.take(change)
    assert not desk.withdraw(change)


def test_new_processes_say_that_they_are_ready(desk):
    change = RankChange(4, 1, 3)
    assert list(change.new_ranks) == [1, 2]
    desk.tell_ready(4, 2, 7.5)
    assert desk.ready_times(change) == {2: 7.5}
    assert desk.is_ready(change, 2)
    assert not desk.is_ready(change, 1)
    assert desk.find_offer(4) is None
    desk.offer(change, 1234)
    assert desk.find_offer(4) == 1234


def test_a_script_says_that_it_cannot_change_or_that_its_training_has_ended(desk):
    assert (desk.why_unable, desk.is_over) == ("", False)
    desk.decline("its model is too large")
    desk.end()
    assert (desk.why_unable, desk.is_able, desk.is_over) == ("its model is too large", False, True)
    desk.announce()
    desk.decline("it is another run")
    assert (desk.why_unable, desk.is_able, desk.is_over) == ("it is another run", False, False)
    desk.open()
    assert (desk.why_unable, desk.is_over) == ("", False)


def test_a_folder_of_an_earlier_launch_is_emptied(desk):
    desk.announce()
    desk.order(RankChange(0, 1, 2))
    desk.give_up(RankChange(0, 1, 2))
    assert desk.is_able
    desk.open()
    assert not desk.is_able
    assert desk.pending() is None
    assert not desk.has_given_up(RankChange(0, 1, 2))


class TwoSides(RuleBasedStateMachine):
    """A backend that orders and withdraws, and a script that takes and answers, in any order."""

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.desk = ResizeDesk(self.folder.name + "/resizes")
        self.desk.open()
        self.number = -1
        self.state = "none"

    def teardown(self) -> None:
        self.folder.cleanup()

    @property
    def change(self) -> RankChange:
        return RankChange(self.number, 1, 2)

    @precondition(lambda self: self.state in ("none", "withdrawn", "answered"))
    @rule()
    def order(self) -> None:
        self.number += 1
        self.desk.order(self.change)
        self.state = "ordered"

    @precondition(lambda self: self.number >= 0)
    @rule()
    def withdraw(self) -> None:
        assert self.desk.withdraw(self.change) == (self.state == "ordered")
        if self.state == "ordered":
            self.state = "withdrawn"

    @precondition(lambda self: self.number >= 0)
    @rule()
    def take(self) -> None:
        assert self.desk.take(self.change) == (self.state == "ordered")
        if self.state == "ordered":
            self.state = "taken"

    @precondition(lambda self: self.state == "taken")
    @rule()
    def answer(self) -> None:
        self.desk.answer(ChangeOutcome(self.number, True))
        self.state = "answered"

    @invariant()
    def the_files_say_the_same(self) -> None:
        if self.number < 0:
            return
        assert (self.desk.pending() == self.change) == (self.state == "ordered")
        assert (self.desk.outcome(self.change) is not None) == (self.state == "answered")


TestTwoSides = TwoSides.TestCase
TestTwoSides.settings = settings(max_examples=examples(30), stateful_step_count=20, deadline=None)
