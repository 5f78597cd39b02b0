"""The part of the trials' reports that the model uses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from syne_hypersched.schedulers.joint._encoding import Array
from syne_hypersched.schedulers.joint._model import Indices

LEAST_SHARE = 1 / 2048
"""Levels below this share of the maximum are not levels of training; for example, that of a baseline before it."""


MOST_VALUE = 1e100
"""Larger absolute values are replaced by this one, so that their squares are finite."""


class TrialRecord:
    """The best values of a trial so far (larger is better), at doubling levels and at its last report."""

    def __init__(self, units: Array) -> None:
        self.units = units
        self.levels: list[float] = []
        self.values: list[float] = []
        self.best = -math.inf
        self.last = 0.0
        self.ended = False
        self.diverged = False

    def add(self, level: float, value: float) -> None:
        """Adds a report. Levels that are reported again, after a relaunch from a checkpoint, change nothing."""
        self.best = max(self.best, value)
        if not self.levels or level >= 2 * self.levels[-1]:
            self.levels.append(level)
            self.values.append(self.best)
        self.last = max(self.last, level)


@dataclass(frozen=True)
class Data:
    """The standardised reports of some trials."""

    rows: Array
    """A row for each trial: its configuration."""
    best: Array
    """The best value of each trial."""
    merit_of: Callable[[], Array]
    """See :attr:`merits`."""
    trials: Indices
    """The index of the trial, for each report that is used."""
    lags: Array
    """The distance of each report from the maximum resource: 0 there, about 1 at twice the first level."""
    values: Array
    """The value of each report."""

    @cached_property
    def merits(self) -> Array:
        """How good each trial is compared with others at the same level.

        Calculated on request, before the next report, since few suggestions need it.
        """
        return _standard(self.merit_of())


class Records:
    """The records of all trials.

    Parameters
    ----------
    max_t
        Maximum resource of a trial; may be infinite.
    """

    def __init__(self, max_t: float) -> None:
        self._max_t = max_t
        self._first: float | None = None
        self._trials: dict[int, TrialRecord] = {}

    def __len__(self) -> int:
        return len(self._trials)

    def of(self, trial_id: int) -> TrialRecord | None:
        """The record of a trial; None if it has no record."""
        return self._trials.get(trial_id)

    def add(self, trial_id: int, units: Array) -> TrialRecord:
        """Makes a record for a trial that has none."""
        record = self._trials[trial_id] = TrialRecord(units)
        return record

    def report(self, record: TrialRecord, level: float, value: float) -> None:
        """Adds a report of a trial."""
        record.ended = False
        if level <= 0 or (math.isfinite(self._max_t) and level < LEAST_SHARE * self._max_t):
            return
        if self._first is None:
            self._first = level
        record.add(level, min(max(value, -MOST_VALUE), MOST_VALUE))

    def counts(self, record: TrialRecord) -> bool:
        """Whether a trial counts: it has reached twice the first level of all trials, has ended or has diverged."""
        if record.diverged:
            return True
        return self._first is not None and bool(record.levels) and (record.ended or record.last >= 2 * self._first)

    def data(self, most: int) -> Data | None:
        """At most ``most`` of the trials that count: the best and the newest ones; None if all are equally good."""
        early = math.inf if self._first is None else 2 * self._first
        known = [
            record
            for record in self._trials.values()
            if record.diverged or (record.levels and (record.ended or record.last >= early))  # see counts()
        ]
        if self._first is None:
            return None
        best = np.array([record.best for record in known], dtype=float)
        diverged = np.array([record.diverged for record in known], dtype=bool)
        finite = best[~diverged]
        if len(finite) < 2:
            return None
        # The worst values are cut off. Otherwise a trial that fails badly would make all others look equal.
        middle, top = float(np.median(finite)), float(finite.max())
        floor = middle - (top - middle)
        best[diverged] = floor
        np.maximum(best, floor, out=best)
        centre, deviation = float(best.mean()), float(best.std())
        if not deviation > 1e-9 * max(abs(top), abs(floor)):
            return None
        if len(known) > most:
            newest = len(known) - most // 2
            chosen = set(np.argsort(-best, kind="stable")[: most - most // 2].tolist()) | set(range(newest, len(known)))
            order = sorted(chosen)
            known, best = [known[index] for index in order], best[order]
        trials, levels, values = self._points(known, floor)
        return Data(
            np.concatenate([record.units for record in known]).reshape(len(known), -1),
            (best - centre) / deviation,
            partial(self._merits, known, floor),
            trials,
            self._lags(levels),
            (np.maximum(values, floor) - centre) / deviation,
        )

    def _points(self, known: list[TrialRecord], floor: float) -> tuple[Indices, Array, Array]:
        """Trials, levels and values of the used reports: from twice the first level on, and the last ones."""
        numbers: list[int] = []
        levels: list[float] = []
        values: list[float] = []
        for record in known:
            if record.diverged:
                # This trial does not improve.
                numbers.append(1)
                levels.append(self._max_t)
                values.append(floor)
            else:
                numbers.append(len(record.levels) + 1)
                levels += record.levels
                levels.append(record.last)
                values += record.values
                values.append(record.best)
        of_level, early = np.array(levels, dtype=float), 2 * (self._first or 0.0)
        used = of_level >= early
        # The last report is used if it is later than the previous one, or if that one is too early.
        ends = np.cumsum(numbers) - 1
        before = of_level[ends - 1]
        used[ends] = (of_level[ends] > before) | (before < early) | (np.array(numbers) == 1)
        return np.repeat(np.arange(len(known)), numbers)[used], of_level[used], np.array(values, dtype=float)[used]

    def _merits(self, known: list[TrialRecord], floor: float) -> Array:
        """The last value of each trial at a doubling level, minus the usual gain of trials up to that level.

        Trials that were trained longer are better for that reason alone, which no configuration explains.
        """
        first = self._first or 1.0
        curves = [
            {
                round(math.log2(level / first)): max(value, floor)
                for level, value in zip(r.levels, r.values, strict=True)
            }
            for r in known
        ]
        gained, usual = 0.0, {0: 0.0}
        for step in range(1, 1 + max((max(curve, default=0) for curve in curves), default=0)):
            gains = [curve[step] - curve[step - 1] for curve in curves if step in curve and step - 1 in curve]
            gained += float(np.median(gains)) if gains else 0.0
            usual[step] = gained
        merits = [curve[max(curve)] - usual[max(max(curve), 0)] if curve else floor for curve in curves]
        worst = min(merits)
        return np.array([worst if r.diverged else merit for r, merit in zip(known, merits, strict=True)])

    def _lags(self, levels: Array) -> Array:
        first = 2 * (self._first or 0.0)
        return np.asarray(first / np.minimum(levels, self._max_t) - first / self._max_t)


def _standard(values: Array) -> Array:
    deviation = float(values.std())
    return np.asarray((values - values.mean()) / (deviation if deviation > 0 else 1.0))
