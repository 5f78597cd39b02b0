"""The largest launch of a node is ended before the node runs out of memory."""

from __future__ import annotations

import signal
import subprocess
import sys

from syne_hypersched.backends.ray import _memory
from syne_hypersched.backends.ray._memory import MemoryGuard, choose_hog, used_memory


def test_the_largest_one_is_chosen_when_memory_is_short():
    assert choose_hog({1: 10, 2: 30, 3: 20}, used=0.95, most=0.9) == 2
    assert choose_hog({1: 10, 2: 30}, used=0.85, most=0.9) is None
    assert choose_hog({}, used=0.95, most=0.9) is None


def test_its_processes_are_killed_once(monkeypatch):
    small, large = (
        subprocess.Popen(
            [sys.executable, "-c", f"x = bytearray({size}); print(flush=True); input()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for size in (1, 50_000_000)
    )  # fmt: skip
    try:
        for process in (small, large):
            assert process.stdout.readline() == b"\n"
        guard = MemoryGuard(0.9)
        guard.add(1, [small.pid])
        guard.add(2, [large.pid])
        assert guard.look() is None or used_memory() >= 0.9
        monkeypatch.setattr(_memory, "used_memory", lambda: 0.97)
        ended, text = guard.look()
        assert ended == 2
        assert "97%" in text
        assert large.wait() == -signal.SIGKILL
        assert guard.look() is None  # until the launch is known to have ended
        assert small.poll() is None
        guard.remove(2)
        assert guard.look()[0] == 1
    finally:
        for process in (small, large):
            process.kill()
            process.communicate()


def test_the_share_of_used_memory_is_a_share():
    assert 0 < used_memory() < 1.01
