from __future__ import annotations

import os
import socket

import pytest

from syne_hypersched._moments import boot_id
from syne_hypersched.experiments._nodes import Absence
from syne_hypersched.experiments.page._summary import is_alive, phase_of, shares_of_time
from syne_hypersched.experiments.page._views import LaunchView


@pytest.mark.parametrize(
    "is_simulated, holds_devices, alive, quiet_s, phase",
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
def test_phase(is_simulated, holds_devices, alive, quiet_s, phase):
    assert phase_of(is_simulated, holds_devices, alive, quiet_s) == phase


def test_a_tuner_is_known_by_the_lock_of_its_journal(tmp_path):
    lock = tmp_path / "journal" / "lock"
    assert is_alive(tmp_path, []) is None
    lock.parent.mkdir()
    lock.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
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


def test_the_shares_of_the_device_time_add_up():
    launches = [
        LaunchView(0, 0, [0, 1], 0.0, train_s=1.0, drain_s=4.0, end_s=5.0, how="drained"),
        LaunchView(1, 0, [2], 0.0, train_s=1.0, end_s=3.0, how="failed"),
        LaunchView(2, 0, [2], 4.0),
    ]
    shares = shares_of_time(launches, 3, 10.0)
    assert shares == {"importing": 2.0 + 6.0, "training": 6.0, "draining": 2.0, "failed": 3.0, "free": 11.0}
    absences = [Absence(("a",), "lost", 5.0, 7.0), Absence(("a", "b"), "drained", 8.5)]
    shares = shares_of_time(launches, 3, 10.0, absences)
    assert (shares["away"], shares["free"], sum(shares.values())) == (5.0, 6.0, 30.0)
