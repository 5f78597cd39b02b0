"""events.jsonl: one whole line for each event."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import deque

import dill
import pytest

from syne_hypersched.backends.shared.events import EventLog


def test_an_event_is_a_line(tmp_path):
    log = EventLog(tmp_path / "new" / "events.jsonl", clock=lambda: 1.5, timestamp=lambda: 1e9)
    log.write("exit", 3, ("cpu0", "cpu1"), 2, "resize", drain_s=0.25)
    log.close()
    assert json.loads(log.path.read_text()) == {
        "time_s": 1.5, "timestamp": 1e9, "trial_id": 3, "event": "exit", "num_devices": 2, "devices": ["cpu0", "cpu1"],
        "launch": 2, "reason": "resize", "drain_s": 0.25,
    }  # fmt: skip


def test_without_real_time_there_is_no_timestamp(tmp_path):
    log = EventLog(tmp_path / "events.jsonl", clock=lambda: 1.5)
    log.write("start", 0)
    log.close()
    assert "timestamp" not in json.loads(log.path.read_text())


def test_threads_write_whole_lines(tmp_path):
    log = EventLog(tmp_path / "events.jsonl", clock=lambda: 0.0)
    threads = [
        threading.Thread(target=lambda i=i: [log.write("e", i, reason="x" * 500) for _ in range(200)]) for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert len(lines) == 800


def test_a_loaded_log_goes_on(tmp_path):
    log = EventLog(tmp_path / "events.jsonl", clock=float)
    log.write("a")
    copy = dill.loads(dill.dumps(log))
    copy.write("b")
    copy.close()
    log.close()
    assert [json.loads(line)["event"] for line in log.path.read_text().splitlines()] == ["a", "b"]


def test_a_full_disk_is_a_warning_and_what_came_before_is_never_missing(tmp_path):
    """The kernel limits the file to 1,000 bytes and truncates the write that exceeds them, as a full disk does."""
    code = """
import json, logging, resource, sys
from pathlib import Path
from syne_hypersched.backends.shared.events import EventLog

logging.basicConfig()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
log = EventLog(Path("events.jsonl"), clock=lambda: 0.0)
for number in range(20):
    log.write("e", number, reason="x" * 30)
log.close()
print(len(log.path.read_text().splitlines()))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.write("room again", 20)
"""
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280, check=True
    )
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [event["trial_id"] for event in events] == list(range(21))
    assert events[-1]["event"] == "room again"
    num_written = int(ran.stdout)
    assert 2 <= num_written < 20
    assert ran.stderr.count("Cannot write events.jsonl: ") == 1
    assert f"events.jsonl lacks the last {20 - num_written} events, for which there was no room" in ran.stderr


def test_ctrl_c_after_the_write_does_not_write_a_line_twice(tmp_path):
    class Interrupted(deque):
        interrupts = 1

        def popleft(self):
            if self.interrupts:
                self.interrupts -= 1
                raise KeyboardInterrupt
            return super().popleft()

    log = EventLog(tmp_path / "events.jsonl", clock=float)
    log.write("a")
    log._kept = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        log.write("b")
    log.write("b")
    log.close()
    assert [json.loads(line)["event"] for line in log.path.read_text().splitlines()] == ["a", "b", "b"]


def test_a_copy_does_not_write_what_the_log_has_kept(tmp_path):
    log = EventLog(tmp_path / "folder" / "events.jsonl", clock=float)
    (tmp_path / "folder").touch()  # there is no room for a folder
    log.write("kept")
    copy = dill.loads(dill.dumps(log))
    (tmp_path / "folder").unlink()
    copy.write("of the copy")
    log.write("next")
    copy.close()
    log.close()
    assert [json.loads(line)["event"] for line in log.path.read_text().splitlines()] == ["of the copy", "kept", "next"]
