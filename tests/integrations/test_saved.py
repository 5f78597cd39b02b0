from __future__ import annotations

import os
from pathlib import Path

import pytest

from syne_hypersched.integrations._saved import Saved


@pytest.fixture
def make(tmp_path):
    """Makes what a launch has, and the reports that it delivers."""

    def make(keep=2, fails=False):
        delivered = []

        def report(**values):
            delivered.append(values)
            if fails:
                raise BrokenPipeError

        return Saved(str(tmp_path / "checkpoints"), keep, report), delivered

    return make


def save(saved: Saved, text: str, report=None, **notes) -> None:
    aside = saved.folder.begin()
    Path(aside, "model").write_text(text)
    saved.commit(aside, report, **notes)


def test_the_next_launch_goes_on_from_the_newest_with_its_notes(make):
    saved, delivered = make()
    assert (saved.newest, saved.notes) == (None, {})
    saved.begin()
    save(saved, "one", {"epoch": 1}, step=10)
    save(saved, "two", {"epoch": 2}, step=20)
    assert delivered == [{"epoch": 1}, {"epoch": 2}]
    again, delivered = make()
    assert Path(again.newest, "model").read_text() == "two"
    assert again.notes == {"report": {"epoch": 2}, "step": 20}
    again.begin()
    assert delivered == [], "it was delivered"


def test_a_report_that_was_not_delivered_is_delivered_once_by_the_next_launches(make):
    saved, _ = make(fails=True)
    with pytest.raises(BrokenPipeError):
        save(saved, "one", {"epoch": 1})
    for expected in ([{"epoch": 1}], []):
        again, delivered = make()
        again.begin()
        assert delivered == expected


def test_a_checkpoint_without_a_report_delivers_none(make):
    saved, delivered = make()
    save(saved, "one", None, step=3)
    again, delivered_again = make()
    again.begin()
    assert again.notes == {"report": None, "step": 3}
    assert delivered == delivered_again == []


def test_as_many_are_kept_as_asked_for(make, tmp_path):
    saved, _ = make(keep=2)
    for number in range(4):
        save(saved, str(number))
    kept = sorted(name for name in os.listdir(tmp_path / "checkpoints") if name.startswith("checkpoint-"))
    assert [(tmp_path / "checkpoints" / name / "model").read_text() for name in kept] == ["2", "3"]


def test_notes_have_one_author(make):
    saved, _ = make()
    aside = saved.folder.begin()
    Path(aside, "elastic.json").write_text("{}")
    with pytest.raises(FileExistsError):
        saved.commit(aside, None)
