"""Checkpoints of every writer are read back, and torn or mixed ones are found."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarking.faults.checkpoint_seals import Identity
from benchmarking.faults.checkpoint_writer import Found
from benchmarking.faults.checkpoint_writers import HEAVY, WRITERS, inspect

IDENTITY = Identity(x=0.25, launch=1, epoch=3, size=200_000)
LIGHT = [name for name in WRITERS if name not in HEAVY]
ALL = [*LIGHT, *(pytest.param(name, marks=pytest.mark.slow) for name in HEAVY)]


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.mark.parametrize("name", ALL)
def test_what_was_saved_is_found(name, tmp_path):
    writer = WRITERS[name](num_pauses=2, pause_s=0.0)
    assert inspect(writer, tmp_path) == Found("none")
    for epoch in (1, 2, 3, 3, 12):
        writer.save(tmp_path, replace(IDENTITY, epoch=epoch))
        assert inspect(writer, tmp_path, x=0.25) == Found("whole", epoch, 1)
    assert inspect(writer, tmp_path, x=0.5).state == "foreign"
    num_checkpoints = 4 if writer.keeps_all else 2 if name == "latest-link" else 1
    per_checkpoint = {
        "several": 3, "reopened": 3, "folder": 4, "folder-in-place": 4, "in-turn": 3, "old-one-first": 2,
        "renamed-open": 2, "folder-renamed-open": 4, "parts": 4, "removed-first": 3, "folder-removed-first": 4,
    }.get(name, 1)  # fmt: skip
    assert len(files_of(tmp_path)) == num_checkpoints * per_checkpoint


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [0, 1, 1 << 16, 200_000])
def test_any_size(name, size, tmp_path):
    writer = WRITERS[name](num_pauses=3)
    writer.save(tmp_path, replace(IDENTITY, size=size))
    assert inspect(writer, tmp_path).state == "whole"


def newest_files(name: str, folder: Path) -> list[Path]:
    """The files that the script would load."""
    if name == "latest-link":
        return [folder / os.readlink(folder / "latest")]
    if name == "in-turn":
        return [folder / (folder / "newest").read_text()]
    return [path for path in files_of(folder) if not WRITERS[name].keeps_all or "00003" in path.name]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("what", ["empty", "short", "long", "another byte", "missing"])
def test_a_file_that_is_torn_is_found(name, what, tmp_path):
    writer = WRITERS[name]()
    for epoch in (2, 3):
        writer.save(tmp_path, replace(IDENTITY, epoch=epoch))
    files = newest_files(name, tmp_path)
    if what == "missing" and len(files) == 1 and name not in ("latest-link", "in-turn"):
        pytest.skip("then there is no checkpoint")
    if what == "long" and name in HEAVY:
        pytest.skip("PyTorch does not mind")
    prints = {inspect(writer, tmp_path).print}
    for path in files:
        content = path.read_bytes()
        middle = len(content) // 2
        if what == "missing":
            path.unlink()
        else:
            path.write_bytes(
                {
                    "empty": b"",
                    "short": content[:-1],
                    "long": content + b" ",
                    "another byte": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
                }[what]
            )
        found = inspect(writer, tmp_path)
        assert found.state == "torn", path
        assert found.print not in prints
        prints.add(found.print)
        path.write_bytes(content)
        assert inspect(writer, tmp_path).state == "whole"


@pytest.mark.parametrize("name", ["several", "folder", "folder-in-place", "old-one-first"])
def test_files_of_two_saves_are_found(name, tmp_path):
    writer, other = WRITERS[name](), tmp_path / "other"
    (tmp_path / "mine").mkdir()
    other.mkdir()
    writer.save(tmp_path / "mine", IDENTITY)
    for another in (replace(IDENTITY, epoch=2), replace(IDENTITY, launch=0), replace(IDENTITY, x=0.5)):
        for path in files_of(other):
            path.unlink()
        writer.save(other, another)
        for path, old in zip(files_of(tmp_path / "mine"), files_of(other), strict=True):
            content = path.read_bytes()
            shutil.copy(old, path)
            assert inspect(writer, tmp_path / "mine").state == "torn"
            path.write_bytes(content)


@pytest.mark.parametrize("name", LIGHT)
def test_only_those_that_say_so_are_whole_at_every_moment(name, tmp_path, monkeypatch):
    states = []
    writer = WRITERS[name](num_pauses=2, pause_s=0.0)
    writer.save(tmp_path, replace(IDENTITY, epoch=2))
    monkeypatch.setattr(
        "benchmarking.faults.checkpoint_writer.time.sleep", lambda _: states.append(inspect(writer, tmp_path))
    )
    writer.save(tmp_path, IDENTITY)
    assert states
    assert all(found.state == "whole" for found in states) == writer.is_atomic
