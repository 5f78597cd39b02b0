"""A process is identified by its pid and start time, on the same host, in the same namespace."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from syne_hypersched.launch._identity import here, identify, is_here, is_same, start_ticks


def test_a_start_time_is_that_of_the_kernel():
    ticks = start_ticks(os.getpid())
    begun = psutil.boot_time() + ticks / os.sysconf("SC_CLK_TCK")
    assert begun == pytest.approx(psutil.Process().create_time(), abs=2)


def test_a_program_may_be_named_like_the_rest_of_the_line(tmp_path):
    program = tmp_path / "a) S 1 (b"
    program.symlink_to(sys.executable)
    process = subprocess.Popen([str(program), "-c", "input()"], stdin=subprocess.PIPE)
    try:
        own = start_ticks(os.getpid())
        assert own <= start_ticks(process.pid) < own + 3600 * 24 * 100 * os.sysconf("SC_CLK_TCK")
    finally:
        process.communicate()


def test_an_ended_process_has_no_identity(wait_for):
    process = subprocess.Popen(["true"])
    pid = process.pid
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    assert start_ticks(pid) is None
    process.wait()
    assert start_ticks(pid) is None
    assert identify([pid])["start_ticks"] == [None]


def test_only_the_same_process_is_the_same():
    recorded = identify([os.getpid()])
    assert recorded["pids"] == [os.getpid()]
    assert is_here(recorded)
    assert is_same(os.getpid(), recorded["start_ticks"][0])
    assert not is_same(os.getpid(), recorded["start_ticks"][0] + 1)
    assert not is_same(os.getpid(), None)
    assert all(here().values())
    for name in here():
        assert not is_here({**recorded, name: "other"})
        assert not is_here({key: value for key, value in recorded.items() if key != name})
