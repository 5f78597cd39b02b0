from __future__ import annotations

import os
import signal

import pytest

from syne_hypersched._moments import Moment
from syne_hypersched.recovery._lock import ExperimentLock

HOLD = """
import sys, time
from pathlib import Path
from syne_hypersched.recovery._lock import ExperimentLock
lock = ExperimentLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""

HOLD_AND_FORK = """
import os, sys, time
from pathlib import Path
from syne_hypersched.recovery._lock import ExperimentLock
lock = ExperimentLock(Path(sys.argv[1]))
if os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(600)
"""


def test_it_is_held_once_and_says_by_whom(tmp_path):
    lock = ExperimentLock(tmp_path / "lock")
    with pytest.raises(
        RuntimeError, match=f"still runs \\(process {os.getpid()} on .*\\): it can be resumed only when"
    ):
        ExperimentLock(tmp_path / "lock")
    lock.release()
    ExperimentLock(tmp_path / "lock").release()


def test_it_ends_with_its_holder(tmp_path, forked, wait_for):
    with open(tmp_path / "said", "wb") as said:
        holder = forked.start(["-c", HOLD, tmp_path / "lock"], stdout=said, stderr=said)
    wait_for(lambda: "\n" in (tmp_path / "said").read_text())
    assert (tmp_path / "said").read_text() == "held\n"
    with pytest.raises(RuntimeError, match=f"process {holder.pid} on"):
        ExperimentLock(tmp_path / "lock")
    holder.kill()
    holder.wait()
    ExperimentLock(tmp_path / "lock").release()


def test_a_fork_of_the_holder_does_not_keep_it(tmp_path, forked, wait_for):
    """As a worker process of a searcher, which outlives a tuner that is killed."""
    with open(tmp_path / "said", "wb") as said:
        holder = forked.start(["-c", HOLD_AND_FORK, tmp_path / "lock"], stdout=said, stderr=said)
    wait_for(lambda: "\n" in (tmp_path / "said").read_text())
    child = int((tmp_path / "said").read_text())
    holder.kill()
    holder.wait()
    try:
        ExperimentLock(tmp_path / "lock").release()
        os.kill(child, 0)  # which has lived until now
    finally:
        os.kill(child, signal.SIGKILL)


def test_who_only_tries_does_not_seem_alive(tmp_path):
    path = tmp_path / "lock"
    ExperimentLock(path).release()
    os.utime(path, (1000.0, 1000.0))
    lock = ExperimentLock(path)
    lock.release()
    assert lock.last_alive.timestamp == 1000.0
    lock = ExperimentLock(path)
    assert lock.last_alive.timestamp == 1000.0
    lock.touch()
    lock.release()
    assert ExperimentLock(path).last_alive.timestamp > 1e9


def test_the_user_alone_can_read_it(tmp_path):
    ExperimentLock(tmp_path / "lock").release()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_the_time_when_it_was_last_held_is_monotonic(tmp_path):
    path = tmp_path / "lock"
    before = Moment.now()
    lock = ExperimentLock(path)
    lock.touch()
    lock.release()
    after = Moment.now()
    os.utime(path, (1000.0, 1000.0))
    alive = ExperimentLock(path).last_alive
    assert before.boot_s - 1e-3 <= alive.boot_s <= after.boot_s
    assert alive.boot_id == before.boot_id


@pytest.mark.parametrize("content", ["", "process 3 on there", "process 3 on there\n", "process 3 on there\ntorn"])
def test_an_older_or_a_torn_one_has_the_time_of_its_file(tmp_path, content):
    path = tmp_path / "lock"
    path.write_text(content)
    os.utime(path, (1000.0, 1000.0))
    assert ExperimentLock(path).last_alive == Moment(1000.0)
