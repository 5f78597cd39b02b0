"""The run in a few numbers: what goes on, what the devices were used for, what is in ``best/``."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from syne_hypersched.experiments._best import PublishedBest, describe_best
from syne_hypersched.experiments._nodes import Absence
from syne_hypersched.experiments._run import Report, Run
from syne_hypersched.experiments._trials import IN_PROGRESS, status_at_the_end
from syne_hypersched.experiments.page._state import PageState
from syne_hypersched.experiments.page._views import LaunchView, short


def shares_of_time(
    launches: Iterable[LaunchView], num_devices: int, until_s: float, absences: Iterable[Absence] = ()
) -> dict[str, float]:
    """What the devices were used for, in seconds times devices.

    Parameters
    ----------
    launches
        All launches.
    num_devices
        Number of devices.
    until_s
        The end of the time that counts.
    absences
        When which devices were not there.

    Returns
    -------
    dict
        ``importing`` until a launch trains, ``training``, ``draining`` after it was asked to exit, ``failed`` for
        launches that failed, ``away`` when devices were not there, if any were not, and ``free``.
    """
    seconds = dict.fromkeys(("importing", "training", "draining", "failed"), 0.0)
    for launch in launches:
        end_s = until_s if launch.end_s is None else launch.end_s
        count = len(launch.devices)
        drain_s = min(end_s, math.inf if launch.drain_s is None else launch.drain_s)
        train_s = min(drain_s, end_s if launch.train_s is None else launch.train_s)
        if launch.how in ("failed", "stalled", "lost"):
            seconds["failed"] += count * max(0.0, end_s - launch.start_s)
            continue
        seconds["importing"] += count * max(0.0, train_s - launch.start_s)
        seconds["training"] += count * max(0.0, drain_s - train_s)
        seconds["draining"] += count * max(0.0, end_s - drain_s)
    away = sum(
        len(absence.devices) * max(0.0, min(until_s, absence.end_s or until_s) - absence.start_s)
        for absence in absences
    )
    if away > 0:
        seconds["away"] = away
    free = max(0.0, num_devices * until_s - sum(seconds.values()))
    return {name: round(value, 3) for name, value in (seconds | {"free": free}).items()}


def cut_off(state: PageState, run_state: str) -> str:
    """Status of a trial that no event has ended."""
    return status_at_the_end(run_state != "running", run_state == "killed", state.last_reason)


def counts(state: PageState, run_state: str) -> dict[str, int]:
    """How many trials have which status."""
    status = cut_off(state, run_state)
    found = Counter(status if trial.status == IN_PROGRESS else trial.status for trial in state.trials.values())
    return dict(sorted(found.items()))


def best_of(path: Path, state: PageState) -> dict[str, Any]:
    """How far the incumbent is ahead, and what is in ``best/``."""
    best = state.incumbent
    found: dict[str, Any] = {"next": None, "published": "", "path": None}
    if best is None:
        return found
    value, trial_id, resource, time_s = best
    sign = 1.0 if state.goal.do_minimize else -1.0
    others = [
        (sign * trial.best[0], trial.trial_id)
        for trial in state.trials.values()
        if trial.best is not None and trial.trial_id != trial_id
    ]
    if others:
        next_value, next_id = min(others)
        found["next"] = {"trial": next_id, "value": short(sign * next_value)}
    goal = state.goal
    report = Report(trial_id, time_s, resource, value)
    run = Run(goal.metric, goal.do_minimize, goal.time_attr, (report,), path=path)
    published = PublishedBest.of(run)
    if published is not None:
        found["published"] = describe_best(run)
        found["path"] = str(published.path)
        found["trial"] = published.trial_id
    return found


def now_s(state: PageState, run_state: str) -> float:
    """Seconds since the tuning started; for a finished run, the time of its last event."""
    if run_state == "running" and state.last_timestamp is not None:
        return max(state.last_s, state.last_s + time.time() - state.last_timestamp)
    return state.last_s


def incumbent_of(state: PageState) -> dict[str, Any] | None:
    """The best report so far."""
    if state.incumbent is None:
        return None
    value, trial_id, resource, time_s = state.incumbent
    return {"trial": trial_id, "value": short(value), "resource": resource, "time": round(time_s, 3)}
