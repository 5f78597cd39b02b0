"""A watched checkpoint folder with its log."""

from __future__ import annotations

import ctypes
import os

import pytest

from syne_hypersched.checkpoints._changes import ChangeWatch


class Watched:
    """A folder, a log, and what is seen of them."""

    def __init__(self, parent):
        self.folder = parent / "checkpoints"
        self.log = parent / "std.out"
        self.watch = ChangeWatch(str(self.folder), str(self.log))

    def write(self, path, text="x"):
        (self.folder / path).write_text(text)

    def report(self):
        with open(self.log, "a") as file:
            file.write("report\n")

    def seen(self):
        return ["log" if change is None else (change.kind, change.path) for change in self.watch.read()]


def of(path):
    """What is seen of a new file that is written."""
    return [("created", path), ("written", path), ("closed", path)]


def exchange(path, other):
    """Has two entries change places at one moment, as ``mv --exchange`` does."""
    if ctypes.CDLL(None).renameat2(-100, os.fsencode(path), -100, os.fsencode(other), 2):
        pytest.skip("the file system cannot exchange entries")
