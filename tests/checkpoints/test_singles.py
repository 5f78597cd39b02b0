"""Files that come one for each report."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._singles import Singles


def growing(*what):
    """Adds paths, and reports where there is a ``|``; returns after which of them each is a checkpoint."""
    singles, seen = Singles(), []
    for path in what:
        if path == "|":
            singles.report()
        else:
            singles.add(path)
            seen.append(singles.are_growing)
    return seen


@pytest.mark.parametrize(
    "what",
    [
        ("s-1", "|", "s-2", "|", "s-3", "|", "s-4", "|", "s-5", "|", "s-6"),
        ("|", "s-1", "s-2", "|", "|", "s-3", "s-4", "|", "s-5", "|", "s-6"),
        ("s-8", "|", "s-9", "|", "s-10", "|", "s-11", "|", "s-12", "s-13"),
    ],
)
def test_one_file_for_each_report_with_a_number_that_grows_is_a_checkpoint(what):
    assert growing(*what)[-2:] == [True, True]
    assert not any(growing(*what)[:4])


@pytest.mark.parametrize(
    "what",
    [
        ("s-1", "s-2", "s-3", "s-4", "|", "s-5", "s-6"),  # several for each report
        ("s-1", "|", "s-2", "|", "s-1", "|", "s-2", "|", "s-1", "|", "s-2"),  # parts
        ("s-1-1", "|", "s-1-2", "|", "s-2-1", "|", "s-2-2", "|", "s-3-1"),
        ("m", "|", "m", "|", "m", "|", "m", "|", "m"),
        ("s-1", "newest", "|", "s-2", "newest", "|", "s-3", "newest", "|", "s-4", "newest", "|", "s-5"),
    ],
)
def test_other_files_may_be_parts(what):
    assert not any(growing(*what))


def test_a_number_that_starts_again_is_that_of_a_part():
    assert growing("s-1", "|", "s-2", "|", "s-3", "|", "s-4", "|", "s-5", "|", "s-1", "s-2")[-3:] == [
        True,
        False,
        False,
    ]


def test_three_parts_in_a_row_each_before_a_report_are_checkpoints():
    singles = Singles()
    assert not singles.end(["model-1-of-3"])
    assert not singles.end(["model-2-of-3"])
    assert not singles.are_parts
    assert singles.end(["model-3-of-3"])
    assert singles.are_parts
    assert not singles.end(["model-1-of-3"])  # that is known
