"""Decides which state of the checkpoint folder belongs to which report, from the order in which they were seen.

A script saves and reports in one of two orders. *Early*: it trains an epoch, saves, reports; the state at a report
belongs to the report. *Late*: it trains, reports, saves; the next state belongs to the report. The script does not say
which order it uses, so it is inferred. An uncertain match is marked: a state written after report i and before report
i + 1 holds the weights of report i or of report i + 1 in either order.

Pure: numbers in, numbers out. Reports of a trial are counted from 1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from syne_hypersched.checkpoints._generation import Matched, Notes
from syne_hypersched.checkpoints._levels import LastLevels, order_of
from syne_hypersched.checkpoints._rhythm import Rhythm
from syne_hypersched.checkpoints._states import ADDITION_S, Best, Order, State, number_of

#: A script that saves after its report begins the save within so many seconds.
LATE_SAVE_S = 0.02
#: The same if the script is known to save then.
KNOWN_LATE_SAVE_S = 0.5


class Matcher:
    """Matches the reports of one launch.

    Parameters
    ----------
    launch
        Index of the launch.
    notes
        Records of earlier launches.
    order
        The order in which the script saves and reports, as far as it is known.
    began_s
        When the launch began (monotonic seconds).
    goes_on
        Whether the launch begins from the checkpoint folder as the previous launch left it.
    """

    def __init__(self, launch: int, notes: Notes, order: Order, began_s: float, goes_on: bool) -> None:
        self.order = order
        self.num_reports = notes.num_reports
        self.current: State | None = None
        #: Entries of a report that are the resource level and the metric; None as long as they are not known.
        self.time_attr: str | None = None
        self.metric: str | None = None
        self._launch, self._sign, self._began_s, self._last_report_s = launch, 1.0, began_s, began_s
        self._evidence = notes.evidence if goes_on else None
        state = notes.evidence or {}
        self._levels = LastLevels(state)
        self._was_saved_first = bool(state.get("saved_first", False))
        self._best = None if notes.best is None else Best(**notes.best)
        self._is_matched = self._best is None or any(known.report == self._best.report for known in notes.matched)
        self.matched = list(notes.matched)
        self._news: list[Matched] = []  # what :meth:`news` returns next
        self._early: State | None = None  # the state that belongs to the best report if the script saves early
        #: When writing began: after the last report; and, earliest and latest, after the last save (monotonic).
        self._touched_s: float | None = None
        self._begun_s: tuple[float, float] | None = None
        #: The state that was being replaced at the last report; whether anything was written since a file was finished.
        self._replaced: State | None = None
        self._is_writing = False
        #: Seconds from the save to the report; whether this launch has so far seemed to save early, or late.
        self._gap_s, self._seems_early, self._seems_late, self._drained = 0.0, False, False, False
        # Number of reports before this launch, and number of its first report of a new level.
        self._num_before, self._first = self.num_reports, self.num_reports + 1
        self._saved_first, self._saved_last, self._all_saved, self._awaits_addition = False, False, True, True
        self._rhythm = Rhythm(state.get("rhythm"))
        #: Whether the first level of this launch is too high for a launch that begins from scratch.
        self.has_loaded = self._is_sure = False

    def follow(self, time_attr: str | None, metric: str | None, do_minimize: bool) -> None:
        """Sets which entries of a report are the resource level and the metric."""
        self.time_attr, self.metric, self._sign = time_attr, metric, 1.0 if do_minimize else -1.0

    @property
    def needed(self) -> frozenset[int]:
        """Generations that may be published."""
        early = None if self._is_matched or self._early is None else self._early.generation
        return frozenset([known.generation for known in self.matched[-1:]] + ([] if early is None else [early]))

    @property
    def wants_state(self) -> bool:
        """Whether the present state should be taken: it is, or may be, that of the best report."""
        if self._is_matched or self.current is None or self._best is None:
            return False
        is_early = self.order in (Order.EARLY, Order.UNKNOWN)  # the order may become known at the end
        return self.current is self._early or self.current.after >= self._best.report - is_early

    @property
    def has_gone_on(self) -> bool:
        """Whether the launch has reported a higher level than all earlier ones, whose checkpoint it has loaded."""
        return self._levels.has_gone_on

    def report(
        self, values: Mapping[str, Any], end: int, time_s: float, gap_s: float = 0.0, since_s: float | None = None,
        is_certain: bool = False,
    ) -> None:  # fmt: skip
        """Notes a report of the script.

        Parameters
        ----------
        values
            The entries of the report.
        end
            Where the report ends in the log (bytes).
        time_s
            When the report was noticed (monotonic seconds).
        gap_s
            At most so many seconds passed between the end of the save and ``time_s``; 0: use only what is known.
        since_s
            The earliest time when it was printed (monotonic seconds); None: when it was noticed.
        is_certain
            Whether no file was finished between the printing and the moment when it was noticed.
        """
        since_s = time_s if since_s is None else since_s
        self.tick(since_s)
        self.settle()
        self.num_reports += 1
        number, state = self.num_reports, self.current
        self._replaced = state if self._is_writing else None
        self._rhythm.report(since_s, time_s, is_cut=is_certain and self._is_writing)
        after_s = 0.0 if state is None else max(gap_s, time_s - state.ended_s)
        self._saved_last = is_saved = (
            state is not None and state.after <= number - 1 <= state.before and state.ended_s >= self._last_report_s
        )
        level = number_of(values.get(self.time_attr)) if self.time_attr is not None else None
        if number == self._first and not is_saved and level is not None and level <= self._levels.before:
            self._first += 1  # it reports the level that it has loaded, or trains it again
        elif number == self._first:
            self._saved_first = is_saved and (number == self._num_before + 1 or self._has_reported_anew(state, after_s))
        elif not is_saved:
            self._all_saved, self._rhythm.is_uneven = False, True
        if state is not None:
            self._rhythm.compare(state, after_s, is_saved, self._saved_first and self._all_saved)
        if level is not None:
            self.has_loaded |= number == self._num_before + 1 and self._levels.is_beyond_first(level)
            self._levels.add(number, level)
            if number == self._first and self._evidence is not None and level > self._levels.before:
                self._learn(order_of(self._evidence, level))
            self._evidence = None
        # Schedulers ignore a report without a level. Without a metric, the last report is the best one.
        counts = self.time_attr is None or (level is not None and level > self._levels.before)
        value = number_of(values.get(self.metric)) if self.metric is not None else -float(number)
        if value is not None and counts and (self._best is None or self._sign * value < self._best.value):
            self._best = Best(number, end, dict(values), self._sign * value, self._launch)
            self._is_matched = False
            self._gap_s = after_s
            self._early = state if state is not None and self._may_be_early(state, number) else None
            self._awaits_addition = not self._is_sure
            self._match_early()
        self._last_report_s, self._touched_s = time_s, None
        self._match_late()

    def _has_reported_anew(self, state: State | None, after_s: float) -> bool:
        """Whether the level before this report was only reported again, and not trained and then saved."""
        return self._was_saved_first and state is not None and state.is_clear(after_s)

    def _may_be_early(self, state: State, number: int) -> bool:
        """Whether a state may belong to the report that comes just after it."""
        if state is self._replaced or not state.after == state.before == number - 1:
            return False
        if self.order is Order.EARLY:
            return self._is_sure or state.is_early
        # A script that has reported in this launch before its first save does not save before it reports.
        has_seemed_late = self._seems_late and not state.is_clear(self._gap_s)  # one epoch may have taken long
        is_in_step = self._rhythm.is_at_reports or not self._rhythm.is_out_of_step
        may_save_first = self._saved_first and not has_seemed_late and is_in_step
        return self.order is Order.UNKNOWN and may_save_first and state.is_near

    @property
    def decides_s(self) -> float | None:
        """When :meth:`tick` will decide, unless there is a change before (monotonic seconds)."""
        early, is_known = self._early, self.order is Order.EARLY
        if self._is_matched or early is None or early.generation is None:
            return None
        long_s = 0.0 if is_known or self._seems_early else early.long_s(self._gap_s)
        return self._last_report_s + max(long_s, ADDITION_S) if is_known or early.is_clear(self._gap_s) else None

    def tick(self, time_s: float) -> None:
        """Notes the time. If a save came shortly before a report and none follows for long, the script saves early."""
        self._rhythm.rest(self.current, self.num_reports, time_s)
        if self.decides_s is not None and time_s >= self.decides_s:
            self._seems_early, self._awaits_addition = True, False
            self._match_early()

    def touch(self, time_s: float, noticed_s: float | None = None) -> None:
        """Notes that the script writes to the checkpoint folder.

        Parameters
        ----------
        time_s
            The earliest time when the writing began (monotonic seconds).
        noticed_s
            When it was noticed; None: at once.
        """
        self._is_writing = True
        noticed_s = time_s if noticed_s is None else noticed_s
        self._touched_s, self._begun_s = self._touched_s or noticed_s, self._begun_s or (time_s, noticed_s)
        if self._early is None or self._early is not self.current or self._is_matched:
            return
        waited_s = time_s - self._last_report_s
        self._seems_early = waited_s > self._early.long_s(self._gap_s) and self._early.is_clear(self._gap_s)
        self._seems_late = self._seems_late if self._seems_early else self.order is not Order.EARLY
        self._awaits_addition &= waited_s <= ADDITION_S
        self._match_early()
        if not self._seems_early or self._awaits_addition:
            self._early = None

    def change(
        self, after: int, before: int, time_s: float, is_save: bool = True, goes_on: bool = False,
        since_s: float | None = None,
    ) -> None:  # fmt: skip
        """Notes a change of the checkpoint folder: a file is finished and in its place, or was removed.

        Parameters
        ----------
        after, before
            At least ``after`` reports were printed when the change began, at most ``before`` when it was finished.
        time_s
            When the change was noticed (monotonic seconds).
        is_save
            Whether anything was written, and not only removed.
        since_s
            The earliest time when it happened (monotonic seconds); None: when it was noticed.
        goes_on
            Whether the change belongs to the same checkpoint as the previous one, although a report came between.
        """
        state = self.current
        if goes_on and self._early is state:
            self._early = None  # this state was not finished at the report
        elif is_save:
            self.touch(time_s if since_s is None else since_s, time_s)
        if state is not None and (not is_save or goes_on or (state.after == state.before == after == before)):
            if is_save and not goes_on and self.num_reports > self._num_before:
                self._rhythm.repeat(state, *(self._begun_s or (time_s, time_s)), self._drained)
            # The same state continues. A generation of it lacks files.
            state.generation, state.settled = None, False
            if is_save:
                state.after, state.before = min(state.after, after), max(state.before, before)
                state.ended_s = time_s
        elif is_save:
            is_first = self.num_reports == self._num_before
            began_s = time_s if self._touched_s is None else self._touched_s
            gap_s = None if is_first else began_s - self._last_report_s
            self.current = State(after, before, time_s, gap_s, self._drained)
            self._rhythm.save(self.current, *(self._begun_s or (time_s, time_s)))
        if is_save:
            self._is_writing, self._begun_s = False, None
        if is_save and self._early is not None and self._early.generation is None:
            self._early = None  # no generation was taken in time, and the state is gone

    def taken(self, number: int) -> None:
        """Notes that the present state, which has not changed meanwhile, is a generation."""
        if self.current is None:
            return
        self.current.generation = number
        self._match_early()
        self._match_late()

    def taken_later(self, state: State, number: int, time_s: float) -> None:
        """Notes that a state, which may be past, is a generation to which nothing will be added."""
        state.generation, state.settled = number, True
        self._rhythm.is_over = True
        self.tick(time_s)
        self._match_early()
        self._match_late(state)

    def forget(self, generations: Collection[int]) -> None:
        """Notes that some generations are removed, because they lack files."""
        self.matched = [known for known in self.matched if known.generation not in generations]
        self._is_matched = self._best is None or any(known.report == self._best.report for known in self.matched)
        self._early = None

    def settle(self) -> None:
        """Notes that the present state is complete."""
        if self.current is not None:
            self.current.settled = True
            self._match_late()

    def drain(self) -> None:
        """Notes that the script has got SIGTERM."""
        self._drained = self._rhythm.is_over = True

    def end(self, succeeded: bool, time_s: float) -> None:
        """Notes the end of the script; ``succeeded``: it ended by itself with exit code 0."""
        self._rhythm.is_over, self._awaits_addition = True, False
        has_ended = succeeded and not self._drained
        self._seems_early |= has_ended and self._early is not None and self._early.is_last(self._gap_s, self._began_s)
        self.tick(time_s)
        self.settle()
        self._match_early()
        if not (has_ended and self.num_reports > self._first and self._all_saved) or self._rhythm.is_out_of_step:
            return
        saved_last = self.current is not None and self.current.after == self.num_reports
        if self._saved_first:
            self._learn(Order.MIXED if saved_last else Order.EARLY)
            self._match_early()
            self._match_late()
        elif saved_last:
            self._learn(Order.LATE)

    def _learn(self, order: Order) -> None:
        if not self._is_sure:
            self.order = self.order.and_(order)

    def overlap(self) -> None:
        """Notes a report in the middle of a save, which another thread makes."""
        if not self._is_sure:
            self.order, self._early = Order.MIXED, None

    def know(self, order: Order) -> None:
        """Sets the order in which the script saves and reports, which is certain."""
        self.order, self._is_sure = order, True

    def awaits_save(self, now_s: float, asked_s: float) -> bool:
        """Whether the script, which has just reported, will probably begin to save now.

        Parameters
        ----------
        now_s
            Now (monotonic seconds).
        asked_s
            When this method was first called. A script that has reported again since then does not save after reports.
        """
        state = self.current
        if self._last_report_s > asked_s or (self.num_reports > self._first and not self._saved_last):
            return False  # it did not save after the report before, either
        if self.num_reports == self._num_before or (state is not None and state.after >= self.num_reports):
            return False
        if self.order is Order.EARLY or (self.order is Order.UNKNOWN and self._saved_first):
            return False
        return now_s - self._last_report_s < (KNOWN_LATE_SAVE_S if self.order is Order.LATE else LATE_SAVE_S)

    def _match_early(self) -> None:
        early = self._early
        if self._is_matched or self._awaits_addition or early is None or early.generation is None:
            return
        if self.order is Order.EARLY or (self._seems_early and early.is_clear(self._gap_s)):
            self._add(early.generation, "exact")

    def _match_late(self, state: State | None = None) -> None:
        state, best = state or self.current, self._best
        if self._is_matched or best is None or state is None or state.generation is None or not state.settled:
            return
        if self._early is not None or self._is_redone(state, best):
            return
        num_levels = self._levels.num_after(best.level(self.time_attr), state.before, state.before == self._num_before)
        # Each launch may have saved once more than it has reported.
        num_lost = 0 if num_levels else self._launch - best.launch
        newer_by = max(state.before + 1 + num_lost - best.report, num_levels)
        if state.after >= best.report:
            is_late = self.order is Order.LATE and self._rhythm.is_late(state)
            is_exact = is_late and state.after == state.before == best.report
            self._add(state.generation, "exact" if is_exact else newer_by)
        elif self._may_be_seen_late(state, best):
            self._add(state.generation, newer_by or "exact")

    def _may_be_seen_late(self, state: State, best: Best) -> bool:
        """Whether a state may belong to the best report, although it was not yet known when that report was read."""
        may_be = self.order is Order.EARLY and state.after == best.report - 1 and state is not self._replaced
        return may_be and (state.before >= best.report or self._is_sure or state.is_early)

    def level(self, report: int) -> float | None:
        """The resource level of a report, if it is one of the last ones and has a level."""
        return self._levels.of(report)

    def _is_redone(self, state: State, best: Best) -> bool:
        """Whether a state comes from repeated work that began with an older checkpoint than that of the best report."""
        if (wanted := best.level(self.time_attr)) is None or state.after < best.report:
            return False
        # A save before the first report of a launch is at most at that level, which shows where the launch began.
        is_before = state.after == self._num_before and best.launch != self._launch
        there = self.level(state.after + is_before)
        if there == wanted and is_before:  # perhaps it was saved at the start, and this level was trained later
            return self.order is not Order.EARLY
        return there is None or there < wanted

    def _add(self, generation: int, match: Any) -> None:
        if (best := self._best) is not None:
            matched = Matched(best.report, best.end, best.values, best.launch, generation, match)
            self.matched, self._news = [*self.matched[-1:], matched], [*self._news, matched]
            self._is_matched = True

    def news(self) -> list[Matched]:
        """The matches since the last call of this method."""
        news, self._news = self._news, []
        return news

    def notes(self) -> Notes:
        """The notes for the next launch."""
        levels = self._levels.evidence(self._was_saved_first or self._saved_first, self.current)
        evidence = {**levels, "rhythm": self._rhythm.evidence()}
        best = None if self._best is None else asdict(self._best)
        return Notes(num_reports=self.num_reports, best=best, matched=list(self.matched), evidence=evidence)
