"""What is in best/ is recognised by its content."""

from __future__ import annotations

import os
import shutil
import sqlite3

import pytest

from syne_hypersched.checkpoints import Matched, _published
from syne_hypersched.checkpoints._published import describe_checkpoint, fingerprint, is_replaced, measure_checkpoint


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


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_who_reads_a_database_changes_nothing(tmp_path, mode):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    database = sqlite3.connect(folder / "state.db")
    database.execute("pragma journal_mode = wal")
    database.execute("create table state (epoch)")
    database.close()
    before = describe_checkpoint(folder)
    assert before["num_files"] == 1
    reader = sqlite3.connect(f"file:{folder}/state.db?mode={mode}", uri=True)
    reader.execute("select * from state").fetchall()
    assert sorted(os.listdir(folder)) == ["state.db", "state.db-shm", "state.db-wal"]
    assert describe_checkpoint(folder) == before
    reader.close()
    assert describe_checkpoint(folder) == before


@pytest.mark.parametrize(("name", "content", "is_beside"), [
    ("state.db-wal", "pages", True), ("state.db-shm", "", False), ("state.db-journal", "", False), ("note", "", True),
])  # fmt: skip
def test_what_is_not_left_by_a_reader_counts(tmp_path, name, content, is_beside):
    if is_beside:
        (tmp_path / "state.db").write_text("pages")
    before = describe_checkpoint(tmp_path)
    (tmp_path / name).write_text(content)
    assert describe_checkpoint(tmp_path)["fingerprint"] != before["fingerprint"]


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


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True), ({"trial_id": 4}, False), ({"loss": 0.2}, False), ({"st_launch": 1}, False),
        ({"st_checkpoint": {"generation": 2}}, False), ({"st_checkpoint": {}}, False),
    ],
)  # fmt: skip
def test_a_published_report_is_replaced_if_it_has_another_generation_now(change, expected):
    report = {"epoch": 3, "loss": 0.1}
    present = {"trial_id": 3, **report, "st_launch": 0, "st_checkpoint": {"generation": 1}, **change}
    matched = [Matched(2, 50, {"epoch": 2, "loss": 0.5}, 0, 1, "exact"), Matched(3, 90, report, 0, 2, 1)]
    assert is_replaced(present, 3, matched) == expected
    assert not is_replaced(present, 3, [])
