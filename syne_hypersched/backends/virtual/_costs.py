"""What is assumed of launches, drains and failures in virtual time."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from numbers import Integral, Real


@dataclass(frozen=True)
class LaunchCost:
    """Seconds that a trial holds its devices without training, each time it is launched or drained.

    Raises
    ------
    TypeError
        A cost is not a number.
    ValueError
        A cost is negative or not finite.
    """

    start_s: float = 0.0
    """From the launch of a new trial to the start of its first epoch."""
    resume_s: float | None = None
    """The same for a paused trial that is resumed; by default ``start_s``."""
    resize_s: float | None = None
    """The same for a trial that goes on with another number of devices; by default ``resume_s``."""
    drain_s: float = 0.0
    """From the request to checkpoint and exit until the devices are free. What was trained since the last report is
    lost, as it is to a script that writes a checkpoint after every epoch."""

    def __post_init__(self) -> None:
        for name in ("start_s", "resume_s", "resize_s", "drain_s"):
            seconds = getattr(self, name)
            if seconds is None and name in ("resume_s", "resize_s"):
                continue
            if isinstance(seconds, bool) or not isinstance(seconds, Real):
                raise TypeError(f"{name} of the launch cost must be a number of seconds, but got {seconds!r}")
            if not 0 <= float(seconds) < math.inf:
                raise ValueError(f"{name} of the launch cost must be finite and at least 0, but got {seconds!r}")

    @property
    def by_kind(self) -> dict[str, float]:
        """Seconds of each kind of launch: ``"start"``, ``"resume"`` and ``"resize"``."""
        resume_s = self.start_s if self.resume_s is None else self.resume_s
        resize_s = resume_s if self.resize_s is None else self.resize_s
        return {"start": float(self.start_s), "resume": float(resume_s), "resize": float(resize_s)}


NO_COST = LaunchCost()
"""Launches and drains that take no time."""


@dataclass(frozen=True)
class Failures:
    """Trials that fail by themselves.

    Whether and when a trial fails in an epoch depends on the seed, the trial and the epoch alone, never on what other
    trials do or on how often the epoch is trained.

    Raises
    ------
    TypeError
        ``seed`` is not an integer, or ``probability`` not a number.
    ValueError
        ``probability`` is not from 0 to 1.
    """

    probability: float
    """Probability that a trial fails, in each epoch."""
    seed: int = 0
    """Seed of the draws."""

    def __post_init__(self) -> None:
        if isinstance(self.probability, bool) or not isinstance(self.probability, Real):
            raise TypeError(f"probability of failures must be a number, but got {self.probability!r}")
        if not 0 <= float(self.probability) <= 1:
            raise ValueError(f"probability of failures must be from 0 to 1, but got {self.probability!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, Integral):
            raise TypeError(f"seed of failures must be an integer, but got {self.seed!r}")

    def share_trained(self, trial_id: int, epoch: int) -> float | None:
        """How much of an epoch the trial trains before it fails.

        Parameters
        ----------
        trial_id, epoch
            The trial, and the index of the epoch, counted from 0.

        Returns
        -------
        float or None
            From 0 to below 1; None if the trial survives the epoch.
        """
        # A hash draws from the triple at once; seeding a generator for every epoch takes ten times as long.
        drawn = hashlib.blake2b(b"%d %d %d" % (self.seed, trial_id, epoch), digest_size=16).digest()
        fails, share = (int.from_bytes(half, "big") / 2**64 for half in (drawn[:8], drawn[8:]))
        return share if fails < self.probability else None
