"""The resource levels of a trial's reports, and what the first one of a launch shows about the previous launch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from syne_hypersched.checkpoints._states import NO_LEVEL, Order, State, step_of

_NUM_LEVELS = 4  # only the last ones are kept


class LastLevels:
    """Keeps the levels of the last reports.

    Parameters
    ----------
    evidence
        Evidence that the previous launch left, see :meth:`evidence`.

    Attributes
    ----------
    before
        The highest level of all earlier launches.
    """

    def __init__(self, evidence: Mapping[str, Any]) -> None:
        #: Levels of the last reports, by the number of the report.
        self._last: dict[int, float] = {int(number): level for number, level in evidence.get("levels", {}).items()}
        #: Numbers of those reports that are of earlier launches.
        self._earlier = frozenset(self._last)
        self.before = self._highest = float(evidence.get("highest", NO_LEVEL))
        #: The smallest difference so far between two successive reports of one launch.
        self._least_step: float | None = evidence.get("least_step")

    def add(self, number: int, level: float) -> None:
        """Adds the level of the ``number``-th report."""
        step = level - self._last.get(number - 1, math.inf)
        # The previous launch may have trained further than it has reported.
        if step > 0 and number - 1 not in self._earlier:
            self._least_step = step if self._least_step is None else min(step, self._least_step)
        self._last[number] = level
        self._last.pop(number - _NUM_LEVELS, None)
        self._highest = max(self._highest, level)

    def of(self, number: int) -> float | None:
        """The level of the ``number``-th report, if it is one of the last reports and has a level."""
        return self._last.get(number)

    def num_after(self, level: float | None, number: int, is_first: bool) -> int:
        """The largest number of steps by which a checkpoint saved after the ``number``-th report may exceed a level.

        It exceeds the number of reports in between if a launch was killed after a save, before the matching report.

        Parameters
        ----------
        level
            The level.
        number
            At most this many reports had been printed.
        is_first
            Whether a launch saved the checkpoint before its own first report. Then the checkpoint is not above the
            level of that report, but it may be above the step after the report before, which is of another launch.

        Returns
        -------
        int
            0 if the number is not known.
        """
        num = num_steps(level, self._last.get(number), self._least_step)
        return max(num, num_steps(level, self._last.get(number + 1), self._least_step) - 1) if is_first else num

    def is_beyond_first(self, level: float) -> bool:
        """Whether a level is too high for a launch that begins from scratch."""
        return level > min(self._last.values(), default=math.inf)

    @property
    def has_gone_on(self) -> bool:
        """Whether the launch has reported a higher level than all earlier launches."""
        return self._highest > self.before > NO_LEVEL

    def evidence(self, saved_first: bool, state: State | None) -> dict[str, Any]:
        """The evidence for the next launch, as JSON values.

        Parameters
        ----------
        saved_first
            Whether a launch has saved before its first report.
        state
            The last state of the checkpoint folder.
        """
        step = step_of(self._last)
        found: dict[str, Any] = {
            "levels": {str(number): level for number, level in self._last.items()},
            "highest": self._highest,
            "saved_first": saved_first,
            "step": step,
            "least_step": self._least_step,
            "level": None,
            "drained": False,
        }
        if state is not None and state.after == state.before:
            first = 0.0 if step is None else self._last.get(1, math.nan) - step
            level = self._last.get(state.after, first if state.after == 0 else math.nan)
            found |= {"level": level if math.isfinite(level) else None, "drained": state.drained}
        return found


def num_steps(level: float | None, reported: float | None, step: float | None) -> int:
    """The largest number of steps by which a checkpoint saved after a report may exceed a level.

    Parameters
    ----------
    level, reported
        The level, and the level of the report.
    step
        The smallest difference between two successive reports of one launch.

    Returns
    -------
    int
        Includes the step that may not be reported yet; 0 if one of the values is not known.
    """
    if level is None or reported is None or step is None:
        return 0
    return math.ceil((reported - level) / step - 1e-6) + 1


def order_of(evidence: Mapping[str, Any], level: float) -> Order:
    """The order that follows from the first level of a launch that continues from the previous checkpoint.

    Parameters
    ----------
    evidence
        Evidence of the previous launch, see :meth:`LastLevels.evidence`.
    level
        The first level, which is above all earlier ones.
    """
    if evidence["step"] is None or evidence["level"] is None or evidence["drained"]:
        return Order.UNKNOWN  # a script may do anything after SIGTERM
    loaded = level - evidence["step"]
    if math.isclose(loaded, evidence["level"], abs_tol=1e-9):
        # A script that also saves before it trains looks like one that saves early.
        return Order.MIXED if evidence.get("saved_first") else Order.LATE
    return Order.EARLY if math.isclose(loaded, evidence["level"] + evidence["step"], abs_tol=1e-9) else Order.UNKNOWN
