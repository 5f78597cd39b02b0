"""Watches the checkpoint folder and the reports of a launch, and tells the matcher their order."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence

from syne_hypersched._report_lines import RawReport
from syne_hypersched.checkpoints._bursts import Bursts
from syne_hypersched.checkpoints._change import Change, read_with_size, split_at_each_report, split_at_reports
from syne_hypersched.checkpoints._changes import ChangeWatch
from syne_hypersched.checkpoints._complete import LastComplete
from syne_hypersched.checkpoints._doubts import Doubts
from syne_hypersched.checkpoints._files import Tree, come, is_in, is_mark, is_of_elastic_run, read_tree
from syne_hypersched.checkpoints._kept import Habits
from syne_hypersched.checkpoints._lacking import Lacking
from syne_hypersched.checkpoints._launch_log import LaunchLog
from syne_hypersched.checkpoints._matching import Matcher
from syne_hypersched.checkpoints._numbers import has_name
from syne_hypersched.checkpoints._open_logs import OpenLogs
from syne_hypersched.checkpoints._spec import CheckpointSpec
from syne_hypersched.checkpoints._states import Move, Order, State
from syne_hypersched.checkpoints._unannounced import Unannounced
from syne_hypersched.checkpoints._writers import is_alive, open_for_writing

_MADE_S = 1.0  # a folder that stays empty for so many seconds is meant to stay empty


class Observer:
    """Observes one launch.

    Parameters
    ----------
    spec
        The paths of the folder and the log.
    watch
        The events of the folder and of the log.
    matcher
        Receives the reports, and the beginnings and ends of files.
    on_surprise
        Called when a file is written to, although the prediction was that it would not be.

    Attributes
    ----------
    is_dirty
        Whether the folder has changed since the last generation was taken.
    changed_s
        Time of the last change (monotonic seconds).
    changed
        Paths that have changed since the last generation was taken.
    rewritten
        Those of them that were written to, and not only moved.
    num_changes, num_log_changes
        Number of changes seen in the folder, and number of those that concern only a log in the folder.
    has_reported
        Whether the script has reported since the last generation was taken.
    has_finished
        Whether any file was finished by a process that was alive afterwards.
    log
        The reports.
    is_open
        Whether files that are finished soon belong to the last checkpoint, although a report came in between.
    taken
        Content of the folder when the last generation was taken.
    lacking
        Generations that lack files.
    made
        Empty folders that something will be put into, and when each was made (monotonic seconds).
    habits
        How the script writes its files.
    bursts
        Finds where a checkpoint ends.
    doubts
        Files that were being written at SIGTERM.
    logs
        Files that stay open.
    """

    def __init__(
        self, spec: CheckpointSpec, watch: ChangeWatch, matcher: Matcher, on_surprise: Callable[[], None]
    ) -> None:
        self._folder = os.path.realpath(spec.folder)
        self._watch = watch
        watch.open_files = lambda: open_for_writing(self.pids, self._folder)
        #: Entries that existed before the launch.
        self._at_start = read_tree(self._folder)
        self._matcher, self._on_surprise = matcher, on_surprise
        self.log = LaunchLog(spec.log, spec.log_end)
        self.pids: tuple[int, ...] = ()
        self.bursts, self.habits, self.doubts = Bursts(), Habits(), Doubts()
        self._complete, self.logs, self._unannounced = LastComplete(), OpenLogs(), Unannounced(self._folder)
        self.taken: Tree = {}
        self.is_dirty = self.has_reported = self.has_finished = self.is_open = False
        self.changed, self.rewritten = set[str](), set[str]()
        self.num_changes, self.num_log_changes, self.changed_s = 0, 0, 0.0
        #: Everything that happened before this time is known (monotonic seconds).
        self._looked_s = time.monotonic()
        #: Files that were written to after they were made.
        self._wrote: set[str] = set()
        #: Number of reports at the beginning of each file: not closed yet; finished aside; finished.
        self._begun: dict[str, int] = {}
        self._aside: dict[str, int] = {}
        self._parts: dict[str, int] = {}
        #: The move in progress, and entries that were moved before all their files were closed.
        self._move: Move | None = None
        self._moved_open: dict[str, Move] = {}
        #: Entries of the present checkpoint that were finished since the last report.
        self._finished: set[str] = set()
        #: When the last file was finished (seconds of the wall clock); it may be noticed later. 0: not known.
        self._finished_at = 0.0
        #: Files written to since no writer was last seen in the folder, and files that were only opened.
        self._unproven, self._untold = set[str](), set[str]()
        self.made: dict[str, float] = {}
        self.lacking = Lacking()

    @property
    def is_complete(self) -> bool:
        """Whether the checkpoint ends as earlier ones did, and is therefore complete."""
        return self.bursts.is_certain and not (self._begun or self._aside or self.made or self.bursts.may_go_on)

    @property
    def is_first(self) -> bool:
        """Whether the checkpoint is the first one and all its files are closed."""
        return self.bursts.is_first and not (self._begun or self._aside or self.made)

    @property
    def is_proven(self) -> bool:
        """Whether every file that was written to was closed by a process that was alive afterwards."""
        return not (self._unproven or self._untold or self.doubts.paths or self.made)

    @property
    def unproven(self) -> frozenset[str]:
        """Files that may not have been closed by a process that was alive afterwards."""
        return frozenset(self._unproven | self._untold | self.doubts.paths)

    @property
    def may_be_whole(self) -> bool:
        """Like :attr:`is_proven`, but ignores files that were only opened or created, or are still to be moved."""
        return all(map(self.habits.is_aside, {*self._unproven, *self.doubts.paths, *self.made}))

    def awaited(self) -> frozenset[str]:
        """Files that are being written and will be closed."""
        return self.logs.awaited(self._writing(), time.monotonic())

    def _writing(self) -> frozenset[str]:
        return self.open_files() if self.is_dirty else frozenset()

    def open_files(self) -> frozenset[str]:
        """Files that are open for writing, except those that always are. Any thread may call this."""
        return self.logs.others(self._open_now(), self._looked_s)

    def _open_now(self) -> frozenset[str]:
        """Files that are open for writing, or are still mapped into memory for writing after they were closed."""
        found = open_for_writing(self.pids, self._folder)
        return found | self._unannounced.mapped(self._begun.keys() & (self._unproven | self._untold))

    def _is_of_log(self, change: Change) -> bool:
        """Whether a change concerns a log; if so, it is counted."""
        path = os.path.join(self._folder, change.path)
        if not change.path or path not in self.logs:
            return False
        self.logs.hear(change.kind, path, time.monotonic())
        if change.kind in ("closed", "removed", "moved away"):
            for known in (self._unproven, self._untold, self._begun):
                known.pop(change.path, None) if isinstance(known, dict) else known.discard(change.path)
        self.num_log_changes += 1
        return True

    def prove(self) -> bool:
        """Checks whether living processes have closed all files. The kernel also closes the files of a dead process."""
        # The order matters: a dying process is seen as such before its files are closed.
        if self.doubts.paths:
            return False
        if not self.is_proven and self.pids:
            writing = {os.path.relpath(path, self._folder) for path in self._writing()}
            if all(map(is_alive, self.pids)):
                self._unproven &= writing
                self._untold &= writing
                self.has_finished = self.has_finished or not writing
                self.made = {path: at_s for path, at_s in self.made.items() if time.monotonic() - at_s < _MADE_S}
        return self.is_proven

    def last_complete(self) -> tuple[Tree, State | None]:
        """The last complete checkpoint and its state, if the folder without the files begun later is whole."""
        return self._complete.tree(read_tree(self._folder), self.unproven), self._complete.state

    def mark_taken(self, live: Tree, number: int | None = None) -> None:
        """Notes that the present folder was taken as a generation; ``number`` is given if it is a new one."""
        self.is_dirty, self.has_reported, self.taken = False, False, live
        self.lacking.take(number, self.bursts.num_over)
        self.changed, self.rewritten = set(), set()
        self.has_finished |= bool(live)
        self.habits.take(live)

    def look(self) -> None:
        """Handles the new events."""
        began_s = time.monotonic()
        seen, size = read_with_size(lambda: self._unannounced.examine(self._watch.read()), self.log.size)
        if not seen:
            self._looked_s = began_s
            return
        first, between, rest = split_at_reports(seen)
        reports = self.log.new_reports(size) if between else []
        after = (before := self._matcher.num_reports) + len(reports)
        if self.log.has_one_each(reports, parts := split_at_each_report(seen), self._watch.changed_at):
            for number, (part, report) in enumerate(zip(parts, reports, strict=False), before):
                self._handle_changes(part, number, number, number)
                self._tell([report], is_certain=True, is_last=report is reports[-1])
        else:
            self._handle_changes(first, before, before, after)
            self._tell(reports, is_certain=len(between) == 1 == len(reports))
            self._handle_changes(between, before, after, after)
        self._handle_changes(rest, after, after, after)
        self.begin(self._unannounced.begun_again(self._begun), time.monotonic())
        if any(change is not None and change.kind == "closed" for change in seen):
            self.prove()  # as soon as possible, since the process may be killed
        self._looked_s = began_s

    def look_to_the_end(self) -> None:
        """Handles the last events, after all processes are gone."""
        self.look()
        self._tell(self.log.new_reports(self.log.size(), to_the_end=True))

    def _tell(self, reports: Sequence[RawReport], is_certain: bool = False, is_last: bool = True) -> None:
        """Tells the matcher the reports. If ``is_certain``, no file was finished meanwhile."""
        now = time.monotonic()
        # Only for the last of several reports: a file may have been opened after the earlier ones.
        open_now = self._open_now() if reports and self.is_dirty and is_last else frozenset[str]()
        self.logs.report(open_now)
        for raw in reports:
            gap_s = max(0.0, (self.log.called_at(raw) or time.time()) - (self._finished_at or math.inf))
            self.begin(self._unannounced.begun_before(self.log.printed_at(raw), self._begun), now)
            since_s = min(now, self.log.printed_s(raw, self._looked_s))
            self._matcher.report(raw.values, raw.end, now, gap_s, since_s, is_certain)
            self.bursts.report(is_certain)
            self.habits.report()
            self._finished.clear()
            self.lacking.report(self.bursts.num_over)
            self.has_reported = True
            self.doubts.report(raw.end)

    def begin(self, paths: Iterable[str], now: float) -> None:
        """Notes that files are being written to, before the kernel reports it."""
        for path in paths:
            self._begun.setdefault(path, self._matcher.num_reports)
            self._matcher.touch(self._looked_s, now)

    def _handle_changes(self, changes: Sequence[Change | None], after: int, before: int, now_before: int) -> None:
        """Handles changes. At least ``after``, at most ``before`` reports came first; ``now_before`` are known now."""
        found = [change for change in changes if change is None or not self._is_of_log(change)]
        if not any(found):
            return
        now, is_surprise = time.monotonic(), False
        for change in found:
            if change is None:
                self.bursts.report()  # perhaps a report, among other lines
                continue
            self.logs.hear(change.kind, os.path.join(self._folder, change.path), now)
            self.doubts.hear(change.kind, change.path)
            known = self.taken.get(change.path) or self._at_start.get(change.path)
            if self._unannounced.is_only_read(change, known, self._wrote):
                self._begun.pop(change.path, None)
                continue
            self.is_dirty, self.num_changes, self.changed_s = True, self.num_changes + 1, now
            if change.kind == "made":
                self.made[change.path] = now
                self._complete.begin(change.path)
                self._matcher.touch(self._looked_s, now)
                continue
            if change.kind in ("created", "linked", "written", "closed"):
                (self._unproven if change.kind == "written" else self._untold).add(change.path)
            if change.kind in ("created", "linked", "written", "closed", "lost"):
                is_surprise |= self.habits.written(change.path, self.taken)
            is_vague = change.kind == "lost" and not self.log.is_by_report(self._watch.changed_at(change.path))
            self._advance(change, after, now_before if is_vague else before, now)
            (self.changed.discard if change.kind in ("removed", "moved away") else self.changed.add)(change.path)
            (self.rewritten.add if change.kind in ("written", "closed") else self.rewritten.discard)(change.path)
        if is_surprise:
            self._on_surprise()

    def _advance(self, change: Change, after: int, before: int, now: float) -> None:
        """Tells the matcher which files were begun, and which are finished and in their final place."""
        path = change.path
        if change.kind == "lost":
            self._unproven.add(path)
            self._finish(path, after, before, now)
        elif change.kind in ("created", "written"):
            self._begun.setdefault(path, after)
            self._complete.begin(path, self.bursts.begins, is_sure=not self.bursts.is_only_one)
            if change.kind == "written":
                self._wrote.add(path)
                self._matcher.touch(self._looked_s, now)
        elif change.kind in ("linked", "closed"):
            began_after = self._begun.pop(path, after)
            self.bursts.overlap(began_after < after)
            if change.kind == "closed":
                self._unannounced.close(path)
            moved = next((other for other in self._moved_open if is_in(path, other)), None)
            if moved is not None:
                self._finish_moved(moved, before, now)
            elif change.is_empty or (change.kind == "closed" and is_mark(self._folder, path, path in self._wrote)):
                self._matcher.change(after, before, now, is_save=False)
            else:
                self._finish(path, began_after, before, now)
            self._wrote.discard(path)
        elif change.kind == "moved away":
            self._move = self._leave(path, after, change.is_folder)
            self._complete.remove(path)
        elif change.kind == "moved":
            self.habits.moved(path, *come(self._folder, path))
            self.has_finished = True
            if is_of_elastic_run(self._folder, path):
                self._matcher.know(Order.EARLY)
            move, self._move = self._move or Move(after), None
            self.bursts.overlap(move.after < after)
            self._moved_open[path] = move
            files = {f"{path}{name}" for name in move.open}
            self._begun |= dict.fromkeys(files, move.after)
            self._unproven |= files
            self._wrote |= files
            self._finish_moved(path, before, now)
        else:
            for known in (self._begun, self._aside, self.made, self._parts):
                known.pop(path, None)
            self.doubts.forget(path)
            self._unannounced.forget(path)
            self.bursts.remove(path)
            self._complete.remove(path)
            self._matcher.change(after, before, now, is_save=False)
            if self.habits.removed(path):  # entries that seemed to be written aside are in their final place
                for other in [other for other in self._aside if not self.habits.is_aside(other)]:
                    self._finish(other, self._aside.pop(other), before, now)

    def _finish_moved(self, path: str, before: int, now: float) -> None:
        """A file or folder is in its final place; it is finished if all its files are closed."""
        if not any(is_in(file, path) for file in self._begun):
            move = self._moved_open.pop(path)
            self._finish(path, move.after, before, now, move)

    def _finish(self, path: str, after: int, before: int, now: float, move: Move | None = None) -> None:
        """Handles a finished file or folder, which is in its final place or will be moved there."""
        is_known = path in self.taken and path not in self._finished  # it was finished at a report
        self._finished.add(path)
        self.habits.finished(path)
        self.made = {made: made_s for made, made_s in self.made.items() if not is_in(path, made)}
        self._finished_at = self._watch.changed_at(path) or self._finished_at
        if self.habits.is_aside(path):
            self._aside[path] = after
            return
        if move is not None and move.is_old:  # an earlier checkpoint under another name
            self._parts[path] = after
            self._complete.begin(path)
            self._matcher.change(after, before, now, is_save=False)
            return
        is_expected = self.bursts.expects(path)
        num_over = self.bursts.num_over
        begins = self.bursts.add(path)
        if begins:
            # Files that were written aside before are moved one by one.
            self._finished = {path} if move is None else self._finished | {path}
        self.lacking.add(begins, num_over, is_known)
        self._parts[path] = after
        goes_on = (move is not None and move.was_part) or (not begins and (self.is_open or is_expected))
        self._matcher.change(after, before, now, goes_on=goes_on, since_s=self._looked_s)
        self.is_open = True
        self._complete.finish(path, begins, self.bursts.is_certain, self._matcher.current)
        if self.bursts.is_cut:
            self._matcher.overlap()

    def _leave(self, path: str, after: int, is_folder: bool) -> Move:
        """Handles a finished file or folder that is moved away."""

        def within(known: Collection[str], below: str = f"{path}/") -> list[str]:
            if not is_folder:
                return [path] if path in known else []
            return [other for other in known if other == path or other.startswith(below)]

        is_aside, was_there = bool(within(self._finished) or within(self._begun)), bool(within(self._at_start))
        # An entry that was made and moved between two looks is known only by its name.
        is_aside = is_aside or not (was_there or has_name(path, (*self._parts, *self.taken)))
        parts = [self._parts.pop(other) for other in within(self._parts)]
        self.habits.moved_away(path, is_aside)
        self._unannounced.forget(path)
        was_part = is_aside and self.bursts.withdraw(path)
        if was_part:
            self.lacking.withdraw()
        if not is_aside:
            self.bursts.set_aside(path)
        self.doubts.forget(path)
        for paths in (self._finished, self.changed, self.rewritten, self._unproven, self._untold):
            paths.difference_update(within(paths))
        self.made = {other: made_s for other, made_s in self.made.items() if not within({other})}
        self._moved_open = {other: move for other, move in self._moved_open.items() if not within({other})}
        is_open = frozenset(other[len(path) :] for other in within(self._begun) if other in self._wrote)
        begun = [numbers.pop(other) for numbers in (self._begun, self._aside) for other in within(numbers)]
        if is_aside or self.habits.is_aside(path):
            return Move(min([after, *begun, *parts]), was_part, open=is_open)
        return Move(min([after, *begun]), is_old=bool(parts) or was_there, open=is_open)
