"""Trials whose best checkpoints are published, and a disk that is full."""

from __future__ import annotations

import contextlib
import resource

import numpy as np

from syne_hypersched.checkpoints import Generation, GenerationStore, Matched
from syne_hypersched.checkpoints._files import read_tree
from syne_hypersched.checkpoints.best import (
    BestPublisher,
    Incumbent,
    published_result,
)


@contextlib.contextmanager
def no_room():
    """No file of this process can have a byte more, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Trials:
    """Trials with generations, and what was published of them."""

    def __init__(self, folder):
        self.folder = folder
        self.live = set()
        self.told = []
        self.publisher = BestPublisher(
            lambda *told: self.told.append(told),
            self.live.__contains__,
            lambda trial_id: self.store(trial_id).checkpoints,
        )
        self.publisher.metric = "loss"

    def store(self, trial_id):
        return GenerationStore(self.folder / str(trial_id) / "checkpoints")

    def take(self, trial_id, epoch, after=None, before=None):
        """The checkpoint folder holds an epoch, and a generation is taken of it."""
        store = self.store(trial_id)
        store.checkpoints.mkdir(parents=True, exist_ok=True)
        (store.checkpoints / "model").write_text(f"{trial_id} at {epoch}")
        number, after = len(store.numbers()) + 1, epoch if after is None else after
        live = read_tree(store.checkpoints)
        store.take(Generation(number, 0, after, after if before is None else before, live, {}), None)
        return number

    def match(self, trial_id, epoch, loss, generation, match="exact"):
        store = self.store(trial_id)
        notes = store.notes()
        notes.matched.append(Matched(epoch, 0, self.report(epoch, loss), 0, generation, match))
        store.write_notes(notes)
        self.publisher.notice(trial_id)

    def report(self, epoch, loss):
        return {"epoch": epoch, "loss": loss, "st_worker_timestamp": 1000.0 + epoch}

    def incumbent(self, trial_id, epoch, loss, **fields):
        result = {**self.report(epoch, loss), "st_launch": 0, "st_worker_iter": epoch - 1, **fields}
        config = {"lr": np.float64(0.1), "n": np.int64(3)}
        return Incumbent(trial_id, config, result, self.store(trial_id).checkpoints, "epoch", epoch)

    def publish(self, trial_id, epoch, loss):
        self.publisher.publish(self.folder, self.incumbent(trial_id, epoch, loss))

    def best(self):
        """Trial, level, what is in the checkpoint and how sure that is."""
        self.publisher.flush()
        result = published_result(self.folder)
        model = self.folder / "best" / "checkpoint" / "model"
        known = result["st_checkpoint"]
        text = model.read_text() if model.exists() else None
        return result["trial_id"], result["epoch"], text, None if known is None else known["match"]
