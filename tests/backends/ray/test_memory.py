"""The largest launch of a node is ended before the node runs out of memory."""

from __future__ import annotations

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

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


V1 = "32 23 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
V2 = "32 23 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"


def v1(limit, used, cache):
    return {
        "memory.limit_in_bytes": limit, "memory.usage_in_bytes": used,
        "memory.stat": f"cache {cache}\ninactive_file 0\ntotal_inactive_file {cache}",
    }  # fmt: skip


def v2(limit, used, cache):
    return {"memory.max": limit, "memory.current": used, "memory.stat": f"anon 1\ninactive_file {cache}"}


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "expected"),
    [
        ("0::/\n", V2, {"": v2(1000, 990, 90)}, 0.9),
        ("0::/slurm/job_7/step_0\n", V2, {"slurm/job_7": v2(1000, 970, 20), "slurm": v2("max", 2000, 0)}, 0.95),
        ("0::/job\n", V2, {"": v2(1000, 990, 0), "job": v2(1000, 500, 0)}, 0.99),
        ("4:memory:/job\n0::/\n", V1, {"memory/job": v1(1000, 990, 30), "memory": v1(1 << 62, 1, 0)}, 0.96),
        ("0::/job\n", V2, {"job": v2("max", 990, 0), "": {"memory.max": 0}}, 0.5),
        ("0::/job\n", V2, {"job": v2(0, 990, 0)}, 0.5),
        ("", "", {}, 0.5),
    ],
)
def test_the_fullest_group_of_this_process_counts(tmp_path, monkeypatch, groups, mounts, files, expected):
    """Batch systems limit a group below the one that is mounted, and older systems have other files."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(percent=50.0))
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
    (tmp_path / "proc" / "self" / "mountinfo").write_text(mounts)
    for group, contents in files.items():
        folder = tmp_path / "sys" / "fs" / "cgroup" / group
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_text(f"{content}\n")
    assert used_memory(tmp_path) == pytest.approx(expected)
