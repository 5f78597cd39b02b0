"""What the simulated disk loses in a crash, and what it keeps."""

from __future__ import annotations

import random

import pytest

from syne_hypersched.testing.crashing_disk import Crash, CrashingDisk


def write(disk: CrashingDisk, path: str, data: bytes) -> None:
    with disk.create(path) as file:
        file.write(data)


def read(disk: CrashingDisk, path: str) -> bytes | None:
    try:
        with disk.open(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


def after_crash(seed: int, sync_file: bool, sync_folder: bool, of_the_machine: bool = True) -> bytes | None:
    disk = CrashingDisk(random.Random(seed))
    disk.create_folder("/a", durably=True)
    write(disk, "/a/new", b"x" * 2000)
    if sync_file:
        disk.sync_file("/a/new")
    disk.rename("/a/new", "/a/file")
    if sync_folder:
        disk.sync_folder("/a")
    disk.crash(of_the_machine)
    return read(disk, "/a/file")


def test_what_is_synced_survives() -> None:
    assert {after_crash(seed, True, True) for seed in range(50)} == {b"x" * 2000}


def test_a_name_that_is_not_synced_may_be_lost() -> None:
    assert {after_crash(seed, True, False) for seed in range(50)} == {None, b"x" * 2000}


def test_a_content_that_is_not_synced_may_be_torn_or_zero() -> None:
    found = {after_crash(seed, False, True) for seed in range(50)}
    assert any(content is not None and len(content) < 2000 for content in found)
    assert any(content is not None and len(content) == 2000 and b"\0" in content for content in found)


def test_the_end_of_a_process_loses_nothing() -> None:
    assert {after_crash(seed, False, False, of_the_machine=False) for seed in range(50)} == {b"x" * 2000}


def test_a_crash_comes_after_any_number_of_operations() -> None:
    disk = CrashingDisk(random.Random(0))
    disk.crash_after = 2
    disk.create_folder("/a")
    with pytest.raises(Crash):
        write(disk, "/a/file", b"x" * 2000)
    disk.crash(of_the_machine=False)
    assert read(disk, "/a/file") == b""


def test_a_crash_may_come_while_a_folder_is_removed() -> None:
    disk = CrashingDisk(random.Random(0))
    disk.create_folder("/a/b", durably=True)
    for number in range(3):
        write(disk, f"/a/b/{number}", b"x")
    disk.crash_after = 1
    with pytest.raises(Crash):
        disk.remove("/a/b")
    disk.crash(of_the_machine=False)
    assert disk.list_files("/a") == ["b/1", "b/2"]


def test_it_lists_as_a_real_disk_does(tmp_path) -> None:
    from syne_hypersched._disk import Disk

    real, simulated = Disk(), CrashingDisk(random.Random(0))
    for disk in (real, simulated):
        disk.create_folder(f"{tmp_path}/a/b", durably=True)
        write(disk, f"{tmp_path}/a/b/file", b"x")
        write(disk, f"{tmp_path}/a/other", b"x")
        disk.rename(f"{tmp_path}/a/b", f"{tmp_path}/a/c")
        disk.sync_file(f"{tmp_path}/a/other")
        disk.sync_folder(f"{tmp_path}/a")
        assert sorted(disk.list_folder(f"{tmp_path}/a")) == ["c", "other"]
        assert disk.list_files(f"{tmp_path}/a") == ["c/file", "other"]
        disk.remove(f"{tmp_path}/a/c")
        disk.remove(f"{tmp_path}/a/c")
        assert disk.list_files(f"{tmp_path}") == ["a/other"]
        assert disk.list_folder(f"{tmp_path}/missing") == []
        with pytest.raises(FileExistsError):
            disk.create(f"{tmp_path}/a/other")
