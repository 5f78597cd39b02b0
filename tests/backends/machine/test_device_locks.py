"""A lock for each device: messages name its holder, and it is released when the holder ends."""

from __future__ import annotations

import os
import subprocess
import sys

import dill
import pytest

from syne_hypersched.backends.machine import device_locks as _device_locks
from syne_hypersched.backends.machine.device_locks import DeviceLocks, Holder, default_folder, free_keys

KEYS = {"cpu0": ["core-0"], "cpu1": ["core-1"]}

HOLD = """
import sys
from pathlib import Path
from syne_hypersched.backends.machine.device_locks import DeviceLocks
locks = DeviceLocks(Path(sys.argv[1]))
locks.acquire({"cpu0": ["core-0"], "cpu1": ["core-1"]}, "experiment other (pid 7)")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "locks"


@pytest.fixture
def other(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_holder_is_named(folder, other):
    locks = DeviceLocks(folder)
    assert locks.acquire({**KEYS, "cpu2": ["core-2"]}, "me") == (Holder("experiment other (pid 7)", ("cpu0", "cpu1")),)
    assert free_keys(["core-0", "core-1", "core-2", "core-3"], folder) == ["core-3"]


def test_a_lock_ends_with_its_process(folder, other):
    other.kill()
    other.wait()
    assert DeviceLocks(folder).acquire(KEYS, "me") == ()


def test_a_lock_is_released(folder):
    mine, yours = DeviceLocks(folder), DeviceLocks(folder)
    assert mine.acquire(KEYS, "mine") == ()
    assert mine.holds_any
    assert yours.acquire({"a": ["core-1"]}, "yours") == (Holder("mine", ("a",)),)
    mine.release()
    mine.release()
    assert not mine.holds_any
    assert yours.acquire({"a": ["core-1"]}, "yours") == ()
    yours.release()


def test_those_who_share_are_seen_by_others_alone(folder):
    first, second, third = DeviceLocks(folder), DeviceLocks(folder), DeviceLocks(folder)
    assert first.acquire(KEYS, "first", shared=True) == ()
    assert second.acquire(KEYS, "second", shared=True) == ()
    assert [holder.devices for holder in third.acquire(KEYS, "third")] == [("cpu0", "cpu1")]


def test_devices_of_one_backend_may_have_a_core_in_common(folder):
    assert DeviceLocks(folder).acquire({"cpu0": ["core-0"], "cpu1": ["core-0"]}, "me") == ()


def test_a_forked_child_holds_nothing(folder):
    mine = DeviceLocks(folder)
    mine.acquire(KEYS, "mine")
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(theirs)
        os.read(ours, 1)  # lives until the other end writes
        os._exit(0)
    try:
        mine.release()
        assert DeviceLocks(folder).acquire(KEYS, "me") == ()
    finally:
        os.close(theirs)
        os.close(ours)
        os.waitpid(child, 0)


def test_a_copy_holds_nothing(folder):
    mine = DeviceLocks(folder)
    mine.acquire(KEYS, "mine")
    copy = dill.loads(dill.dumps(mine))
    assert not copy.holds_any
    assert copy.acquire(KEYS, "copy") == (Holder("mine", ("cpu0", "cpu1")),)


def test_the_folder_is_for_the_user_alone(folder):
    DeviceLocks(folder).acquire(KEYS, "me")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("kind", ["others may write", "link", "file"])
def test_nothing_is_written_where_others_could_have_put_links(kind, folder, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o700)
    if kind == "link":
        folder.symlink_to(victim)
    elif kind == "file":
        folder.write_text("")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    locks = DeviceLocks(folder)
    assert locks.acquire(KEYS, "me") == ()
    assert not locks.holds_any
    assert list(victim.iterdir()) == []
    assert kind == "file" or list(folder.iterdir()) == []


def test_a_link_in_the_folder_is_not_followed(folder, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder.mkdir(mode=0o700)
    (folder / "core-0.lock").symlink_to(victim)
    assert DeviceLocks(folder).acquire(KEYS, "me") == ()
    assert victim.read_text() == "precious"


def test_the_folder_is_that_of_the_session_or_below_tmp(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_folder() == tmp_path / "syne-hypersched"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    assert default_folder() == _device_locks.Path(f"/tmp/syne-hypersched-{os.getuid()}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    assert default_folder() == _device_locks.Path(f"/tmp/syne-hypersched-{os.getuid()}")
