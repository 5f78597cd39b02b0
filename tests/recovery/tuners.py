"""Tuners with a journal, on a script of which each trial ends at once."""

from __future__ import annotations

import os

from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform

from syne_hypersched import ASHA, ElasticLocalBackend, Journal
from syne_hypersched._disk import Disk
from syne_hypersched.records.segments import read_segments


def make_tuner(script, num_trials=3, callbacks=None, backend=None, random_seed=1):
    """A tuner that trains three configurations to their ends."""
    backend = ElasticLocalBackend(script, 1, device_type="cpu") if backend is None else backend
    scheduler = ASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t=9, grace_period=9, random_seed=random_seed)
    stop = StoppingCriterion(max_num_trials_finished=num_trials)
    return Tuner(
        backend, scheduler, stop, n_workers=1, sleep_time=0.01, tuner_name="test", suffix_tuner_name=False,
        callbacks=[Journal()] if callbacks is None else callbacks,
    )  # fmt: skip


class PatientJournal(Journal):
    """Takes a snapshot after each loop, and waits for it: how many there are does not depend on how long they take."""

    def __init__(self):
        super().__init__(snapshot_interval_s=1e-9)

    def on_loop_end(self):
        super().on_loop_end()
        if self._snapshots._pid is not None:
            os.waitid(os.P_PID, self._snapshots._pid, os.WEXITED | os.WNOWAIT)


def read_segments_of(path):
    return read_segments(str(path / "journal"), Disk())
