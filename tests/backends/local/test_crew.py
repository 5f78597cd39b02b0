"""The launches that train one trial together: who is in them, and how all of them have ended."""

from __future__ import annotations

import pytest

from syne_hypersched._resize_desk import ChangeOutcome, ResizeDesk
from syne_hypersched.backends.local._crew import MOST_FAILURES, Crew, changeable, joining
from syne_hypersched.launch import LaunchExit, LaunchSpec, RankSpec


@pytest.fixture
def desk(tmp_path) -> ResizeDesk:
    desk = ResizeDesk(tmp_path / "resizes")
    desk.open()
    return desk


def ended(*codes, first_failed=None, drained=False, killed=False, lost=False, error=""):
    return LaunchExit(codes, first_failed, drained, killed, lost, error)


def grown(desk) -> Crew:
    """A launch on one device that two processes have joined."""
    crew = Crew(7, ("a",), 1, desk)
    crew.begin(crew.next_change(3))
    crew.newcomer, crew.new_devices = 8, ("c", "b")
    crew.seat_newcomers()
    crew.end_change()
    return crew


def test_new_processes_have_the_ranks_after_the_others(desk):
    crew = grown(desk)
    assert crew.devices == ("a", "c", "b")
    assert crew.handles == [7, 8]
    assert crew.rank_of(8, 1) == 2
    assert crew.rank_of(9, 0) is None
    assert crew.ranks_of(8) == [1, 2]
    shrinks = crew.next_change(2)
    assert (shrinks.number, shrinks.before, shrinks.after, list(shrinks.new_ranks)) == (1, 3, 2, [])
    crew.begin(shrinks)
    assert list(crew.leaving) == []
    desk.answer(ChangeOutcome(shrinks.number, True))
    assert crew.hear() is not None
    assert crew.hear() is None, "it is told once"
    assert list(crew.leaving) == [2]


def test_those_on_devices_that_are_to_go_leave_first(desk):
    crew = grown(desk)
    assert crew.next_change(2, ["c"]).gone == (1,)
    assert crew.next_change(1, ["c"]).gone == (1, 2)
    assert crew.can_leave(["b", "c"])
    assert not crew.can_leave(["a"]), "the first process stays"
    change = crew.next_change(2, ["c"])
    crew.begin(change)
    assert crew.is_leaving(["c"])
    assert not crew.is_leaving(["b"])
    desk.answer(ChangeOutcome(change.number, True))
    crew.hear()
    assert crew.clear_seats(crew.leaving) == (("c",), set())
    crew.end_change()
    assert not crew.is_leaving(["c"])
    assert crew.devices == ("a", "b")
    assert crew.rank_of(8, 1) == 1, "it has taken the rank of the one that left"
    assert crew.logs == (0, 2)
    assert crew.clear_seats([1]) == (("b",), {8})


def test_processes_can_change_when_the_script_says_so_until_it_fails(desk):
    crew = Crew(0, ("a",), 1, desk)
    assert not crew.can_change
    desk.announce()
    assert crew.can_change
    crew.num_failed = MOST_FAILURES
    assert not crew.can_change
    assert not Crew(0, ("a",), 1, None).can_change


def test_a_single_launch_has_ended_as_it_has(desk):
    crew = Crew(7, ("a", "b"), 2, desk)
    crew.exits[7], crew.is_ending = ended(75, 75, drained=True), True
    assert crew.has_ended
    assert crew.how_ended() is crew.exits[7]


def test_all_launches_together_end_as_the_first_that_failed(desk):
    crew = grown(desk)
    crew.is_ending = True
    crew.exits[8] = ended(1, -9, first_failed=0, killed=True)
    assert not crew.has_ended
    crew.exits[7] = ended(75, drained=True)
    assert crew.has_ended
    exit_ = crew.how_ended()
    assert exit_.exit_codes == (75, 1, -9)
    assert (exit_.first_failed, exit_.exit_code, exit_.drained, exit_.killed) == (1, 1, False, True)


def test_a_lost_launch_makes_all_of_them_lost(desk):
    crew = grown(desk)
    crew.is_ending = True
    crew.exits[8] = ended(killed=True, lost=True)
    crew.exits[7] = ended(75, drained=True)
    exit_ = crew.how_ended()
    assert exit_.lost
    assert exit_.exit_codes == (75, None, None)


def test_all_that_left_on_a_signal_have_left(desk):
    crew = grown(desk)
    crew.is_ending = True
    crew.exits[7], crew.exits[8] = ended(75, drained=True), ended(75, 75, drained=True)
    exit_ = crew.how_ended()
    assert exit_.drained
    assert exit_.has_left


def test_only_the_new_ranks_of_a_change_are_launched(desk):
    ranks = tuple(RankSpec({"RANK": str(rank)}, f"out{rank}", f"err{rank}") for rank in range(3))
    spec = LaunchSpec(("train.py",), ranks, True, 1.0)
    crew = Crew(7, ("a",), 1, desk)
    new = joining(spec, crew.next_change(3), desk)
    assert [rank.stdout for rank in new.ranks] == ["out1", "out2"]
    assert {rank.env["SYNE_HYPERSCHED_JOINS"] for rank in new.ranks} == {"0:1"}
    assert {rank.env["SYNE_HYPERSCHED_RESIZE_DIR"] for rank in new.ranks} == {desk.folder}
    assert all("SYNE_HYPERSCHED_JOINS" not in rank.env for rank in changeable(spec, desk).ranks)


def test_a_launch_says_why_its_devices_cannot_change(desk):
    assert Crew(1, ("cpu0",), 1, None).why_unable == ""
    crew = Crew(1, ("cpu0",), 1, desk)
    assert "has not said" in crew.why_unable
    desk.decline("its model is sharded")
    assert crew.why_unable == "its model is sharded"
    desk.announce()
    assert crew.why_unable == ""
    crew.num_failed = MOST_FAILURES
    assert "2 changes" in crew.why_unable
