"""What a run knows of trials beyond their reports: configurations without a report, and reports that are missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from syne_hypersched.backends.shared.events import DECISION
from syne_hypersched.experiments._results import config_in_folder
from syne_hypersched.records.events import Event

#: Decisions that the scheduler takes at a report of the trial.
_AT_A_REPORT = ("pause", "stop")
#: Most trials that are named.
_MOST_TRIALS = 10


def other_configs(
    folder: Path, events: Iterable[Event], known: Mapping[int, Any], space: Collection[str]
) -> dict[int, dict[str, Any]]:
    """Configurations of trials that have not reported, as far as their folders have them.

    Parameters
    ----------
    folder
        Folder of the experiment.
    events
        All of its events, which name the trials.
    known
        Configurations of the trials that have reported.
    space
        Names of the entries of a configuration; empty if that is not known.
    """
    found = {}
    trials = {event.trial_id for event in events if event.trial_id is not None} - known.keys()
    for trial_id in sorted(trials):
        if config := config_in_folder(folder, trial_id):
            found[trial_id] = {name: value for name, value in config.items() if not space or name in space}
    return found


def lost_reports(events: Iterable[Event], reported: Collection[int], where: Path) -> str:
    """Which trials the scheduler has judged at a report that the results do not have, in words; empty if there is none.

    Parameters
    ----------
    events
        All events of the run.
    reported
        Trials of which the results have a report.
    where
        What the results were read from.
    """
    judged = {
        event.trial_id
        for event in events
        if event.event == DECISION and event.details.get("what") in _AT_A_REPORT and event.trial_id is not None
    }
    lost = sorted(judged.difference(reported))
    if not lost:
        return ""
    more = f" and {len(lost) - _MOST_TRIALS} more" if len(lost) > _MOST_TRIALS else ""
    named = ", ".join(map(str, lost[:_MOST_TRIALS]))
    are = "trial {} was" if len(lost) == 1 else "trials {} were"
    return (
        f"{where} lacks reports at which {are.format(named + more)} paused or stopped: the results end before the run "
        "does, and statements about it may be wrong"
    )
