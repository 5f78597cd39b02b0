"""Information of the kernel about processes."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from syne_hypersched.launch import _linux
from syne_hypersched.launch._linux import use_huge_pages

pytestmark = pytest.mark.usefixtures("no_process_left")


DESCENDANTS = """
import os, subprocess, sys
from syne_hypersched.launch import _linux

_linux.adopt_orphans()
if sys.argv[1] == "tree":
    shell = subprocess.Popen(["sh", "-c", "(sleep 1000 & echo $!; sleep 1000) & wait"], stdout=subprocess.PIPE)
    orphan = int(shell.stdout.readline())
else:
    os.waitpid(os.spawnlp(os.P_NOWAIT, "true", "true"), 0)
    _linux.descendants = None  # nothing is to be looked for
print(_linux.kill_descendants() > 1)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child")
if sys.argv[1] == "tree":
    print(os.path.exists(f"/proc/{orphan}"))
"""


@pytest.mark.parametrize("what, printed", [("tree", "True\nno child\nFalse\n"), ("nothing", "False\nno child\n")])
def test_all_descendants_are_killed_and_nobody_is_looked_for_without_children(what, printed):
    done = subprocess.run([sys.executable, "-c", DESCENDANTS, what], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (printed, "")


CODE = """
import os
from pathlib import Path
from syne_hypersched.launch._linux import use_huge_pages
held = bytearray(os.urandom(1 << 20) * 16)
copy = bytes(held)
moved = use_huge_pages()
pid = os.fork()
if not pid:
    held[:] = bytes(len(held))
    os._exit(held == copy)
assert os.waitpid(pid, 0)[1] == 0
assert held == copy
huge = [line.split()[1] for line in Path("/proc/self/smaps_rollup").read_text().splitlines() if "AnonHuge" in line]
print(moved, huge[0])
"""


def test_memory_is_the_same_in_huge_pages():
    """Whether the kernel has them or not."""
    done = subprocess.run([sys.executable, "-c", CODE], stdout=subprocess.PIPE, check=True)
    moved, huge_kb = map(int, done.stdout.split())
    assert moved <= 0 or huge_kb > 0


def test_a_kernel_that_has_none_leaves_everything_as_it_is(monkeypatch):
    calls = []
    monkeypatch.setattr(_linux, "_libc", SimpleNamespace(madvise=lambda *call: calls.append(call) or -1))
    assert use_huge_pages() == 0
    assert all(size % (1 << 12) == 0 for _, size, _ in calls)


SMAPS = """\
00400000-00800000 r-xp 00000000 08:01 42                       /usr/bin/python3.11
Rss:                4096 kB
01000000-01800000 rw-p 00000000 00:00 0                        [heap]
Size:               8192 kB
Rss:                8000 kB
VmFlags: rd wr mr mw me ac sd
7f0000000000-7f0000800000 rw-p 00000000 00:00 0
Rss:                  12 kB
7f0001000000-7f0001800000 rw-p 00000000 00:00 0
Rss:                8192 kB
7f0002000000-7f0002800000 rw-s 00000000 00:00 0
Rss:                8192 kB
7f0003000000-7f0003800000 rw-p 00000000 08:01 43               /usr/lib/libtorch.so
Rss:                8192 kB
7f0004000000-7f0004800000 rw-p 00000000 00:00 0                [anon:cpython:pymalloc]
Rss:                8192 kB
7ff000000000-7ff000800000 rw-p 00000000 00:00 0                [stack]
Rss:                8192 kB
"""


def test_only_memory_that_belongs_to_no_file_and_is_in_use_is_moved():
    begins = [begin for begin, _ in _linux._own_regions(SMAPS)]
    assert begins == [0x1000000, 0x7F0001000000, 0x7F0004000000]


NAMED = """
import ctypes, sys
ctypes.CDLL(None).prctl(15, b"a) R 1 (b")
print("named", flush=True)
sys.stdin.read()
"""


def test_children_are_found_whatever_they_are_called_and_until_they_are_reaped():
    child = subprocess.Popen([sys.executable, "-c", NAMED], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"named\n"
        assert child.pid in _linux.children()
        assert child.pid in _linux.descendants()
        assert child.pid in _linux.children(os.getpid())
        assert child.pid not in _linux.children(child.pid)
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert child.pid in _linux.children()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert child.pid not in _linux.children()
