"""A process that does what it is told, for tests of what other processes do to files."""

from __future__ import annotations

import subprocess
import sys

#: Does what it is told, line by line, and says when it was done.
_OBEY = """
import os, subprocess, sys, threading
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Child:
    """A process that does what it is told."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", _OBEY], stdin=-1, stdout=-1, text=True)
        self.pid = self.process.pid

    def do(self, what):
        """Has it do something, and waits until that is done."""
        self.begin(what)
        self.end()

    def begin(self, what):
        """Has it do something."""
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def end(self):
        """Waits until it has done what it was told."""
        assert self.process.stdout.readline() == "done\n"

    def close(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
