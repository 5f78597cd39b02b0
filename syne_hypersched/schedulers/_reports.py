"""Reads a value and a resource level from a report, or nothing if the report is unusable.

A report that cannot be used is left out. It concerns one trial, and is often a last line with a test score. It must end
neither the tuning nor its resume. The user is warned once of each kind.
"""

from __future__ import annotations

import difflib
import functools
import logging
import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

logger = logging.getLogger(__name__)

_MANY = 20
"""Number of reports without a usable one, or without a finite value, after which something is probably wrong."""

_SEVERAL = 3
"""Number of trials, or of reports of one trial, after which something is no accident of one of them."""

_PLAIN = (int, float)

_LARGE = 1e15
"""A resource level of a larger amount may be no finite number, and is hardly a count of epochs."""

_SHOWN = 60
"""Characters of a value, and entries of a report, that a message shows at most."""


class Usable(NamedTuple):
    """What is in a report that can be used."""

    value: float
    """The metric, to be minimised; ``+inf``, the worst, stands for NaN and infinities."""
    resource: float
    """The resource level, finite."""


_usable: Callable[[tuple[float, float]], Usable] = functools.partial(tuple.__new__, Usable)
"""Makes one of a tuple, in half the time that its constructor takes."""


class Unusable(NamedTuple):
    """Why a report cannot be used."""

    argument: str
    """``"metric"`` or ``"time_attr"``: which argument of the scheduler names the entry."""
    kind: str
    """What it lacks: ``"missing"``, ``"no number"`` or ``"not finite"``."""


def read_report(result: Mapping[str, Any], metric: str, time_attr: str, do_minimize: bool) -> Usable | Unusable:
    """Reads the metric and the resource level from a report.

    Parameters
    ----------
    result
        The report.
    metric, time_attr
        Names of the two entries.
    do_minimize
        Whether the metric is to be minimised.
    """
    for argument, key in (("metric", metric), ("time_attr", time_attr)):
        if key not in result:
            return Unusable(argument, "missing")
        if not is_number(result[key]):
            return Unusable(argument, "no number")
    value, resource = _plain(result[metric]), _plain(result[time_attr])
    if not math.isfinite(resource):
        return Unusable("time_attr", "not finite")
    if not math.isfinite(value):
        return Usable(math.inf, resource)
    return Usable(value if do_minimize else -value, resource)


def is_number(entry: object) -> bool:
    """Whether an entry of a report is a number; true and false are not."""
    if type(entry) is float or type(entry) is int:  # almost always, and much faster than the abstract class
        return True
    return isinstance(entry, Real) and not isinstance(entry, (bool, np.bool_))


