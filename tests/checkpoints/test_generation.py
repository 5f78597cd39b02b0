"""Generations and notes as values, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from syne_hypersched.checkpoints import Generation, Matched, Notes
from syne_hypersched.checkpoints._files import FileState
from syne_hypersched.checkpoints._generation import generation_of, notes_of, values_of

LIVE = {"model": FileState("file", 5, 100, 12), "inner": FileState("folder"), "latest": FileState("link", 6, 5, 13)}


@pytest.mark.parametrize(
    ("after", "before", "report", "newer_by"), [(3, 3, 3, 1), (3, 5, 3, 3), (4, 4, 3, 2), (2, 4, 3, -1)]
)
def test_how_much_newer_one_may_be(after, before, report, newer_by):
    assert Generation(1, 0, after, before, {}, {}).newer_by(report) == newer_by


def test_a_generation_is_the_same_after_it_was_json():
    generation = Generation(3, 1, 2, 4, LIVE, {"model": "moved"}, 2.0, 100)
    assert generation_of(json.loads(json.dumps(values_of(generation)))) == generation
    assert (generation.is_final("model"), generation.is_final("other")) == (True, False)


@pytest.mark.parametrize("change", [{"format": 2}, {"live": {"model": ["file", 1, 2, 3, 4]}}, {"color": "red"}])
def test_what_is_no_generation_is_an_error(change):
    values = values_of(Generation(1, 0, 0, 0, LIVE, {})) | change
    with pytest.raises((TypeError, ValueError)):
        generation_of(values)


@pytest.mark.parametrize("left", [None, LIVE])
def test_notes_are_the_same_after_they_were_json(left):
    matched = [Matched(1, 90, {"epoch": 1}, 0, 1, "exact"), Matched(2, 180, {"epoch": 2}, 0, 2, 1)]
    notes = Notes(num_reports=2, num_generations=2, log_end=180, matched=matched, left=left, is_whole=left is not None)
    assert notes_of(json.loads(json.dumps(asdict(notes)))) == notes
    assert notes.is_whole_in(LIVE) is (left is not None)
    assert not notes.is_whole_in({})


@pytest.mark.parametrize("change", [{"layout": None}, {"left": []}, {"matched": [{}]}, {"color": "red"}])
def test_what_is_no_notes_is_an_error(change):
    with pytest.raises((AttributeError, TypeError, ValueError)):
        notes_of(asdict(Notes()) | change)
