"""Slow reference implementations of ASHA's rules, as written in the paper, and random histories for comparisons.

Nothing here is shared with the package: levels and quantiles are exact fractions, and a rung is a plain list that is
looked through anew each time. Values are to be minimised, and ``math.inf`` is the worst.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any

from syne_tune.backend.trial_status import Trial


def levels_below(grace_period: float, reduction_factor: float, max_t: float) -> list[Fraction]:
    """Rung levels grace_period * reduction_factor**i strictly below max_t."""
    levels = []
    for i in range(1000):
        level = Fraction(grace_period) * Fraction(reduction_factor) ** i
        if level >= max_t:
            return levels
        levels.append(level)
    raise AssertionError("too many levels")


def exact_quantile(values: list[float], q: Fraction) -> float | Fraction:
    """Linearly interpolated quantile. Infinity is taken as the limit of ever greater values."""
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    share = position - below
    if share == 0 or ordered[below] == ordered[below + 1]:
        return ordered[below]
    if ordered[below + 1] == math.inf:
        return Fraction(10) ** 1000
    return Fraction(ordered[below]) * (1 - share) + Fraction(ordered[below + 1]) * share


class ReferenceStopping:
    """At the highest rung reached where it has no value, a trial goes on if at most 1/eta of the trials are better."""

    def __init__(self, grace_period: float, reduction_factor: float, max_t: float) -> None:
        self.max_t = max_t
        self.share = 1 / Fraction(reduction_factor)
        self.rungs: dict[Fraction, list[tuple[int, float]]] = {
            level: [] for level in levels_below(grace_period, reduction_factor, max_t)
        }
        self.running: set[int] = set()

    def suggest(self) -> None:
        return None

    def start(self, trial_id: int) -> None:
        self.running.add(trial_id)

    def report(self, trial_id: int, resource: float, value: float) -> str:
        if trial_id not in self.running:
            return "STOP"
        stop = resource >= self.max_t
        if not stop:
            open_levels = [
                level
                for level, recorded in self.rungs.items()
                if level <= resource and trial_id not in [recorded_id for recorded_id, _ in recorded]
            ]
            if open_levels:
                recorded = self.rungs[max(open_levels)]
                recorded.append((trial_id, value))
                better = [other for _, other in recorded if other < value]
                stop = Fraction(len(better), len(recorded)) > self.share
        if stop:
            self.running.remove(trial_id)
        return "STOP" if stop else "CONTINUE"

    def fail(self, trial_id: int) -> None:
        self.running.discard(trial_id)

    def complete(self, trial_id: int, resource: float, value: float) -> None:
        self.report(trial_id, resource, value)
        self.fail(trial_id)


class ReferencePromotion:
    """Every trial runs to its next rung and is paused there; the best ones are promoted, highest rung first."""

    def __init__(self, grace_period: float, reduction_factor: float, max_t: float) -> None:
        self.levels = levels_below(grace_period, reduction_factor, max_t)
        self.max_t = Fraction(max_t)
        self.rungs: dict[Fraction, list[tuple[int, float]]] = {level: [] for level in self.levels}
        self.milestone: dict[int, Fraction] = {}
        self.paused: list[tuple[int, Fraction]] = []

    def next_level(self, level: Fraction) -> Fraction:
        return min([higher for higher in self.levels if higher > level], default=self.max_t)

    def suggest(self) -> tuple[int, Fraction] | None:
        for level in reversed(self.levels):
            recorded = self.rungs[level]
            if len(recorded) < 2:
                continue
            cutoff = exact_quantile([value for _, value in recorded], level / self.next_level(level))
            promotable = [
                (value, order, trial_id)
                for order, (trial_id, value) in enumerate(recorded)
                if (trial_id, level) in self.paused and value <= cutoff and value != math.inf
            ]
            if promotable:
                _, _, best = min(promotable)
                self.paused.remove((best, level))
                self.milestone[best] = self.next_level(level)
                return best, self.milestone[best]
        return None

    def start(self, trial_id: int) -> None:
        self.milestone[trial_id] = min(self.levels, default=self.max_t)

    def report(self, trial_id: int, resource: float, value: float) -> str:
        if trial_id not in self.milestone:
            return "PAUSE" if trial_id in [paused_id for paused_id, _ in self.paused] else "STOP"
        passed = [level for level in self.levels if level <= resource]
        for level in passed:
            if trial_id not in [recorded_id for recorded_id, _ in self.rungs[level]]:
                self.rungs[level].append((trial_id, value))
        if resource >= self.max_t:
            del self.milestone[trial_id]
            return "STOP"
        if resource >= self.milestone[trial_id]:
            del self.milestone[trial_id]
            self.paused.append((trial_id, max(passed)))
            return "PAUSE"
        return "CONTINUE"

    def fail(self, trial_id: int) -> None:
        self.milestone.pop(trial_id, None)
        self.paused = [(paused_id, level) for paused_id, level in self.paused if paused_id != trial_id]

    def complete(self, trial_id: int, resource: float, value: float) -> None:
        if trial_id in self.milestone:
            self.report(trial_id, resource, value)
            self.fail(trial_id)


@dataclass(frozen=True)
class Suggest:
    """A worker is free: the scheduler is asked what to run."""


@dataclass(frozen=True)
class Report:
    """A trial reports. Late reports come from trials that are no longer running."""

    trial_id: int
    resource: int
    value: float


@dataclass(frozen=True)
class Fail:
    """A trial fails, or is stopped from outside."""

    trial_id: int


@dataclass(frozen=True)
class Complete:
    """The script of a trial ends by itself after its last report."""

    trial_id: int
    last: Report


Event = Suggest | Report | Fail | Complete


@dataclass
class History:
    """Random events of trials on some workers; each next event depends on the decisions so far."""

    seed: int
    num_workers: int
    num_events: int
    max_skip: int = 0
    """Greatest number of resource levels that a trial skips between two reports."""
    unruly: bool = True
    """Whether trials fail, complete early, and report late, twice, out of order and values that are not finite."""
    _random: random.Random = field(init=False)
    _running: dict[int, int] = field(default_factory=dict)
    _others: dict[int, int] = field(default_factory=dict)
    _last: dict[int, Report] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def events(self) -> Iterator[Event]:
        for _ in range(self.num_events):
            if len(self._running) < self.num_workers:
                yield Suggest()
            else:
                yield self._event_of_a_trial()

    def runs(self, trial_id: int) -> None:
        """A trial was started or resumed."""
        self._running[trial_id] = self._others.pop(trial_id, 0)

    def left(self, trial_id: int) -> None:
        """A trial was paused or stopped."""
        if trial_id in self._running:
            self._others[trial_id] = self._running.pop(trial_id)

    def _event_of_a_trial(self) -> Event:
        chance = self._random.random() if self.unruly else 1.0
        if chance < 0.08 and self._others:
            trial_id = self._random.choice(list(self._others))
            if chance < 0.02:
                return Fail(trial_id)
            return Report(trial_id, self._others[trial_id] + self._random.randint(0, 2), self._value())
        trial_id = self._random.choice(list(self._running))
        if chance < 0.12:
            self.left(trial_id)
            return Fail(trial_id)
        if chance < 0.16 and trial_id in self._last:
            self.left(trial_id)
            return Complete(trial_id, self._last[trial_id])
        if chance < 0.24 and self._running[trial_id] > 0:
            return Report(trial_id, self._random.randint(1, self._running[trial_id]), self._value())
        self._running[trial_id] += 1 + self._random.randint(0, self.max_skip)
        self._last[trial_id] = Report(trial_id, self._running[trial_id], self._value())
        return self._last[trial_id]

    def _value(self) -> float:
        if self.unruly and self._random.random() < 0.05:
            return self._random.choice([math.inf, -math.inf, math.nan])
        # Few different values, so that ties are frequent.
        return self._random.randint(-4, 4) / 4 if self._random.random() < 0.7 else self._random.uniform(-1, 1)


def trial_of(trial_id: int, config: dict[str, Any] | None = None) -> Trial:
    return Trial(trial_id, config or {"x": 0.5, "n": 1, "c": "a", "constant": 7}, datetime(2026, 1, 1))


class Run:
    """Executes a history with a scheduler, as the tuner would, and lists every decision."""

    def __init__(self, scheduler: Any, history: History, sign: int = 1) -> None:
        self.scheduler = scheduler
        self.history = history
        self.sign = sign
        self.trials: dict[int, Trial] = {}
        self.log: list[Any] = []

    def step(self, event: Any) -> Any:
        self.log.append(self._suggest() if isinstance(event, Suggest) else self._told(event))
        return self.log[-1]

    def _suggest(self) -> Any:
        suggestion = self.scheduler.suggest()
        if suggestion.spawn_new_trial_id:
            trial_id = len(self.trials)
            self.trials[trial_id] = trial_of(trial_id, suggestion.config)
            self.scheduler.on_trial_add(trial=self.trials[trial_id])
        else:
            trial_id = suggestion.checkpoint_trial_id
            if suggestion.config is not None:
                self.trials[trial_id].config = suggestion.config
        self.history.runs(trial_id)
        return ("start" if suggestion.spawn_new_trial_id else "resume", trial_id, suggestion.config)

    def _told(self, event: Any) -> Any:
        trial = self.trials[event.trial_id]
        if isinstance(event, Fail):
            return self.scheduler.on_trial_error(trial)
        if isinstance(event, Complete):
            return self.scheduler.on_trial_complete(trial, self._result(event.last))
        decision = self.scheduler.on_trial_result(trial=trial, result=self._result(event))
        if decision != "CONTINUE":
            self.scheduler.on_trial_remove(trial=trial)
            self.history.left(event.trial_id)
        return decision

    def _result(self, event: Report) -> dict[str, Any]:
        return {"loss": self.sign * event.value, "epoch": event.resource}
