"""What is sent to a page: everything, or what is new since the last time."""

from __future__ import annotations

import heapq
import json
import math
import time
from typing import Any

from syne_hypersched._version import __version__
from syne_hypersched.experiments._alive import is_alive, run_state_of
from syne_hypersched.experiments.page._nodes import absences_of, nodes_of
from syne_hypersched.experiments.page._reader import RunReader
from syne_hypersched.experiments.page._rungs import describe_rung
from syne_hypersched.experiments.page._state import PageState, TrialFailure
from syne_hypersched.experiments.page._summary import (
    best_of,
    counts,
    cut_off,
    incumbent_of,
    now_s,
    shares_of_time,
)
from syne_hypersched.experiments.page._views import MOST_POINTS, short

#: Most points of all curves together; longer curves are thinned.
_MOST_POINTS_IN_ALL = 60_000
_LEAST_POINTS = 4
#: Number of trials that keep all of their points in any case: the best ones and those that hold devices.
_MOST_IN_FULL = 100
_MOST_DECISIONS = 5_000
#: The sums over all trials take no more than this share of the time, but are never older than this many seconds.
_SHARE_OF_SUMS = 0.01
_LONGEST_S = 1.0
_MOST_FAILURES = 500


class PageData:
    """Makes what is sent to a page.

    What depends on all trials, such as the shares of the device time, is computed again at once in a small run, and
    once a second in one with thousands of trials; everything else is always new.

    Parameters
    ----------
    reader
        The reader of the run, whose :meth:`~RunReader.update` is called before each :meth:`collect`.
    """

    def __init__(self, reader: RunReader) -> None:
        self._reader = reader
        self._sums: dict[str, Any] = {}
        self._in_full: frozenset[int] = frozenset()
        self._sums_of: tuple[int, int, str] | None = None
        self._summed_at = -math.inf
        self._took_s = 0.0

    def collect(self, since: int = 0) -> dict[str, Any]:
        """The run as values of JSON.

        Parameters
        ----------
        since
            Only trials, launches and decisions that have changed after this number; 0 means all.
        """
        reader, state = self._reader, self._reader.state
        alive = is_alive(reader.path, state.hosts.values())
        quiet_s = math.inf if state.last_timestamp is None else time.time() - state.last_timestamp
        run_state = run_state_of(state.is_simulated, bool(state.live), alive, quiet_s)
        until_s = now_s(state, run_state)
        self._sum_up(run_state, until_s, must=since == 0)
        least = max(_LEAST_POINTS, _MOST_POINTS_IN_ALL // max(1, len(state.trials)))
        most = dict.fromkeys(self._in_full.union(state.hosts), MOST_POINTS)
        closed = state.admission_closed
        return {
            "generation": reader.generation,
            "seq": state.seq,
            "since": since,
            "run": _describe(reader),
            "now": round(until_s, 3),
            "phase": run_state,
            "cut_off": cut_off(state, run_state),
            "deadline": state.deadline_s,
            "incumbent": incumbent_of(state),
            "closed": None if closed is None else [round(closed[0], 3), closed[1]],
            "devices": list(state.devices),
            "away": len(state.attendance.away),
            "absences": absences_of(state),
            "totals": {
                "reports": state.num_reports,
                "launches": len(state.launches),
                "resizes": state.num_resizes,
                "retries": state.num_retries,
                "decisions": len(state.decisions),
                "failures": len(state.failures),
            },
            "waiting": [[trial_id, round(begun_s, 3), what] for trial_id, (begun_s, what) in state.waiting.items()],
            "history": [[round(time_s, 3), short(value)] for time_s, value in state.history],
            "failures": [_failure(failure) for failure in _latest_failures(state)],
            **self._sums,
            "trials": [
                trial.to_json(state.names, most.get(trial.trial_id, least))
                for trial in state.trials.values()
                if trial.seq > since
            ],
            "launches": [view.to_json() for view in state.launches.values() if view.seq > since],
            "decisions": [line for seq, line in state.decisions[-_MOST_DECISIONS:] if seq > since],
        }

    def _sum_up(self, run_state: str, until_s: float, must: bool) -> None:
        reader, state = self._reader, self._reader.state
        begun = time.monotonic()
        is_due = begun - self._summed_at >= min(_LONGEST_S, self._took_s / _SHARE_OF_SUMS)
        of = (reader.generation, state.seq, run_state)
        if not must and (self._sums_of == of or not is_due):
            return
        sign = 1.0 if state.goal.do_minimize else -1.0
        ranked = heapq.nsmallest(
            _MOST_IN_FULL,
            ((sign * trial.best[0], trial.trial_id) for trial in state.trials.values() if trial.best is not None),
        )
        self._in_full = frozenset(trial_id for _, trial_id in ranked)
        self._sums = {
            "counts": counts(state, run_state),
            "shares": shares_of_time(state.launches.values(), len(state.devices), until_s, state.attendance.absences()),
            "best": best_of(reader.path, state),
            "rungs": _rungs(state),
            "nodes": nodes_of(state),
        }
        self._sums_of, self._summed_at = of, time.monotonic()
        self._took_s = self._summed_at - begun


def _describe(reader: RunReader) -> dict[str, Any]:
    goal = reader.state.goal
    return {
        "name": reader.path.name,
        "path": str(reader.path),
        "version": __version__,
        "scheduler": str(goal.metadata.get("scheduler_name", "")),
        "backend": str(goal.metadata.get("backend", "")),
        "metric": goal.metric,
        "minimize": goal.do_minimize,
        "level": goal.time_attr,
        "names": reader.state.names,
        "problems": [*reader.problems.values(), *filter(None, [reader.missing])],
        "missing": reader.missing,
    }


def encode(data: dict[str, Any]) -> str:
    """The values as JSON that may stand in a page: no part of it can end the element that it stands in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, default=str)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


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
