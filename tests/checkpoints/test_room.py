"""Room for checkpoints: measured on this machine's disk, and what is said when there is none."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.checkpoints import room as room_module
from syne_hypersched.checkpoints.room import CheckpointRoom, free_mb


def test_a_folder_that_does_not_exist_yet_has_the_room_of_the_one_above(tmp_path):
    expected = shutil.disk_usage(tmp_path).free / 1e6
    assert free_mb(tmp_path / "not" / "yet") == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_system_that_is_mounted_read_only_has_no_room(tmp_path, monkeypatch, read_only):
    status = list(os.statvfs(tmp_path))
    status[8] = status[8] | os.ST_RDONLY if read_only else status[8] & ~os.ST_RDONLY
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(status))
    assert (free_mb(tmp_path) == 0.0) == read_only


def test_a_file_system_that_cannot_be_asked_has_no_limit(tmp_path, monkeypatch):
    def cannot_say(path):
        raise OSError("stale file handle")

    monkeypatch.setattr(os, "statvfs", cannot_say)
    assert free_mb(tmp_path) == float("inf")


def test_it_is_said_once_each_time_that_room_runs_out(tmp_path, monkeypatch, caplog):
    missing = []
    room = CheckpointRoom(50, lambda trial_id, free: missing.append((trial_id, free)))
    room.folder = tmp_path
    answers = []
    for free in (60.0, 40.0, 30.0, 50.0, 20.0):
        monkeypatch.setattr(room_module, "free_mb", lambda folder, free=free: free)
        answers.append(room.admits(7, lambda: None))
    assert answers == [True, False, False, True, False]
    assert [f"{free} MB can be written to {tmp_path}" in caplog.text for free in (40, 30, 20)] == [True, False, True]
    assert missing == [(7, 40.0), (7, 20.0)]


@pytest.fixture
def configured(tmp_path):
    """A trial whose configuration cannot be written, because the disk is full."""
    trial = TrialProcesses(7, tmp_path / "7" / "std.out", tmp_path / "7" / "std.err")
    trial.unwritten_config = {"x": 1}
    trial.config_path.parent.mkdir()
    trial.config_path.symlink_to("/dev/full")
    return trial


def test_a_trial_waits_until_its_configuration_is_written(tmp_path, configured, caplog):
    room = CheckpointRoom(0, lambda *_: None)

    def admits():
        return room.admits(configured.trial_id, configured.write_config)

    room.folder = tmp_path
    assert [admits(), admits()] == [False, False]
    assert room.is_missing
    assert caplog.text.count(f"{tmp_path} cannot be written to (No space left on device): trials wait") == 1
    configured.config_path.unlink()
    assert admits()
    assert json.loads(configured.config_path.read_text()) == {"x": 1}
    configured.config_path.unlink()
    assert admits()  # it is not written again
    assert not configured.config_path.exists()
