"""Finds out whether an experiment's deadline has passed, so that a resume would do nothing. It only reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syne_tune import Tuner

from syne_hypersched._disk import Disk
from syne_hypersched.filenames import EVENTS_FILENAME, JOURNAL_DIRNAME, LOCK_FILENAME, SETUP_FILENAME
from syne_hypersched.records.events import EventReader
from syne_hypersched.records.segments import read_segments
from syne_hypersched.recovery._lock import last_alive
from syne_hypersched.recovery._orphans import find_orphans
from syne_hypersched.recovery._resume import elapsed_s, find_experiment
from syne_hypersched.recovery._setup import load_setup

#: A resume is not worthwhile if less than this share of the time is left.
_LEAST_SHARE = 0.02


@dataclass(frozen=True)
class SpentTime:
    """An experiment whose deadline has passed.

    .. code-block:: python

        spent = spent_time("my-experiment")
        if spent is not None and spent.has_time_left:
            resume_experiment("my-experiment", time_passes="running")

    Attributes
    ----------
    path
        Its folder.
    deadline_s
        Its deadline, in seconds after the start.
    elapsed_s
        Seconds since the start.
    tuned_s
        Seconds during which a tuner was running.
    drain_s
        Seconds before the deadline at which training ends.
    """

    path: Path
    deadline_s: float
    elapsed_s: float
    tuned_s: float
    drain_s: float = 0.0

    @property
    def has_time_left(self) -> bool:
        """Whether a resume is worthwhile if only the time counts in which a tuner was running."""
        return self.deadline_s - self.drain_s - self.tuned_s > _LEAST_SHARE * self.deadline_s


def spent_time(name_or_path: str | Path, tuner: Tuner | None = None, time_passes: str = "always") -> SpentTime | None:
    """The times of an experiment whose deadline has passed.

    Parameters
    ----------
    name_or_path
        The experiment's name (``tuner.name``) or folder.
    tuner
        The new tuner, if there is one; by default the one that is stored.
    time_passes
        ``"always"``: the time between death and now counts. ``"running"``: only the time in which a tuner was running.

    Returns
    -------
    SpentTime or None
        None if there is time left, if there is no deadline, if the experiment still runs, or if processes of its tuner
        are left, which a resume ends.

    Raises
    ------
    TypeError
        ``tuner`` is none.
    FileNotFoundError, PermissionError, ValueError
        The experiment cannot be resumed, as in :func:`~syne_hypersched.resume_experiment`.
    """
    if tuner is not None and not hasattr(tuner, "stop_criterion"):
        raise TypeError(f"tuner must be a syne_tune.Tuner or None, but got {tuner!r}")
    path = find_experiment(name_or_path)
    alive = last_alive(path / JOURNAL_DIRNAME / LOCK_FILENAME)
    segments = read_segments(str(path / JOURNAL_DIRNAME), Disk())
    if alive is None or not segments.headers:
        return None
    tuner = tuner or load_setup(path / JOURNAL_DIRNAME / SETUP_FILENAME)
    criterion: Any = tuner.stop_criterion
    deadline_s = getattr(criterion, "deadline_s", None) or getattr(criterion, "max_wallclock_time", None)
    if deadline_s is None and hasattr(criterion, "deadline_s"):  # ``Deadline()`` uses the scheduler's deadline
        deadline_s = getattr(tuner.scheduler, "deadline_s", None)
    if deadline_s is None:
        return None
    last_s = max((entry["time_s"] for entry in segments.entries), default=0.0)
    all_s, tuned_s = (elapsed_s(segments, last_s, alive, how) for how in ("always", "running"))
    drain_s = float(getattr(criterion, "drain_s", 0.0))
    spent = SpentTime(path, float(deadline_s), all_s, tuned_s, drain_s)
    is_over = (all_s if time_passes == "always" else tuned_s) >= spent.deadline_s - drain_s
    if not is_over or find_orphans(path, path, EventReader(path / EVENTS_FILENAME, strict=False).read_new()):
        return None
    return spent
