"""One whole and recent checkpoint exists at every moment."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarking.faults import training_crashes
from syne_hypersched.checkpoint_folder import CheckpointError, CheckpointFolder, is_report_mark
from syne_hypersched.testing.crashing_disk import Crash, CrashingDisk
from tests.thoroughness import examples


def write(folder: CheckpointFolder, content: str) -> Path:
    aside = Path(folder.begin())
    (aside / "state").write_text(content)
    (aside / "shards").mkdir()
    (aside / "shards" / "0").write_text(content * 2)
    return Path(folder.commit(str(aside)))


def test_the_newest_is_read_and_the_last_ones_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "new" / "folder", keep=3)
    assert folder.newest() is None
    for number in range(5):
        path = write(folder, f"state {number}")
        assert folder.newest() == str(path)
        assert (path / "state").read_text() == f"state {number}"
    names = [f"checkpoint-00000000{number}" for number in (3, 4, 5)]
    assert sorted(entry.name for entry in (tmp_path / "new" / "folder").iterdir()) == names


@pytest.mark.parametrize("name", ["state", "shards/0", "manifest.json"])
@pytest.mark.parametrize("damage", ["torn", "changed", "missing"])
def test_a_damaged_newest_one_is_left_out_with_a_warning(tmp_path: Path, name: str, damage: str) -> None:
    folder = CheckpointFolder(tmp_path)
    before, newest = write(folder, "before"), write(folder, "newest")
    file = newest / name
    content = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content[:-3] if damage == "torn" else content)
    # One bit of the manifest may be blank space in its text; anything else is noticed.
    with pytest.warns(UserWarning, match=f"{newest} is skipped, since its .* the previous checkpoint is tried"):
        assert folder.newest() == str(before)


def test_a_run_without_a_whole_checkpoint_does_not_silently_start_from_the_beginning(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    (write(folder, "only one") / "state").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(CheckpointError, match=f"None of the 1 checkpoints in {tmp_path} is whole"):
            folder.newest()


def test_what_a_killed_process_has_begun_is_removed(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    (Path(folder.begin()) / "state").write_text("half")
    assert folder.newest() is None
    path = write(folder, "whole")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_reports_are_marked_as_delivered(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    path = str(write(folder, "state"))
    assert not folder.is_reported(path)
    folder.mark_reported(path)
    folder.mark_reported(path)
    assert folder.is_reported(path)
    assert folder.newest() == path, "the mark is no part of what was checked"


def test_keep_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep must be at least 1, but got 0"):
        CheckpointFolder(tmp_path, keep=0)


@given(seed=st.integers(0, 2**32), keep=st.integers(1, 3))
@settings(max_examples=examples(10), deadline=None)
def test_a_crash_at_any_moment_leaves_the_last_durable_checkpoint(seed: int, keep: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = training_crashes.crash_again_and_again(40, seed, keep)
    assert counts["crashes"] == 40


@pytest.mark.parametrize("seed", range(20))
def test_what_was_read_once_survives_a_crash_of_the_machine(seed: int) -> None:
    """Also where the process that wrote it was killed between its rename and its sync: a run goes on from there."""

    def write_on(disk: CrashingDisk) -> None:
        folder = CheckpointFolder("run", disk=disk)
        aside = folder.begin()
        with disk.create(f"{aside}/state") as file:
            file.write(b"state")
        folder.commit(aside)

    crash_after, is_done = 0, False
    while not is_done:
        disk = CrashingDisk(random.Random(seed))
        write_on(disk)
        disk.crash_after = crash_after
        try:
            write_on(disk)
            is_done = True
        except Crash:
            pass
        disk.crash(of_the_machine=False)
        read = CheckpointFolder("run", disk=disk).newest()
        disk.crash(of_the_machine=True)
        assert CheckpointFolder("run", disk=disk).newest() == read
        crash_after += 1


@pytest.mark.parametrize("forgotten", ["sync_file", "sync_folder"])
def test_the_simulation_notices_what_is_not_synced(forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CrashingDisk, forgotten, lambda self, path: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((RuntimeError, CheckpointError)):
            training_crashes.crash_again_and_again(300, seed=0)


def test_crashes_are_reproducible() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = (training_crashes.crash_again_and_again(50, seed=3) for _ in range(2))
    assert first == second


def test_the_mark_of_a_report_is_recognised(tmp_path):
    checkpoints = CheckpointFolder(str(tmp_path / "checkpoints"))
    checkpoints.mark_reported(checkpoints.commit(checkpoints.begin()))
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if is_report_mark(str(path))}
    assert found == {"checkpoints/checkpoint-000000001/reported"}
    assert is_report_mark("checkpoint-000000001/reported")
    assert not is_report_mark("reported")
    assert not is_report_mark("mine/reported")
