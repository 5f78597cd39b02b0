"""Finds evidence in a launch against the order in which its script is known to save and report.

A thread saves at its own pace. Its save of an epoch is seen sometimes before the report of the epoch and sometimes
after it, even if the save began before the report, because the kernel reports a change a moment later. So the order
that another launch has shown is no proof.

A checkpoint certainly belongs to the report before it only under two conditions. All saves so far came one by one, each
after a report. And this save began soon after its report, compared with the time of an epoch. A checkpoint belongs to
the next report only if each report so far came after its own save, or if the save did not begin soon after the
previous report.

A script may also save at some epochs and report at others. Then a checkpoint and a report that follow each other may be
of two epochs. This shows when the time between them is compared with the shortest such time, which is that of a
checkpoint and a report of one epoch.

Pure: numbers in, answers out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from syne_hypersched.checkpoints._states import State

#: A save began soon after a report if an epoch takes at least so many times its delay.
_SOON_FACTOR = 3.0
#: A save did not begin soon after a report if so many times the delay is at least the time between two reports.
_NOT_SOON_FACTOR = 5.0
#: Where some epochs are saved and others reported, a save and a report are of one epoch if the time between them is at
#: most so many times the shortest one plus so many seconds, or so many times shorter than what came before.
_NEAR_FACTOR, _NEAR_S, _NEAR_PART = 3.0, 0.05, 10.0
#: So many saves in a row that are much nearer to the next report than to what came before are no chance.
_MOST_CHANCES = 2


class Rhythm:
    """Keeps the times of reports and saves of one launch.

    Parameters
    ----------
    known
        What the launches before have shown, see :meth:`evidence`.

    Attributes
    ----------
    is_out_of_step
        Whether the script has saved several times between two reports, or has reported in the middle of a save.
    is_uneven
        Whether a launch of the trial has saved several times between two reports, or not at all.
    is_over
        Whether the script is to end or has ended, so that times are no evidence any more.
    """

    def __init__(self, known: Mapping[str, Any] | None = None) -> None:
        known = known or {}
        shortest_s = known.get("shortest_s")
        self.is_out_of_step = self.is_over = False
        self.is_uneven = bool(known.get("is_uneven"))
        #: The shortest time between a save and a report that followed each other.
        self._shortest_s = math.inf if shortest_s is None else max(0.0, float(shortest_s))
        #: Number of reports in a row of which each came just after the last of several saves, or after its only save.
        self._num_last = 0
        #: Whether a save came before the first report.
        self._is_ahead = False
        #: Earliest and latest time of the last report (monotonic seconds).
        self._report_s: tuple[float, float] | None = None
        #: Shortest and longest possible time between the last two reports (seconds).
        self._epoch_s = (0.0, 0.0)

    def evidence(self) -> dict[str, Any]:
        """What the next launch needs to know, as values of JSON."""
        shortest_s = self._shortest_s if math.isfinite(self._shortest_s) else None
        return {"is_uneven": self.is_uneven, "shortest_s": shortest_s}

    def report(self, since_s: float, time_s: float, is_cut: bool) -> None:
        """Notes a report of the script.

        Parameters
        ----------
        since_s, time_s
            Earliest and latest time of the report (monotonic seconds).
        is_cut
            Whether the report certainly came in the middle of a save.
        """
        self.is_out_of_step |= is_cut
        if self._report_s is not None:
            self._epoch_s = since_s - self._report_s[1], time_s - self._report_s[0]
        self._report_s = since_s, time_s

    def save(self, state: State, since_s: float, time_s: float) -> None:
        """Notes a finished save, and records in its state how soon after a report it began.

        Parameters
        ----------
        state
            The new state of the checkpoint folder.
        since_s, time_s
            Earliest and latest time when the save began (monotonic seconds).
        """
        if self._report_s is None:
            self._is_ahead = True
        else:
            state.soonest_s, state.latest_s = since_s - self._report_s[1], time_s - self._report_s[0]
            state.epoch_s = self._epoch_s[0]
            if state.latest_s >= 0:  # it did not begin before that report
                self._shortest_s = min(self._shortest_s, state.latest_s)

    def repeat(self, state: State, since_s: float, time_s: float, is_drained: bool) -> None:
        """Notes a second save between two reports. A save at SIGTERM tells nothing of later launches.

        Parameters
        ----------
        state
            The state of the checkpoint folder, as it was before this save.
        since_s, time_s
            Earliest and latest time when the save began (monotonic seconds).
        is_drained
            Whether the script had got SIGTERM.
        """
        self.is_out_of_step = True
        self.is_uneven |= not is_drained
        state.gap_s = since_s - state.ended_s
        if self._report_s is not None:
            state.soonest_s, state.latest_s = since_s - self._report_s[1], time_s - self._report_s[0]

    @property
    def is_at_reports(self) -> bool:
        """Whether saves come just before the reports, as far as the launch shows, perhaps besides other saves.

        A script may also save in the middle of each epoch. A single save could be near its report by chance.
        """
        return self._num_last >= _MOST_CHANCES

    def rest(self, state: State | None, num_reports: int, time_s: float) -> None:
        """Notes that no report came before a time (monotonic seconds). ``num_reports``: number of reports so far."""
        if state is not None and state.after == num_reports and not self.is_over:
            state.rest_s = max(state.rest_s, time_s - state.ended_s)

    def is_late(self, state: State) -> bool:
        """Whether a state that was written after a report certainly belongs to this report."""
        if self.is_out_of_step or self._is_ahead:
            return False
        apart_s = max(state.epoch_s, state.rest_s)
        return _SOON_FACTOR * state.latest_s <= apart_s and self._is_near(state.latest_s, apart_s)

    def compare(self, state: State, after_s: float, is_saved: bool, are_all_saved: bool) -> None:
        """Notes in the state at a new report whether it may belong to this report.

        Parameters
        ----------
        state
            The state.
        after_s
            Seconds from its end to the report.
        is_saved
            Whether it was saved since the report before.
        are_all_saved
            Whether each report of this launch came after a save.
        """
        if is_saved:
            self._shortest_s = min(self._shortest_s, after_s)
        is_last = is_saved and after_s <= _NEAR_FACTOR * self._shortest_s + _NEAR_S and state.is_clear(after_s)
        self._num_last = self._num_last + 1 if is_last else 0
        state.is_near = self._is_near(after_s, state.gap_s)
        is_not_soon = state.gap_s is None or _NOT_SOON_FACTOR * state.soonest_s >= self._epoch_s[1]
        state.is_early = state.is_near and (is_not_soon or (are_all_saved and not self.is_out_of_step))

    def _is_near(self, between_s: float, apart_s: float | None) -> bool:
        """Whether a save and a report that follow each other may be of one epoch.

        Parameters
        ----------
        between_s
            Seconds between the two.
        apart_s
            Seconds to what came before them in the launch; None: nothing came before.
        """
        is_near = between_s <= _NEAR_FACTOR * self._shortest_s + _NEAR_S
        return not self.is_uneven or is_near or _NEAR_PART * between_s <= (apart_s or 0.0)
