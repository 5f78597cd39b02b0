"""Processes of a dead tuner are found by what they write to, and by pid and start time; nobody else's is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from syne_hypersched.experiments import Event
from syne_hypersched.recovery._orphans import end_orphans, find_orphans, open_launches

pytestmark = pytest.mark.usefixtures("no_process_left")
SLEEP = [sys.executable, "-c", "import time; time.sleep(100)"]


def launch(pid, timestamp, trial_id=0, event="launch"):
    return Event(0.0, event, trial_id, ("cpu0",), 0, details={"pids": [pid], "timestamp": timestamp})


@pytest.fixture
def start():
    """Starts a process that is reaped as soon as it ends, as the init process does with orphans."""
    started = []

    def start_one(stdout=subprocess.DEVNULL):
        process = subprocess.Popen(SLEEP, stdout=stdout, stderr=subprocess.DEVNULL)
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["3/std.out", "3/std.rank1.out", "12/std.err", "preloading.log"])
def test_by_its_log(tmp_path, start, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    with open(tmp_path / name, "w") as log:
        process = start(log)
    assert [orphan.pid for orphan in find_orphans(tmp_path, tmp_path, ())] == [process.pid]


@pytest.mark.parametrize("name", ["notes.txt", "3/notes.txt", "best/std.out", "3/checkpoints/std.out"])
def test_who_writes_to_another_file_is_left_alone(tmp_path, start, name):
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    with open(tmp_path / name, "w") as log:
        start(log)
    assert find_orphans(tmp_path, tmp_path, ()) == []
    assert end_orphans(tmp_path, tmp_path, (), grace_s=0) == []


def test_by_pid_and_start_time(tmp_path, start):
    process = start()
    begun = psutil.Process(process.pid).create_time()
    assert [orphan.pid for orphan in find_orphans(tmp_path, tmp_path, [launch(process.pid, begun + 0.5)])] == [
        process.pid
    ]
    # The pid was recorded long before this process began: it has been given to somebody else since.
    assert find_orphans(tmp_path, tmp_path, [launch(process.pid, begun - 60)]) == []
    # The launch has ended.
    events = [launch(process.pid, begun + 0.5), launch(process.pid, begun + 1, event="exit")]
    assert find_orphans(tmp_path, tmp_path, events) == []


def test_this_process_is_none(tmp_path):
    assert find_orphans(tmp_path, tmp_path, [launch(os.getpid(), time.time())]) == []


def test_they_are_waited_for_and_killed_in_the_end(tmp_path, start):
    (tmp_path / "0").mkdir()
    with open(tmp_path / "0" / "std.out", "w") as log:
        process = start(log)
    begun = time.monotonic()
    assert end_orphans(tmp_path, tmp_path, (), grace_s=0.3) == [process.pid]
    assert time.monotonic() - begun >= 0.3
    assert process.wait() == -9


def test_open_launches():
    events = [launch(1, 0.0, trial_id) for trial_id in (0, 1, 2)]
    events += [launch(1, 0.0, 1, event="exit"), Event(0.0, "setup"), launch(2, 0.0, 1)]
    assert [(event.trial_id, event.details["pids"]) for event in open_launches(events)] == [
        (0, [1]),
        (2, [1]),
        (1, [2]),
    ]
