"""Replays a journal to a scheduler, which comes out in the state that it was in when the journal ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from syne_tune.optimizer.scheduler import TrialScheduler

from syne_hypersched.records.segments import Entry, as_json
from syne_hypersched.recovery._journaled import describe
from syne_hypersched.recovery._replay_state import ReplayState
from syne_hypersched.recovery._ticks import Ticks

logger = logging.getLogger(__name__)


def replay(
    entries: Sequence[Entry],
    scheduler: TrialScheduler,
    ticks: Ticks,
    progress: ReplayState,
    num_known: int = 0,
    strict: bool = True,
) -> None:
    """Makes every call again that a journal has, and takes its outcome into ``progress``.

    A call at which the scheduler has raised is not made again, unless the tuning went on after it.

    Parameters
    ----------
    entries
        All entries of the journal.
    scheduler
        The scheduler in the state in which it was after the first ``num_known`` entries.
    ticks
        The time that it sees, which becomes that of each call.
    progress
        A new one.
    num_known
        Entries that the scheduler knows already, from a snapshot.
    strict
        Whether the scheduler must decide as the journal says, and raise nowhere else. Else it is warned of once, and
        the journal prevails.

    Raises
    ------
    ValueError
        The scheduler decides otherwise than the journal says or raises, or the journal makes no sense.
    """
    differed = False
    for number, entry in enumerate(entries):
        try:
            if entry["call"] == "add":
                progress.add(entry)
            progress.look_at(entry)
            if number >= num_known and not ("raised" in entry and "decision" not in entry):
                ticks.now_s = entry["time_s"]
                try:
                    wrote, does = _call(scheduler, entry, progress)
                except _RaisedError as raised:
                    wrote, does = raised.wrote, f"to raise {type(raised.__cause__).__name__}: {raised.__cause__}"
                if "raised" not in entry and wrote != does and not differed:
                    differed = True
                    _differs(number, entry, wrote, does, strict)
            progress.apply(entry)
        except (KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"entry {number} of the journal is not valid: {entry!r}") from error


class _RaisedError(Exception):
    """The scheduler has raised, where the journal has written something."""

    def __init__(self, wrote: Any) -> None:
        super().__init__()
        self.wrote = wrote


@contextmanager
def _asking(wrote: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise _RaisedError(wrote) from error


def _call(scheduler: TrialScheduler, entry: Entry, progress: ReplayState) -> tuple[Any, Any]:
    """Makes one call; what the journal says that came out, and what has come out."""
    call = entry["call"]
    wrote: Any
    if call == "suggest":
        wrote = {key: entry[key] for key in ("what", "from_trial_id", "config") if key in entry}
        with _asking(wrote):
            return wrote, as_json(describe(scheduler.suggest()))
    if call == "extend":
        scheduler.extend_deadline(entry["deadline_s"])
        return None, None
    trial = progress.trials[entry["trial_id"]]
    if call == "result":
        report = dict(entry["report"])
        wrote = (entry["decision"], entry.get("num_devices", progress.wished_devices(trial.trial_id)))
        with _asking(wrote):
            decision = str(scheduler.on_trial_result(trial=trial, result=report))
        return wrote, (decision, progress.wished_devices(trial.trial_id))
    last = progress.last_result[trial.trial_id] if call == "complete" else {}
    with _asking(None):
        if call == "add":
            scheduler.on_trial_add(trial=trial)
        elif call == "complete":
            scheduler.on_trial_complete(trial, last)
        elif call == "error":
            scheduler.on_trial_error(trial)
        elif call == "remove":
            scheduler.on_trial_remove(trial=trial)
    return None, None


def _differs(number: int, entry: Entry, wrote: Any, does: Any, strict: bool) -> None:
    what = (
        f"the scheduler must decide as the journal says, but at entry {number} ({entry['call']}) the journal has "
        f"{wrote!r} and the scheduler decides {does!r}"
    )
    if strict:
        raise ValueError(
            f"{what}. Its code or arguments have changed, or it draws from a generator that is not its own. With "
            "strict=False the decisions of the journal are used"
        )
    logger.warning(
        "%s. The decision of the journal is used; the scheduler's state may differ from it from here on.", what
    )
