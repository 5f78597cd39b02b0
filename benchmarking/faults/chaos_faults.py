"""Kills and stops processes of running trials and tears their checkpoints, at random moments. Used by ``chaos.py``."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from pathlib import Path

import psutil

from benchmarking.faults.chaos_script import newest_checkpoint
from syne_hypersched.backends import ElasticLocalBackend
from syne_hypersched.experiments import EventReader


class FaultInjector:
    """Injects faults from a separate thread until it is stopped.

    Parameters
    ----------
    backend
        The backend whose trials are disturbed.
    events
        The file in which the backend records its launches.
    seed
        Seed of the moments, kinds and targets of faults.
    mean_pause_s
        Mean of the exponential distribution of the seconds between two faults.
    """

    #: Relative frequency of each fault.
    WEIGHTS = {"rank killed": 8, "trial killed": 4, "server killed": 1, "rank stopped": 3, "checkpoint torn": 4}  # noqa: RUF012

    def __init__(self, backend: ElasticLocalBackend, events: EventReader, seed: int, mean_pause_s: float) -> None:
        self._backend = backend
        self._events = events
        self._random = random.Random(seed)
        self._mean_pause_s = mean_pause_s
        #: Process ids of the ranks of each live trial.
        self._live: dict[int, list[int]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> FaultInjector:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        kinds, weights = list(self.WEIGHTS), list(self.WEIGHTS.values())
        while not self._stopped.wait(self._random.expovariate(1 / self._mean_pause_s)):
            (kind,) = self._random.choices(kinds, weights)
            try:
                done = self._let_go_wrong(kind)
            except (psutil.NoSuchProcess, FileNotFoundError):
                continue  # it has just ended by itself
            self.counts[kind] += done

    def _let_go_wrong(self, kind: str) -> bool:
        """Returns whether there was a target for the fault."""
        self._update()
        if not self._live:
            return False
        trial_id = self._random.choice(sorted(self._live))
        pids = self._live[trial_id]
        rank = psutil.Process(pids[0] if kind == "checkpoint torn" else self._random.choice(pids))
        supervisor = rank.parent()
        server = None if supervisor is None else supervisor.parent()
        if supervisor is None or server is None or server.ppid() != os.getpid():
            return False  # it is being reaped: its number may soon belong to another process
        if kind == "rank stopped":
            rank.suspend()
        elif kind == "checkpoint torn":
            return self._tear_checkpoint(trial_id, rank)
        else:
            {"rank killed": rank, "trial killed": supervisor, "server killed": server}[kind].kill()
        return True

    def _tear_checkpoint(self, trial_id: int, rank: psutil.Process) -> bool:
        rank.suspend()  # so that it writes no checkpoint meanwhile
        checkpoint = newest_checkpoint(Path(self._backend.checkpoint_trial_path(trial_id)))
        if checkpoint is not None:
            os.truncate(checkpoint, self._random.randrange(max(1, checkpoint.stat().st_size)))
        rank.kill()
        return checkpoint is not None

    def _update(self) -> None:
        for event in self._events.read_new():
            if event.event == "launch" and event.trial_id is not None:
                self._live[event.trial_id] = list(event.details["pids"])
            elif event.event == "exit" and event.trial_id is not None:
                self._live.pop(event.trial_id, None)
