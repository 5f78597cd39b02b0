"""What is in best/ is recognised by its content, and set aside whatever it is."""

from __future__ import annotations

import os
import shutil

import pytest

from syne_hypersched.checkpoints import _published
from syne_hypersched.checkpoints._published import describe_checkpoint, fingerprint, measure_checkpoint, set_aside


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint"
    (folder / "step-1").mkdir(parents=True)
    (folder / "step-1" / "model").write_bytes(bytes(range(256)) * 8192)
    (folder / "state.json").write_text("{}")
    (folder / "newest").symlink_to("step-1")
    return folder


def test_a_copy_has_the_same_fingerprint(checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "copy", symlinks=True, copy_function=shutil.copyfile)
    assert describe_checkpoint(tmp_path / "copy") == describe_checkpoint(checkpoint)
    assert measure_checkpoint(checkpoint) == (2, 256 * 8192 + 2)


def zeros(folder):
    model = folder / "step-1" / "model"
    model.write_bytes(bytes(model.stat().st_size))


def zeros_at_the_end(folder):
    model = folder / "step-1" / "model"
    content = model.read_bytes()
    model.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))


def another_state(folder):
    (folder / "state.json").write_text("[]")


def another_name(folder):
    (folder / "state.json").rename(folder / "other.json")


def another_link(folder):
    (folder / "newest").unlink()
    (folder / "newest").symlink_to("step-2")


@pytest.mark.parametrize("change", [zeros, zeros_at_the_end, another_state, another_name, another_link])
def test_a_change_that_keeps_the_sizes_changes_the_fingerprint(checkpoint, change):
    before, size = fingerprint(checkpoint), measure_checkpoint(checkpoint)
    change(checkpoint)
    assert measure_checkpoint(checkpoint) == size
    assert fingerprint(checkpoint) != before


def test_of_many_files_the_largest_ones_are_read(checkpoint, monkeypatch):
    monkeypatch.setattr(_published, "_MOST_FILES", 1)
    before = fingerprint(checkpoint)
    another_state(checkpoint)
    assert fingerprint(checkpoint) == before
    zeros(checkpoint)
    assert fingerprint(checkpoint) != before


def test_names_may_be_any_bytes(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"m\xff\n")
    with open(path, "w") as file:
        file.write("weights")
    assert fingerprint(tmp_path)


def test_what_cannot_be_read_has_no_fingerprint(checkpoint, monkeypatch):
    tree = _published.read_tree(checkpoint)
    monkeypatch.setattr(_published, "read_tree", lambda folder: tree)
    shutil.rmtree(checkpoint / "step-1")
    assert fingerprint(checkpoint) is None


@pytest.mark.parametrize("is_link", [True, False])
@pytest.mark.parametrize("was_link", [True, False, None])
def test_what_an_earlier_experiment_has_published_is_set_aside(tmp_path, is_link, was_link):
    def put(name, text, is_link):
        place = tmp_path / (f".{text}" if is_link else name)
        place.mkdir()
        (place / "result.json").write_text(text)
        if is_link:
            (tmp_path / name).symlink_to(place.name)

    put("best", "new", is_link)
    if was_link is not None:
        put("best-before", "old", was_link)
    set_aside(tmp_path)
    assert not os.path.lexists(tmp_path / "best")
    assert (tmp_path / "best-before" / "result.json").read_text() == "new"
    assert not (tmp_path / ".old").exists()
    set_aside(tmp_path)  # there is nothing more
    assert (tmp_path / "best-before" / "result.json").read_text() == "new"


def test_a_file_that_a_user_has_put_there_is_set_aside_each_time(tmp_path):
    for text in ("mine", "mine again"):
        (tmp_path / "best").write_text(text)
        set_aside(tmp_path)
        assert (tmp_path / "best-before").read_text() == text
