"""Processes of a dead tuner are found by the logs that they write, and by pid and start time; no others are touched."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from syne_hypersched.experiments import Event
from syne_hypersched.launch import here, identify
from syne_hypersched.recovery import _orphans
from syne_hypersched.recovery._orphans import doubtful_pids, end_orphans, find_orphans, open_launches

pytestmark = pytest.mark.usefixtures("no_process_left")
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def launch(pid, trial_id=0, event="launch", **other):
    """The event of a recent launch, with ``other`` entries of another machine or version."""
    return Event(0.0, event, trial_id, ("cpu0",), 0, details={**identify([pid]), **other})


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
    launched = launch(process.pid)
    assert [orphan.pid for orphan in find_orphans(tmp_path, tmp_path, [launched])] == [process.pid]
    assert doubtful_pids([launched]) == {}
    # The launch has ended.
    assert find_orphans(tmp_path, tmp_path, [launched, launch(process.pid, event="exit")]) == []
    # The clock of the wall plays no part in it.
    moved = launch(process.pid, timestamp=5.0)
    assert [orphan.pid for orphan in find_orphans(tmp_path, tmp_path, [moved])] == [process.pid]


#: A process that has the pid of one that was recorded, and is another one, or may be.
STRANGERS = {
    "its pid was used again": {"start_ticks": [5]},
    "it has not lived to be looked at": {"start_ticks": [None]},
    "another host": {"host": "elsewhere"},
    "another container": {"pid_namespace": "pid:[1]"},
    "before this host was started": {"boot_id": "00000000-0000-0000-0000-000000000000"},
    "an older version": {"start_ticks": None, "host": None, "boot_id": None, "pid_namespace": None},
    "a line of something else": {"pids": "12", "start_ticks": 7},
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_is_never_killed(tmp_path, start, stranger):
    process = start()
    event = launch(process.pid, **STRANGERS[stranger])
    assert find_orphans(tmp_path, tmp_path, [event]) == []
    assert end_orphans(tmp_path, tmp_path, [event], grace_s=0) == []
    assert process.poll() is None


@pytest.mark.parametrize(
    ("stranger", "why"),
    [
        ("another host", "were launched on elsewhere and cannot be checked here: pids {pid}"),
        ("another container", f"were launched on {here()['host']} and cannot be checked here: pids {{pid}}"),
        ("an older version", "were recorded without a start time: pids {pid}"),
        ("before this host was started", ""),
        ("its pid was used again", ""),
    ],
)
def test_who_may_be_left_behind_is_named(tmp_path, start, caplog, stranger, why):
    process = start()
    end_orphans(tmp_path, tmp_path, [launch(process.pid, **STRANGERS[stranger])], grace_s=0)
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == bool(why)
    assert all(why.format(pid=process.pid) in message and "left alone" in message for message in warned)


def test_unused_pids_of_an_older_version_are_not_mentioned(tmp_path, start, caplog):
    process = start()
    process.kill()
    process.wait()
    end_orphans(tmp_path, tmp_path, [launch(process.pid, **STRANGERS["an older version"])], grace_s=0)
    assert caplog.records == []


def test_a_file_of_the_same_path_elsewhere_is_another_one(tmp_path, start):
    """As in a container with folders of its own: the path is that of a log, the file is not."""
    log, moved = tmp_path / "0" / "std.out", tmp_path / "0" / "std.old"
    log.parent.mkdir()
    with open(log, "w") as file:
        process = start(file)
    readlink = os.readlink
    assert [orphan.pid for orphan in find_orphans(tmp_path, tmp_path, ())] == [process.pid]
    log.rename(moved)
    log.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "readlink", lambda path: readlink(path).replace("std.old", "std.out"))
        assert find_orphans(tmp_path, tmp_path, ()) == []


def test_this_process_is_none(tmp_path):
    assert find_orphans(tmp_path, tmp_path, [launch(os.getpid())]) == []


def test_what_does_not_die_is_named_and_not_waited_for_for_ever(tmp_path, start, monkeypatch):
    process = start()
    monkeypatch.setattr(psutil.Process, "kill", lambda self: None)  # as of a process of another user
    monkeypatch.setattr(_orphans, "_PATIENCE_S", 0.05)
    with pytest.raises(RuntimeError, match=f"processes {process.pid} of the dead tuner must have ended"):
        end_orphans(tmp_path, tmp_path, [launch(process.pid)], grace_s=0)


def test_they_are_waited_for_and_killed_in_the_end(tmp_path, start):
    (tmp_path / "0").mkdir()
    with open(tmp_path / "0" / "std.out", "w") as log:
        process = start(log)
    begun = time.monotonic()
    assert end_orphans(tmp_path, tmp_path, (), grace_s=0.3) == [process.pid]
    assert time.monotonic() - begun >= 0.3
    assert process.wait() == -9


def test_open_launches():
    events = [launch(1, trial_id) for trial_id in (0, 1, 2)]
    events += [launch(1, 1, event="exit"), Event(0.0, "setup"), launch(2, 1)]
    assert [(event.trial_id, event.details["pids"]) for event in open_launches(events)] == [
        (0, [1]),
        (2, [1]),
        (1, [2]),
    ]


def test_processes_that_were_to_join_are_known():
    launched, prepared = Event(1.0, "launch", 0, ("a",), 0), Event(2.0, "prepare", 0, ("a", "b"), 0)
    assert open_launches([launched, prepared]) == [launched, prepared]
    assert open_launches([launched, prepared, Event(3.0, "exit", 0, ("a", "b"), 0)]) == []
    assert open_launches([prepared]) == [], "of a launch that has ended"
