"""One replay: a scheduler searches the run's own curves, and the result is reported as far as it is known."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from syne_tune.constants import ST_TUNER_TIME

from syne_hypersched import checks, schedulers
from syne_hypersched.backends.virtual import LaunchCost
from syne_hypersched.blackboxes import LearningCurve
from syne_hypersched.replay._curves import RunCurves
from syne_hypersched.replay._extend import Supposition, extended
from syne_hypersched.replay._scenarios import KNOWN, ReplayScenario, make_scheduler
from syne_hypersched.simulation import simulate

_ELAPSED = "elapsed_s"


@dataclass(frozen=True)
class Outcome:
    """The result of a scenario, as far as it is known.

    .. code-block:: python

        known = run_curves(load_run("my-experiment"))
        for outcome in replay_scenarios(known, brief_scenarios(known)):
            print(outcome.scenario.label, outcome.winner, outcome.value)

    Attributes
    ----------
    scenario
        The scenario.
    winner
        The trial with the best known value; None if no trial would have reported a value.
    value
        That value; NaN without a winner.
    hopeful_winner
        The winner if every trial gained, beyond its known part, as much as the trial that gained most.
    num_trials
        Number of trials that would have been started.
    beyond
        Trials that would have been trained further than in the run.
    out_of_trials_s
        When the scheduler would have asked for a trial that the run did not try; None: never.
    own_level
        The level to which the run's own best trial would have been trained; 0: not at all.
    own_fate
        The last decision about this trial: CONTINUE, PAUSE or STOP; empty: it was not started.
    """

    scenario: ReplayScenario
    winner: int | None
    value: float
    hopeful_winner: int | None
    num_trials: int
    beyond: tuple[int, ...]
    out_of_trials_s: float | None
    own_level: float
    own_fate: str

    def is_sure(self, trial_id: int) -> bool:
        """Whether this trial would have won under both assumptions about the unknown parts."""
        return self.winner == trial_id == self.hopeful_winner


class TrialsInOrder:
    """A searcher that proposes the trials of a run in their order, and then stops."""

    draws_at_random = False

    def __init__(self, trial_ids: list[int], now_s: Any) -> None:
        self._waiting = list(reversed(trial_ids))
        self._now_s = now_s
        self.exhausted_s: float | None = None
        """When it was asked for more trials than there are."""

    def suggest(self, **_: Any) -> dict[str, Any] | None:
        """The next trial."""
        if self._waiting:
            return {"trial": self._waiting.pop()}
        if self.exhausted_s is None:
            self.exhausted_s = self._now_s()
        return None

    def on_trial_result(self, trial_id: int, config: dict[str, Any], metric: float) -> None:
        """Learns nothing."""

    def on_trial_complete(self, trial_id: int, config: dict[str, Any], metric: float) -> None:
        """Learns nothing."""

    def on_trial_error(self, trial_id: int) -> None:
        """Learns nothing."""


class CurvesBlackbox:
    """The curves of a run under one assumption, in the form that the simulator needs."""

    elapsed_time_attr = _ELAPSED

    def __init__(self, known: RunCurves, supposition: Supposition) -> None:
        self._curves = {
            trial_id: LearningCurve(
                tuple(
                    {known.time_attr: _plain(level), known.metric: value}
                    for level, value in zip(levels, values, strict=True)
                ),
                tuple(seconds),
            )
            for trial_id, (levels, values, seconds) in extended(known.curves, known.do_minimize, supposition).items()
        }

    def learning_curve(
        self, config: Mapping[str, Any], max_resource: float | None = None, seed: int = 0
    ) -> LearningCurve:
        """The curve of a trial of the run."""
        return self._curves[int(config["trial"])]


def replay_scenarios(known: RunCurves, scenarios: Iterable[ReplayScenario]) -> list[Outcome]:
    """Searches again, once for each scenario.

    Parameters
    ----------
    known
        The run.
    scenarios
        Schedulers, devices and deadlines.

    Raises
    ------
    TypeError, ValueError
        An argument has a wrong type, or the scheduler rejects an argument of the scenario.
    """
    checks.instance("known", known, RunCurves, KNOWN)
    scenarios = checks.instances("scenarios", scenarios, ReplayScenario, "a list of scenarios")
    suppositions: tuple[Supposition, Supposition] = ("flat", "hopeful")
    flat, hopeful = (CurvesBlackbox(known, supposition) for supposition in suppositions)
    return [_replay(known, scenario, flat, hopeful) for scenario in scenarios]


def _replay(known: RunCurves, scenario: ReplayScenario, flat: CurvesBlackbox, hopeful: CurvesBlackbox) -> Outcome:
    reports, searcher, num_trials = _search(known, scenario, flat)
    last_level = {curve.trial_id: curve.last_level for curve in known.curves}
    beyond = {report.trial_id for report in reports if report.level > last_level[report.trial_id]}
    winner, value = _best([seen for seen in reports if seen.level <= last_level[seen.trial_id]], known.do_minimize)
    # If no trial goes beyond its known part, no assumption is needed.
    hopeful_reports = _search(known, scenario, hopeful)[0] if beyond else reports
    hopeful_winner, _ = _best(hopeful_reports, known.do_minimize)
    own = [report for report in reports if report.trial_id == known.best_trial]
    return Outcome(
        scenario=scenario,
        winner=winner,
        value=value,
        hopeful_winner=hopeful_winner,
        num_trials=num_trials,
        beyond=tuple(sorted(beyond)),
        out_of_trials_s=searcher.exhausted_s,
        own_level=max((report.level for report in own), default=0.0),
        own_fate=own[-1].decision if own else "",
    )


@dataclass(frozen=True)
class _Seen:
    trial_id: int
    level: float
    value: float
    decision: str


def _search(
    known: RunCurves, scenario: ReplayScenario, curves: CurvesBlackbox
) -> tuple[list[_Seen], TrialsInOrder, int]:
    reports: list[_Seen] = []
    clock = [0.0]

    def on_result(trial: Any, result: dict[str, Any], decision: str) -> None:
        clock[0] = float(result[ST_TUNER_TIME])
        level, value = float(result[known.time_attr]), float(result[known.metric])
        reports.append(_Seen(int(trial.config["trial"]), level, value, decision))

    searcher = TrialsInOrder([curve.trial_id for curve in known.curves], lambda: clock[0])
    with _silent():
        run = simulate(
            make_scheduler(known, scenario, searcher),
            curves,
            num_devices=scenario.num_devices,
            deadline_s=scenario.deadline_s,
            scaling=dict(known.speed_up),
            launch_cost=LaunchCost(start_s=known.start_s, resume_s=known.resume_s),
            on_result=on_result,
        )
    return reports, searcher, run.num_trials


@contextmanager
def _silent() -> Iterator[None]:
    """Suppresses the warnings of schedulers, which are meant for a real tuning."""
    advisers = logging.getLogger(schedulers.__name__)
    level = advisers.level
    advisers.setLevel(logging.ERROR)
    try:
        yield
    finally:
        advisers.setLevel(level)


def _best(reports: list[_Seen], do_minimize: bool) -> tuple[int | None, float]:
    finite = [report for report in reports if math.isfinite(report.value)]
    best = min(finite, key=lambda report: report.value if do_minimize else -report.value, default=None)
    return (None, math.nan) if best is None else (best.trial_id, best.value)


def _plain(level: float) -> float:
    return int(level) if float(level).is_integer() else level