class ReportReader:
    """Reads the reports of all trials, and warns about reports that are left out or implausible.

    Parameters
    ----------
    metric, time_attr, do_minimize, max_t, grace_period
        As in :class:`~syne_hypersched.schedulers.base.MultiFidelityScheduler`. Without ``grace_period``, there is no
        warning about levels at which no trial can be compared.

    Attributes
    ----------
    lowest_rung
        The level below which trials are not compared; None if that depends on what they report.
    """

    # Readers that earlier versions have stored lack these.
    _grace_period: float | None = None
    lowest_rung: float | None = None
    #: Trials whose first report was at ``max_t``; None after the first other report.
    _num_at_end: int | None = 0
    #: Trials whose scripts have ended below the lowest rung; None after a trial has reached it.
    _num_below: int | None = 0

    def __init__(
        self, metric: str, time_attr: str, do_minimize: bool, max_t: float, grace_period: float | None = None
    ) -> None:
        self._grace_period = self.lowest_rung = grace_period
        self._metric = metric
        self._time_attr = time_attr
        self._do_minimize = do_minimize
        self._max_t = max_t
        #: The last usable report of each running trial; None for a resumed trial without a report.
        self._last: dict[int, Usable | None] = {}
        #: Kinds of reports with a warning, and the number of reports if none was usable.
        self._warned: set[str] = set()
        self._num_in_vain: int | None = 0
        #: Trials and reports without a finite value, as long as there is no other report; then None.
        self._not_finite: tuple[set[int], int] | None = (set(), 0)
        #: Reports of each running trial since its start or resume, as long as all have one resource level; then 0.
        self._num_at_one_level: dict[int, int] = {}

    def read(self, trial_id: int, result: dict[str, Any]) -> Usable | None:
        """Reads a running trial's report, or leaves it out if it is unusable.

        In a report that is left out, entries that are no numbers become NaN. Code that calculates with the
        results, such as Syne Tune's statistics of each metric, then works.

        Returns
        -------
        Usable or None
            None if the report is left out.
        """
        value: Any = result.get(self._metric)
        resource: Any = result.get(self._time_attr)
        report: Usable | Unusable
        if (
            type(value) is float
            and value - value == 0.0  # it is finite
            and (type(resource) is int or type(resource) is float)
            and -_LARGE < resource < _LARGE
        ):
            report = _usable((value if self._do_minimize else -value, resource))  # as below, which takes longer
            self._not_finite = None
            before = self._last.get(trial_id)
            if before is not None and before[1] < resource:
                self._num_in_vain = None
                self._num_at_one_level[trial_id] = 0
                self._last[trial_id] = report
                return report
        else:
            report = read_report(result, self._metric, self._time_attr, self._do_minimize)
        if isinstance(report, Unusable):
            self._leave_out(trial_id, result, report)
            return None
        self._num_in_vain = None
        if self._not_finite is not None:
            self._count_value(trial_id, report.value)
        before = self._last.get(trial_id)
        if before is None:
            self._num_at_one_level[trial_id] = 1
        elif report.resource == before.resource:
            if self._num_at_one_level[trial_id]:
                self._num_at_one_level[trial_id] += 1
        else:
            self._num_at_one_level[trial_id] = 0
            if report.resource < before.resource:
                self._warn(
                    "falls",
                    f"trial {trial_id} has reported {self._time_attr}={report.resource:g} (time_attr) after "
                    f"{before.resource:g}. A resource level counts how far a trial is trained, and must not fall: "
                    "trials are compared at wrong levels, or not at all. Have the script report under "
                    f"{self._time_attr!r} the epochs (or steps) trained so far, and save the count in its checkpoint, "
                    "or name another entry as time_attr",
                )
        if trial_id not in self._last:
            self._look_at_first(report.resource)
        if trial_id not in self._last and report.resource > self._max_t:
            self._warn(
                "beyond",
                f"trial {trial_id} has reported {self._time_attr}={report.resource:g} (time_attr) first of all, which "
                f"is beyond max_t={self._max_t:g}: it is stopped at its first report, and so is every other trial that "
                f"does the same. If the script reports steps or samples rather than epochs under {self._time_attr!r}, "
                "give max_t (and grace_period) in that unit, or name another entry as time_attr",
            )
        elif report.resource >= _LARGE and report.resource > self._max_t:
            self._warn(
                "huge",
                f"trial {trial_id} has reported {self._time_attr}={report.resource:g} (time_attr), which is far beyond "
                f"max_t={self._max_t:g} and hardly a count: it is taken as it is, so that the trial is trained to its "
                f"end and is stopped. Look at what the script reports under {self._time_attr!r}",
            )
        self._last[trial_id] = report
        return report

    def last(self, trial_id: int, result: Mapping[str, Any]) -> Usable | None:
        """What can be used of the last report of a trial, or else of the last one before it; None without any."""
        report = read_report(result, self._metric, self._time_attr, self._do_minimize)
        return self._last.get(trial_id) if isinstance(report, Unusable) else report

    def resume(self, trial_id: int) -> None:
        """Records that a trial is resumed: its next report is not its first."""
        self._last[trial_id] = None

    def complete(self, trial_id: int) -> None:
        """Records that the script of a trial has come to its end."""
        last, number = self._last.get(trial_id), self._num_at_one_level.get(trial_id, 0)
        if last is not None:
            self._look_at_last(trial_id, last.resource)
        if last is not None and number >= _SEVERAL and last.resource < self._max_t:
            self._warn(
                "constant",
                f"trial {trial_id} has ended after {number} reports, all of them with {self._time_attr}="
                f"{last.resource:g} (time_attr), which is below max_t={self._max_t:g}. Trials can be compared at this "
                "level only, and a relaunched trial seems to repeat its work. Have the script report under "
                f"{self._time_attr!r} the epochs (or steps) trained so far, or name another entry as time_attr",
            )
        self.end(trial_id)

    def end(self, trial_id: int) -> None:
        """Records that a trial no longer runs."""
        last = self._last.pop(trial_id, None)
        if last is not None and self.lowest_rung is not None and last.resource >= self.lowest_rung:
            self._num_below = None
        self._num_at_one_level.pop(trial_id, None)

    def _look_at_first(self, resource: float) -> None:
        """Warns if trials report for the first time when they are done."""
        if self._num_at_end is None or self._grace_period is None or self._grace_period >= self._max_t:
            return
        self._num_at_end = self._num_at_end + 1 if resource == self._max_t else None
        if self._num_at_end == _SEVERAL:
            self._warn(
                "at the end",
                f"the first report of each of {_SEVERAL} trials has {self._time_attr}={resource:g} (time_attr), which "
                "is max_t: a trial is stopped there, and none can be ended earlier for being worse than others. Have "
                f"the script report as it trains, with {self._time_attr!r} counting up to max_t={self._max_t:g}",
            )

    def _look_at_last(self, trial_id: int, resource: float) -> None:
        """Warns if scripts end before their trials can be compared."""
        if self._num_below is None or self.lowest_rung is None or resource >= self.lowest_rung:
            return
        self._num_below += 1
        if self._num_below == _SEVERAL:
            self._warn(
                "below",
                f"the scripts of {_SEVERAL} trials have ended below {self._time_attr}={self.lowest_rung:g} "
                f"(grace_period), trial {trial_id} at {resource:g}: no trial has reached the level at which they are "
                "compared for the first time, so every trial is trained to its end. Give grace_period and max_t in the "
                f"unit of {self._time_attr!r}, or have the script report epochs (or steps) under it",
            )

    def _count_value(self, trial_id: int, value: float) -> None:
        """Counts a report as long as no value was finite."""
        if self._not_finite is None or value < math.inf:
            self._not_finite = None
            return
        trials, number = self._not_finite
        trials.add(trial_id)
        self._not_finite = (trials, number + 1)
        if number + 1 >= _MANY and len(trials) >= _SEVERAL:
            self._warn(
                "not finite",
                f"none of the first {number + 1} reports, of {len(trials)} trials, has a finite {self._metric!r}: all "
                "are NaN or infinite, which counts as the worst value, so no trial is better than another and there is "
                "no best one. Look for the reason why the script's metric is NaN for every configuration (data, "
                "labels, a learning rate that is too high in the whole space)",
            )

    def _leave_out(self, trial_id: int, result: dict[str, Any], why: Unusable) -> None:
        key = self._metric if why.argument == "metric" else self._time_attr
        entries = ", ".join([name for name in result if not name.startswith("st_")][:_SHOWN]) or "nothing else"
        if why.kind == "missing":
            near = difflib.get_close_matches(key, result, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            lacks = f"without {key!r}{hint}; it has {entries}"
        else:
            lacks = f"{key}={_shown(result[key])}, which is {_fault(result[key], why.kind)}"
        self._warn(
            f"{why.argument} {why.kind}",
            f"trial {trial_id} has reported {lacks}. {key!r} is the scheduler's {why.argument}: the report is left "
            "out, and so are others like it. If it is none that is to be compared, such as a last one with a test "
            f"score, nothing is lost; else have the script report {key!r} as a number every time, or name another "
            f"{why.argument}",
        )
        if self._num_in_vain is not None:
            self._num_in_vain += 1
            if self._num_in_vain == _MANY:
                self._warn(
                    "in vain",
                    f"none of the first {_MANY} reports could be used, so no trial can be compared and there is no "
                    f"best one: the scheduler's metric is {self._metric!r} and its time_attr {self._time_attr!r}, and "
                    f"trial {trial_id} has reported {entries}. Stop the tuning and correct the names",
                )
        for name in (self._metric, self._time_attr):
            if name in result and not is_number(result[name]):
                result[name] = math.nan

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            logger.warning("%s", message)


def _fault(entry: Any, kind: str) -> str:
    if kind == "no number":
        return "no number"
    if isinstance(entry, Integral):
        return "too large for a float"
    # Where a script has printed the report, a number that is too large is read as an infinite one.
    return "no finite number" + (", or one too large for a float" if math.isinf(entry) else "")


def _shown(entry: Any) -> str:
    try:
        return f"{entry!r:.{_SHOWN}}"
    except ValueError:  # Python does not print an integer of thousands of digits
        return "an integer of thousands of digits"


def _plain(number: Any) -> float:
    """The number as Python's own type, an ``int`` where it is one; infinite where it is too large for a float."""
    if isinstance(number, float):
        return number
    try:
        as_float = float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
    return int(number) if isinstance(number, Integral) else as_float
