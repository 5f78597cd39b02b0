"""A resume with a later deadline: the replay repeats earlier decisions; then the new deadline applies.

Without this module, the replay would compare decisions for different deadlines. The last answer to the tuner, that
nothing more can start, would also stay in force.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from syne_hypersched._metadata import read_metadata, scheduler_arguments
from syne_hypersched.contract import ExtendableScheduler
from syne_hypersched.deadline import Deadline
from syne_hypersched.records.segments import Entry
from syne_hypersched.recovery._replay_state import ReplayState

logger = logging.getLogger(__name__)

EXTEND = "extend"
"""Name of the call, in the entries of a journal."""


def deadline_of(stop_criterion: Any) -> float | None:
    """The deadline of a stop criterion; None if it has none. A scheduler without a deadline of its own uses it."""
    deadline_s = stop_criterion.deadline_s if isinstance(stop_criterion, Deadline) else None
    return None if deadline_s is None else float(deadline_s)


def deadline_wanted(
    scheduler: Any, stop_criterion: Any = None, headers: Sequence[Entry] = (), entries: Sequence[Entry] = ()
) -> float | None:
    """The deadline of the resume; None if the scheduler has no deadline that can be extended.

    Parameters
    ----------
    scheduler
        The scheduler that was made for the resume.
    stop_criterion
        The stop criterion of the tuner. A scheduler without a deadline of its own uses its deadline.
    headers, entries
        Of the journal. A deadline that is not later than the earlier tuner's is ignored: the scheduler has it already,
        minus the seconds in which the tuner started.
    """
    if not isinstance(scheduler, ExtendableScheduler):
        return None
    wanted_s = scheduler.deadline_s
    if wanted_s is None:
        wanted_s = deadline_of(stop_criterion)
        before_s = headers[-1].get("deadline_s") if headers else None
        is_later = wanted_s is None or before_s is None or wanted_s > before_s
        if not is_later and not is_extended_to(entries, wanted_s):
            return None
    return None if wanted_s is None else float(wanted_s)


def is_extended_to(entries: Sequence[Entry], wanted_s: float | None) -> bool:
    """Whether the journal has an extension to this deadline, so that a snapshot may have been taken after it."""
    return wanted_s in [entry["deadline_s"] for entry in entries if entry["call"] == EXTEND]


def assume_first_deadline(scheduler: Any, entries: Sequence[Entry], path: Path, wanted_s: float | None) -> None:
    """Sets a scheduler that was made with a later deadline back to the first tuner's deadline.

    Parameters
    ----------
    scheduler
        The scheduler, before its first call.
    entries
        Entries of the journal.
    path
        Folder of the experiment.
    wanted_s
        See :func:`deadline_wanted`.
    """
    if wanted_s is None:
        return
    own_s = scheduler.deadline_s
    try:
        first_s = _first_deadline(entries, path)
    except (OSError, ValueError, KeyError, TypeError):
        return  # not written at once: a tuner may have died before it was whole
    if first_s is None and own_s is not None:
        # The first scheduler took the deadline of its backend. A scheduler without a deadline does the same in the
        # replay.
        first_s = next((entry["situation"][1] for entry in entries if "situation" in entry), None)
    if first_s is not None and (own_s is None or first_s < own_s):
        scheduler.assume_deadline(first_s)


def _first_deadline(entries: Sequence[Entry], path: Path) -> float | None:
    """The first scheduler's deadline before any extension; None if it had none."""
    for entry in entries:
        if entry["call"] == EXTEND:
            return float(entry["from_s"])
    made_s = scheduler_arguments(read_metadata(path))["deadline_s"]
    return None if made_s is None else float(made_s)


def extend(scheduler: Any, wanted_s: float | None, progress: ReplayState) -> Entry | None:
    """Extends the deadline of a scheduler after the replay, if the scheduler was made with a later one.

    Returns
    -------
    dict or None
        The entry for the journal, which ``progress`` already contains; None if the deadline is not later.
    """
    if wanted_s is None or scheduler.deadline_s is None or wanted_s <= scheduler.deadline_s:
        return None  # a scheduler without a deadline takes the later one at its first trial
    entry = {
        "call": EXTEND, "time_s": progress.time_s, "from_s": scheduler.deadline_s, "deadline_s": wanted_s,
    }  # fmt: skip
    logger.info("The deadline is now %.4g s; it was %.4g s.", wanted_s, scheduler.deadline_s)
    scheduler.extend_deadline(wanted_s)
    progress.apply(entry)
    return entry
