"""What is sent to a page: everything, or what is new since the last time."""

from __future__ import annotations

import json
import math
import time
from typing import Any

from syne_hypersched._version import __version__
from syne_hypersched.experiments.page._reader import RunReader
from syne_hypersched.experiments.page._rungs import describe_rung
from syne_hypersched.experiments.page._state import PageState, TrialFailure
from syne_hypersched.experiments.page._summary import best_of, counts, is_alive, now_s, phase_of, shares_of_time
from syne_hypersched.experiments.page._views import MOST_POINTS, short

#: All curves together have so many points at most; what is beyond is thinned.
_MOST_POINTS_IN_ALL = 60_000
_LEAST_POINTS = 4
#: So many trials keep all of their points in any case: the best ones and those that hold devices.
_MOST_IN_FULL = 100
_MOST_DECISIONS = 5_000
_MOST_FAILURES = 500


def collect(reader: RunReader, since: int = 0) -> dict[str, Any]:
    """The run as values of JSON.

    Parameters
    ----------
    reader
        The reader, whose :meth:`~RunReader.update` has just been called.
    since
        Only trials, launches and decisions that have changed after this number; 0 means all.
    """
    state = reader.state
    alive = is_alive(reader.path, state.hosts.values())
    quiet_s = math.inf if state.last_timestamp is None else time.time() - state.last_timestamp
    phase = phase_of(state.is_simulated, any(view.end_s is None for view in state.launches.values()), alive, quiet_s)
    until_s = now_s(state, phase)
    most = dict.fromkeys(_in_full(state), MOST_POINTS)
    least = max(_LEAST_POINTS, _MOST_POINTS_IN_ALL // max(1, len(state.trials)))
    decisions = [line for seq, line in state.decisions[-_MOST_DECISIONS:] if seq > since]
    return {
        "generation": reader.generation,
        "seq": state.seq,
        "since": since,
        "run": {
            "name": reader.path.name,
            "path": str(reader.path),
            "version": __version__,
            "scheduler": str(state.goal.metadata.get("scheduler_name", "")),
            "backend": str(state.goal.metadata.get("backend", "")),
            "metric": state.goal.metric,
            "minimize": state.goal.do_minimize,
            "level": state.goal.time_attr,
            "names": state.names,
            "problems": list(reader.problems.values()),
        },
        "now": round(until_s, 3),
        "phase": phase,
        "deadline": state.deadline_s,
        "closed": None
        if state.admission_closed is None
        else [round(state.admission_closed[0], 3), state.admission_closed[1]],
        "devices": list(state.devices),
        "counts": counts(state, phase == "running"),
        "totals": {
            "reports": state.num_reports,
            "launches": len(state.launches),
            "resizes": state.num_resizes,
            "retries": state.num_retries,
            "decisions": len(state.decisions),
            "failures": len(state.failures),
        },
        "waiting": [[trial_id, round(begun_s, 3), what] for trial_id, (begun_s, what) in state.waiting.items()],
        "shares": shares_of_time(state.launches.values(), len(state.devices), until_s),
        "best": best_of(reader.path, state),
        "history": [[round(time_s, 3), short(value)] for time_s, value in state.history],
        "rungs": _rungs(state),
        "failures": [_failure(failure) for failure in _latest_failures(state)],
        "trials": [
            trial.to_json(state.names, most.get(trial.trial_id, least))
            for trial in state.trials.values()
            if trial.seq > since
        ],
        "launches": [view.to_json() for view in state.launches.values() if view.seq > since],
        "decisions": decisions,
    }


def encode(data: dict[str, Any]) -> str:
    """The values as JSON that may stand in a page: no part of it can end the element that it stands in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, default=str)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _in_full(state: PageState) -> list[int]:
    sign = 1.0 if state.goal.do_minimize else -1.0
    ranked = sorted((sign * trial.best[0], trial.trial_id) for trial in state.trials.values() if trial.best is not None)
    return [trial_id for _, trial_id in ranked[:_MOST_IN_FULL]] + list(state.hosts)


def _rungs(state: PageState) -> list[dict[str, Any]]:
    furthest = {trial.trial_id: trial.resource for trial in state.trials.values()}
    return [describe_rung(level, values, furthest) for level, values in state.rungs.items() if values]


def _latest_failures(state: PageState) -> list[TrialFailure]:
    return sorted(state.failures.values(), key=lambda failure: -failure.time_s)[:_MOST_FAILURES]


def _failure(failure: TrialFailure) -> dict[str, Any]:
    return {
        "trial": failure.trial_id,
        "time": round(failure.time_s, 3),
        "launch": failure.launch,
        "code": failure.exit_code,
        "final": failure.is_final,
        "count": failure.count,
        "log": failure.log,
        "lines": failure.lines or [],
    }
