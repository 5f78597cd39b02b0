"""An agent's part in checkpoints that are on its own disk."""

from __future__ import annotations

import errno
import os

import pytest

from syne_hypersched.backends.ray import _node_files
from syne_hypersched.backends.ray._messages import pack, unpack
from syne_hypersched.backends.ray._node_files import NodeFiles
from tests.checkpoints.test_moving import take, write

TUNERS = "/home/me/syne-tune/tuning/7/checkpoints"


@pytest.fixture
def files(tmp_path):
    return NodeFiles(str(tmp_path), 100.0)


def order(**more):
    return {
        "argv": ["train.py", "--st_checkpoint_dir", TUNERS, f"--out={TUNERS}/x", "--lr", "0.1"], "home": "ab",
        "trial": "7", "folder": TUNERS, "log": "/home/me/syne-tune/tuning/7/.rank0-1-0.out",
        "checkpoints": {"folder": TUNERS, "launch": 1}, **more,
    }  # fmt: skip


class TestALaunch:
    def test_it_gets_the_paths_of_the_node(self, files):
        moved = files.move(order())
        here = files.homes.of("ab") / "7" / "checkpoints"
        assert moved.argv == ["train.py", "--st_checkpoint_dir", str(here), f"--out={here}/x", "--lr", "0.1"]
        assert moved.log == str(here.parent / ".rank0-1-0.out")
        assert moved.checkpoints == {"folder": str(here), "launch": 1}

    def test_a_node_without_rank_0_has_paths_only(self, files):
        moved = files.move(order(log=None, checkpoints=None))
        assert moved.argv[2] == str(files.homes.of("ab") / "7" / "checkpoints")
        assert (moved.log, moved.checkpoints) == (None, None)

    def test_in_a_shared_folder_nothing_changes(self, files):
        shared = {name: value for name, value in order().items() if name not in ("home", "trial", "folder")}
        moved = files.move(shared)
        assert (moved.argv, moved.log, moved.checkpoints) == (shared["argv"], shared["log"], shared["checkpoints"])

    def test_logs_of_earlier_launches_go(self, files):
        files.move(order())
        folder = files.homes.of("ab") / "7"
        (folder / ".rank0-0-0.out").touch()
        files.move(order())
        assert not (folder / ".rank0-0-0.out").exists()


def test_new_generations_are_told_of_once(files):
    checkpoints = files.homes.of("ab") / "7" / "checkpoints"
    write(checkpoints, state="1")
    take(checkpoints, 1)
    files.watch(3, str(checkpoints))
    assert files.look() == []
    take(checkpoints, 2)
    assert files.look() == [{"event": "taken", "launch": 3, "number": 2}]
    assert files.look() == []
    take(checkpoints, 3)
    assert files.leave(3) == [{"event": "taken", "launch": 3, "number": 3}]
    assert files.look() == files.leave(3) == []


def test_errors_are_answers(files):
    for question in (
        {"what": "has", "copy": 1, "home": "../x", "trial": "0"},
        {"what": "has", "copy": 1, "home": "ab", "trial": "../0"},
        {"what": "commit", "copy": 9, "home": "ab", "trial": "0"},
    ):
        assert unpack(files.answer(pack(question)))["error"]
    assert unpack(files.answer(pack({"what": "has", "copy": 1, "home": "ab", "trial": "0"}))) == {"known": []}


def test_checkpoints_of_a_launch_are_not_offered_without_its_log(files):
    """Else one could be on the tuner's disk that knows of an epoch whose report is lost with the node."""
    checkpoints = files.homes.of("ab") / "7" / "checkpoints"
    write(checkpoints, state="1")
    about = {"what": "offer", "home": "ab", "trial": "7", "known": [], "with_live": True, "log": None}
    assert "bill" in unpack(files.answer(pack({**about, "copy": 1, "target": ""})))
    files.watch(3, str(checkpoints))
    assert "belongs to a launch" in unpack(files.answer(pack({**about, "copy": 2, "target": ""})))["error"]
    assert "bill" in unpack(files.answer(pack({**about, "copy": 3, "target": "b"})))
    gone = {**about, "copy": 4, "target": "", "with_live": False, "log": ".rank0-1-0.out"}
    assert "No such file" in unpack(files.answer(pack(gone)))["error"]
    (checkpoints.parent / ".rank0-1-0.out").write_text("report")
    assert unpack(files.answer(pack(gone)))["log"] == 6


class TestTheDisk:
    def test_it_is_looked_at_only_if_checkpoints_are_there(self, files, monkeypatch):
        monkeypatch.setattr(_node_files, "free_mb", lambda _: 7.0)
        assert files.look_at_disk() == []
        files.is_streaming = True
        (told,) = files.look_at_disk()
        assert (told["event"], told["is_full"], told["free_mb"]) == ("disk", True, 7.0)
        assert told["folder"] == str(files.homes.root)

    def test_a_real_disk_has_a_size(self, files):
        files.is_streaming = True
        files._disk = _node_files.DiskWatch(1e12)
        (told,) = files.look_at_disk()
        assert told["is_full"]
        assert 0 < told["free_mb"] < 1e12


def test_everything_goes_at_the_end(files):
    folder = files.homes.of("ab")
    files.remove()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("number", "is_told"), [(errno.EACCES, True), (errno.ENOTDIR, True), (errno.ENOSPC, False), (errno.EROFS, False)]
)
def test_a_disk_that_can_never_be_used_is_told_and_a_full_one_is_waited_for(files, monkeypatch, number, is_told):
    def fail():
        raise OSError(number, os.strerror(number))

    assert files.why_not_writable() == ""
    monkeypatch.setattr(files.homes, "check", fail)
    files.is_streaming = False
    assert files.why_not_writable() == "", "checkpoints are in a shared folder"
    files.is_streaming = True
    told = f"it cannot write to {files.homes.root} ({os.strerror(number)})"
    assert files.why_not_writable() == (told if is_told else "")
