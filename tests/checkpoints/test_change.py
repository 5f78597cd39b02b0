"""Lists of changes."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._change import Change, split_at_each_report, split_at_reports, without_known

KINDS = {"l": "lost", "c": "created", "w": "written", "e": "closed", "m": "moved", "r": "removed"}


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ("", ("", "", "")),
        ("ab", ("ab", "", "")),
        ("|", ("", "|", "")),
        ("a|b|cd", ("a", "|b|", "cd")),
        ("|ab", ("", "|", "ab")),
    ],
)
def test_changes_are_split_at_the_first_and_the_last_addition_to_the_log(changes, parts):
    def made_of(names):
        return [None if name == "|" else Change("closed", name) for name in names]

    assert list(map(list, split_at_reports(made_of(changes)))) == list(map(made_of, parts))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [("", [""]), ("ab", ["ab"]), ("|", ["", ""]), ("a|b||c|d", ["a", "b", "c", "d"]), ("|ab|", ["", "ab", ""])],
)
def test_changes_are_split_at_each_addition_to_the_log(changes, parts):
    def made_of(names):
        return [None if name == "|" else Change("closed", name) for name in names]

    assert split_at_each_report(made_of(changes)) == list(map(made_of, parts))


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ("l", "l"),
        ("lr", "lr"),
        ("lce", "ce"),
        ("wcwe", "cwe"),
        ("lm", "m"),
        ("wm", "wm"),
        ("le", "we"),
        ("lwwe", "wwwe"),
        ("lw", "lw"),
        ("lrcwe", "lrcwe"),
        ("lewe", "wewe"),
        ("ll", "l"),
        ("lle", "we"),
        ("lrl", "lrl"),
    ],
)
def test_a_file_that_is_made_or_closed_after_the_watch_began_was_not_finished_before(changes, left):
    def made_of(kinds):
        return [Change("lost", "other"), None, *(Change(KINDS[kind], "model") for kind in kinds), None]

    assert without_known(made_of(changes)) == made_of(left)
