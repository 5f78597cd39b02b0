"""What is assumed of launches, drains and failures in virtual time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from syne_hypersched import checks


@dataclass(frozen=True)
class LaunchCost:
    """Seconds that a trial holds its devices without training, each time it is launched or drained.

    Example: ``LaunchCost(start_s=20.0, resize_s=8.0, drain_s=2.0)``.

    Parameters
    ----------
    start_s
        Seconds from the launch of a new trial to the start of its first epoch.
    resume_s
        The same (s) for a paused trial that is resumed; by default ``start_s``.
    resize_s
        The same (s) for a trial that goes on with another number of devices; by default ``resume_s``.
    drain_s
        Seconds from the request to checkpoint and exit until the devices are free. What was trained since the last
        report is lost, as it is to a script that writes a checkpoint after every epoch.
    prepare_s
        Seconds from the request for more devices until new processes join, while the trial trains and holds all of
        them. None: trials are drained and launched for a resize, which costs ``drain_s`` and ``resize_s``.
    join_s
        Seconds for which no device trains when processes join or leave.

    Raises
    ------
    TypeError
        A cost is not a number.
    ValueError
        A cost is negative or not finite.
    """

    start_s: float = 0.0
    resume_s: float | None = None
    resize_s: float | None = None
    drain_s: float = 0.0
    prepare_s: float | None = None
    join_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("start_s", "resume_s", "resize_s", "drain_s", "prepare_s", "join_s"):
            seconds = getattr(self, name)
            if seconds is None and name in ("resume_s", "resize_s", "prepare_s"):
                continue
            checks.seconds(f"{name} of the launch cost", seconds)
        if self.prepare_s is None and self.join_s:
            raise ValueError(
                f"join_s of the launch cost must be 0 where prepare_s is None, since no process joins, but got "
                f"{self.join_s!r}"
            )

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

    Example: ``Failures(probability=0.01, seed=3)``: one epoch in a hundred fails.

    Whether and when a trial fails in an epoch depends on the seed, the trial and the epoch alone, never on what other
    trials do or on how often the epoch is trained.

    Parameters
    ----------
    probability
        Probability that a trial fails, in each epoch.
    seed
        Seed of the draws.

    Raises
    ------
    TypeError
        ``seed`` is not an integer, or ``probability`` not a number.
    ValueError
        ``probability`` is not from 0 to 1.
    """

    probability: float
    seed: int = 0

    def __post_init__(self) -> None:
        checks.number("probability of failures", self.probability, "a number from 0 to 1", at_least=0.0, at_most=1.0)
        checks.integer("seed of failures", self.seed)

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
