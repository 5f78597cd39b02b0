from __future__ import annotations

import os

import pytest

from syne_hypersched._disk import Disk


class Watched(Disk):
    """Notes what is synced."""

    def __init__(self):
        self.synced = []

    def _sync(self, path):
        super()._sync(path)
        self.synced.append(path)


@pytest.fixture
def disk() -> Watched:
    return Watched()


def test_what_is_in_a_folder(disk, tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "b" / "deep" / "x").touch()
    (tmp_path / "b" / "a").touch()
    (tmp_path / "c").touch()
    assert sorted(disk.list_folder(str(tmp_path))) == ["b", "c"]
    assert disk.list_files(str(tmp_path)) == ["b/a", "b/deep/x", "c"]
    assert disk.list_folder(str(tmp_path / "none")) == disk.list_files(str(tmp_path / "none")) == []
    with pytest.raises(NotADirectoryError):
        disk.list_folder(str(tmp_path / "c"))


def test_a_file_is_new_when_it_is_created(disk, tmp_path):
    path = str(tmp_path / "file")
    with disk.create(path) as file:
        file.write(b"content")
    with pytest.raises(FileExistsError):
        disk.create(path)
    with disk.open(path) as file:
        assert file.read() == b"content"


def test_a_folder_is_made_with_those_above_it(disk, tmp_path):
    path = tmp_path / "a" / "b"
    for _ in range(2):
        disk.create_folder(str(path))
    assert path.is_dir()
    assert not disk.synced


def test_a_durable_folder_has_its_name_and_those_above_it_synced(disk, tmp_path):
    path = tmp_path / "a" / "b"
    for _ in range(2):  # who made it before may have died before it was durable
        disk.synced.clear()
        disk.create_folder(str(path), durably=True)
        assert disk.synced[:2] == [str(tmp_path / "a"), str(tmp_path)]
        assert str(path) not in disk.synced, "the names in it are its maker's"


def test_a_folder_that_cannot_be_opened_is_of_somebody_else(disk, tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(disk, "_sync", refuse)
    disk.create_folder(str(tmp_path / "a"), durably=True)
    assert (tmp_path / "a").is_dir()


def test_syncs_reach_the_file_and_the_folder(disk, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    reached = []

    def fsync(descriptor):
        reached.append((descriptor, os.readlink(f"/proc/self/fd/{descriptor}")))

    monkeypatch.setattr(os, "fsync", fsync)
    disk.sync_file(str(tmp_path / "file"))
    disk.sync_folder(str(tmp_path))
    assert [path for _, path in reached] == [str(tmp_path / "file"), str(tmp_path)]
    for descriptor, path in reached:
        link = f"/proc/self/fd/{descriptor}"
        assert not os.path.lexists(link) or os.readlink(link) != path, "it is closed"


def test_a_rename_replaces_and_a_removal_may_find_nothing(disk, tmp_path):
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    disk.rename(str(tmp_path / "new"), str(tmp_path / "old"))
    assert (tmp_path / "old").read_text() == "new"
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for name in ("old", "folder", "folder", "none"):
        disk.remove(str(tmp_path / name))
    assert not list(tmp_path.iterdir())
