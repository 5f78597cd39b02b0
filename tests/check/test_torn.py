"""States that a kill in a save may leave."""

from __future__ import annotations

import pytest

from syne_hypersched.check._torn import Piece, files_below, lay_out, torn_states
from syne_hypersched.checkpoints import Change


def changes(*texts):
    """Changes from words such as ``"closed a"``."""
    return [Change(text.rpartition(" ")[0], text.rpartition(" ")[2]) for text in texts]


def states(before, after, *texts, sizes=None):
    old, new = ({name: f"{place}/{name}" for name in names} for place, names in (("old", before), ("new", after)))
    return torn_states(old, new, sizes or dict.fromkeys(after, 10), changes(*texts))


def test_a_file_that_is_moved_into_place_is_never_torn():
    assert states("a", "a", "created aside", "written aside", "closed aside", "moved away aside", "moved a") == []


def test_a_folder_that_is_moved_into_place_is_never_torn():
    names = ["made aside", "created aside/m", "written aside/m", "closed aside/m", "created aside/o", "closed aside/o"]
    after = ("c2/m", "c2/o")
    assert states(("c1/m", "c1/o"), after, *names, "moved away aside", "moved c2", "removed c1/m", "removed c1/o") == []


@pytest.mark.parametrize(
    "inner",
    [
        [],  # all came before the watch on the folder
        ["lost aside/m"],
        ["created aside/o", "closed aside/o"],
        ["closed aside/m", "lost aside/o"],
    ],
)
def test_a_folder_whose_inner_changes_were_missed_is_whole_when_it_is_moved(inner):
    old, new = ("c1/m", "c1/o"), ("c2/m", "c2/o")
    moved = ["made aside", *inner, "moved away aside", "moved c2"]
    assert states(old, new, *moved, "removed c1/m", "removed c1/o", "removed c1") == []
    # A fault is seen all the same.
    found = states(old, new, "removed c1/m", "removed c1/o", "removed c1", *moved)
    assert [state.what for state in found] == ["the old checkpoint removed, the new one not there"]


def test_a_file_from_a_folder_whose_changes_were_missed_is_whole_when_it_is_moved():
    assert states("a", "b", "made x", "moved away x/b", "moved b", "removed x", "removed a") == []
    found = states("a", "b", "made x", "removed a", "moved away x/b", "moved b", "removed x")
    assert [state.what for state in found] == ["the old checkpoint removed, the new one not there"]


@pytest.mark.parametrize(
    "texts",
    [
        ("made c2", "removed c1/m", "removed c1"),  # filled in place, unseen
        ("made c2", "removed c1/m", "removed c1", "lost c2/m"),
        ("made c2", "removed c1/m", "removed c1", "closed c2/m"),
        ("made x", "moved away x", "moved y", "removed c1/m", "moved away y", "moved c2"),
        ("lost ", "removed c1/m", "created c2/m", "closed c2/m"),
    ],
)
def test_no_state_is_made_when_it_is_not_certain_what_was_there(texts):
    assert states(("c1/m",), ("c2/m",), *texts) == []


def test_a_file_that_is_written_in_place_is_half_written():
    (state,) = states("ab", "ab", "written a", "closed a", sizes={"a": 10, "b": 99})
    assert state.what == "a half written"
    assert state.pieces == {"a": Piece("new/a", is_half=True), "b": Piece("old/b")}


def test_the_largest_of_several_files_is_half_written():
    found = states("", "abc", *[f"{kind} {name}" for name in "abc" for kind in ("created", "written", "closed")],
                   sizes={"a": 1, "b": 9, "c": 2})  # fmt: skip
    assert {state.what for state in found} == {"b half written", "a new, b, c not yet"}


def test_two_files_that_are_moved_one_after_the_other_do_not_fit_in_between():
    moves = ["created x", "closed x", "moved away x", "moved a", "created x", "closed x", "moved away x", "moved b"]
    (state,) = states("ab", "ab", *moves)
    assert state.what == "a new, b not yet"
    assert {name: state.pieces[name] for name in "ab"} == {"a": Piece("new/a"), "b": Piece("old/b")}


def test_an_old_checkpoint_that_is_removed_first_leaves_nothing():
    found = states("a", "a", "removed a", "created x", "closed x", "moved away x", "moved a")
    assert [state.what for state in found] == ["the old checkpoint removed, the new one not there"]
    assert found[0].pieces == {}


def test_a_state_is_laid_out(tmp_path):
    (tmp_path / "stored").mkdir()
    (tmp_path / "stored" / "a").write_text("0123456789")
    (state,) = torn_states({}, files_below(tmp_path / "stored"), {"a": 10}, changes("made d", "written a", "closed a"))
    lay_out(state, tmp_path / "there")
    assert (tmp_path / "there" / "a").read_text() == "01234"
    assert (tmp_path / "there" / "d").is_dir()


@pytest.mark.parametrize("text", ["moved away a", "lost a", "removed a", "moved a"])
def test_any_single_change_can_be_handled(text):
    assert isinstance(states("a", "", text), list)
