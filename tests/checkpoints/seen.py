"""A checkpoint folder and a log that are looked at when a test says so."""

from __future__ import annotations

import json
import os
import time

from syne_hypersched.checkpoints._changes import ChangeWatch
from syne_hypersched.checkpoints._matching import Matcher
from syne_hypersched.checkpoints._observer import Observer
from syne_hypersched.checkpoints._spec import CheckpointSpec
from syne_hypersched.checkpoints._states import Order
from syne_hypersched.checkpoints._store import Notes


class Seen:
    """A script's folder and log, and what an observer makes of it."""

    def __init__(self, folder):
        self.folder, self.log = folder / "checkpoints", folder / "std.out"
        self.folder.mkdir(exist_ok=True)
        self.log.touch()
        self.watch = ChangeWatch(str(self.folder), str(self.log))
        self.matcher = Matcher(0, Notes(), Order.UNKNOWN, time.monotonic(), goes_on=True)
        spec = CheckpointSpec(folder=str(self.folder), log=str(self.log), launch=0)
        self.observer = Observer(spec, self.watch, self.matcher, lambda: None)
        self._epoch = 0

    def write(self, *paths):
        for path in paths:
            (self.folder / path).parent.mkdir(exist_ok=True)
            self.observer.look()
            (self.folder / path).write_text("weights")
        self.observer.look()

    def move(self, source, target):
        os.replace(self.folder / source, self.folder / target)
        self.observer.look()

    def make_and_move(self, folder, target):
        """Makes a folder with a file, and moves it before anybody looks."""
        (self.folder / folder).mkdir()
        (self.folder / folder / "model").write_text("weights")
        self.move(folder, target)

    def print_report(self):
        """Prints a report that nobody has looked at yet."""
        self._epoch += 1
        with open(self.log, "a") as file:
            file.write(f"[tune-metric]: {json.dumps({'epoch': self._epoch})}\n")

    def report(self):
        self.print_report()
        self.observer.look()

    def print(self, text):
        """Prints something else that nobody has looked at yet."""
        with open(self.log, "a") as file:
            file.write(f"{text}\n")

    def quiet(self):
        """Nothing happens for a while, so that the keeper takes the checkpoint to be complete."""
        self.observer.is_open = False

    @property
    def bounds(self):
        state = self.matcher.current
        return state.after, state.before
