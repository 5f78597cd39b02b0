from __future__ import annotations

import os
import socket
import time

import pytest

from syne_hypersched._moments import boot_id
from syne_hypersched.experiments import Event
from syne_hypersched.experiments._alive import find_run_state, is_alive, run_state_of
from syne_hypersched.recovery._lock import ExperimentLock


@pytest.mark.parametrize(
    "is_simulated, holds_devices, alive, quiet_s, state",
    [
        (True, True, None, 0.0, "simulated"),
        (False, True, True, 1e6, "running"),
        (False, True, False, 0.0, "killed"),
        (False, True, None, 1.0, "running"),
        (False, True, None, 1e4, "killed"),
        (False, False, None, 1e4, "finished"),
        (False, False, False, 0.0, "finished"),
        (False, False, None, 1.0, "running"),
        (False, False, True, 1.0, "running"),
    ],
)
def test_state_of_a_run(is_simulated, holds_devices, alive, quiet_s, state):
    assert run_state_of(is_simulated, holds_devices, alive, quiet_s) == state


def test_a_tuner_is_known_by_the_lock_of_its_journal(tmp_path):
    lock = tmp_path / "journal" / "lock"
    assert is_alive(tmp_path, []) is None
    lock.parent.mkdir()
    held = ExperimentLock(lock)
    assert is_alive(tmp_path, []) is True
    held.release()
    assert is_alive(tmp_path, []) is False  # by this process, which has tuned and goes on
    lock.write_text(f"process {os.getppid()} on {socket.gethostname()}\n")
    assert is_alive(tmp_path, []) is True
    lock.write_text(f"process {2**22 + 1} on {socket.gethostname()}\n")
    assert is_alive(tmp_path, []) is False
    lock.write_text("process 1 on another-machine\n")
    assert is_alive(tmp_path, []) is None


@pytest.mark.skipif(boot_id() is None, reason="this system does not name its boots")
def test_without_a_journal_the_processes_of_the_trials_tell(tmp_path):
    assert is_alive(tmp_path, [("here", str(boot_id()), [os.getpid()])]) is True
    assert is_alive(tmp_path, [("here", str(boot_id()), [2**22 + 1])]) is False
    assert is_alive(tmp_path, [("there", "another boot", [os.getpid()])]) is None


def test_the_state_of_a_run_is_known_as_far_as_its_files_say(tmp_path):
    launch = Event(1.0, "launch", 0, ("cpu0",), 0, details={"timestamp": time.time()})
    assert find_run_state(tmp_path, [launch]) == "running"
    late = Event(1.0, "launch", 0, ("cpu0",), 0, details={"timestamp": 0.0})
    assert find_run_state(tmp_path, [late]) == "killed"
    assert find_run_state(tmp_path, [Event(0.0, "setup", details={"mode": "simulated"}), launch]) == "simulated"
    (tmp_path / "journal").mkdir()
    held = ExperimentLock(tmp_path / "journal" / "lock")
    held.touch()
    assert find_run_state(tmp_path, [late]) == "running"
    held.release()
    assert find_run_state(tmp_path, [launch]) == "killed"
