"""Takes generations of a trial's checkpoint folder while its launch runs, in the process that watches the launch."""

from __future__ import annotations

import math
import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from syne_hypersched._log_tail import LogTail
from syne_hypersched.checkpoints._bursts import Bursts
from syne_hypersched.checkpoints._changes import Change, ChangeWatch
from syne_hypersched.checkpoints._files import Tree, read_tree
from syne_hypersched.checkpoints._kept import Habits
from syne_hypersched.checkpoints._matching import Matcher, Order
from syne_hypersched.checkpoints._spec import Beginning, CheckpointSpec, Ending
from syne_hypersched.checkpoints._store import Generation, GenerationStore
from syne_hypersched.checkpoints._writers import is_alive, open_for_writing
from syne_hypersched.contract import EXIT_DRAINED

#: After so many seconds without a change a script is taken to be done with a checkpoint, for now.
QUIET_S = 0.03
#: A launch that is to end waits for so many seconds at most for a save that may begin or go on soon.
_PATIENCE_S = 0.5
#: While files are open for writing, it is looked again after so many seconds.
_LOOK_S = 0.02
#: A file written aside is moved to its place within so many seconds, or never.
_ASIDE_S = 1.0
#: What could not be taken is tried again after so many seconds.
_RETRY_S = 1.0
#: What has been open for writing at so many reports, and was not written to for so long, is no checkpoint but a log.
_LOG_REPORTS = 3
_LOG_IDLE_S = 0.25


class GenerationKeeper:
    """See the module.

    A thread of its own watches and copies. Everything that decides is in :class:`Matcher`, everything on the disk in
    :class:`GenerationStore`.

    Parameters
    ----------
    spec
        What the launch is to do.
    tell
        Sends a message to the tuner; called in the thread.
    """

    def __init__(self, spec: CheckpointSpec, tell: Callable[[dict[str, Any]], None]) -> None:
        self._spec = spec
        self._tell = tell
        self._folder = os.path.realpath(spec.folder)
        self._store = GenerationStore(Path(spec.folder))
        self._tail = LogTail(Path(spec.log), spec.log_end)
        self._habits = Habits()
        self._watch: ChangeWatch | None = None
        self._pids: tuple[int, ...] = ()
        self._thread: threading.Thread | None = None
        self._wake: tuple[int, int] = (-1, -1)
        #: Guards what follows, which the thread and the supervisor's own use.
        self._lock = threading.RLock()
        self._matcher: Matcher
        self._kept: list[Generation] = []
        self._number = 0
        #: What was there when a generation was taken last.
        self._taken_tree: Tree = {}
        #: Whether the folder has changed since; when it did last, and which paths.
        self._is_dirty = False
        self._changed_s = 0.0
        self._changed: set[str] = set()
        self._num_changes = 0
        #: Where a checkpoint ends, and whether the last one may go on.
        self._bursts = Bursts()
        self._is_open = False
        #: Files that were written to since it was last seen that nobody is writing, and others that were opened.
        self._unproven: set[str] = set()
        self._untold: set[str] = set()
        self._has_reported = False
        #: When a generation was begun and taken last, and when it is tried again if it could not be.
        self._tried_s = (0.0, 0.0)
        self._retry_at = 0.0
        #: How many reports saw each file open, and when each was last written to.
        self._open_reports: dict[str, int] = {}
        self._written_s: dict[str, float] = {}
        self._seen_size = spec.log_end
        self._num_taken = self._bytes_copied = 0
        #: When it was first asked whether a process is saving, since the launch is to end.
        self._asked_s: float | None = None
        self._was_writing = False
        self._ends = False
        self._error = ""

    # Before the processes of the launch exist.

    def prepare(self) -> Beginning:
        """Sees to it that the launch begins from a whole checkpoint, and begins to watch. Errors are not raised."""
        spec, store = self._spec, self._store
        notes = store.notes()
        notes.num_reports, notes.log_end = spec.num_reports, spec.log_end
        live = read_tree(spec.folder)
        self._number = max((notes.num_generations, *store.numbers()))
        self._kept = [found for found in store.generations() if store.is_sound(found)]
        for number in set(store.numbers()) - {found.number for found in self._kept}:
            store.remove(number)
        beginning, is_known = self._begin(live, left=notes.left)
        goes_on = is_known and not beginning.restored
        self._matcher = Matcher(spec.launch, notes, Order(spec.order), time.monotonic(), goes_on)
        self._matcher.follow(spec.time_attr, spec.metric, spec.do_minimize)
        self._taken_tree = read_tree(spec.folder)
        if beginning.generation is None:
            # What is known to be whole is taken, as soon as there is time.
            self._is_dirty, self._taken_tree = bool(live) and (is_known or not self._kept), {}
        else:
            self._habits.know(dict(next(g for g in self._kept if g.number == beginning.generation).kept))
            self._habits.take(self._taken_tree)
        try:
            os.makedirs(os.path.dirname(spec.folder), mode=0o700, exist_ok=True)
            self._watch = ChangeWatch(spec.folder, spec.log)
        except OSError as error:
            self._error = f"the checkpoint folder cannot be watched: {error}"
        return beginning

    def _begin(self, live: Tree, left: Tree | None) -> tuple[Beginning, bool]:
        """From which generation the launch begins, and whether the folder is known to be whole."""
        spec, newest = self._spec, self._kept[-1] if self._kept else None
        older = [found for found in self._kept if spec.go_back_from is not None and found.number < spec.go_back_from]
        if older:
            newest, reason = older[-1], f"the launch before could not go on from generation {spec.go_back_from}"
        elif newest is not None and live == newest.live:
            return Beginning(newest.number, go_back_from=newest.number), True
        elif (left is not None and live == left) or newest is None:
            # Perhaps not whole: a script may end while it saves.
            return Beginning(go_back_from=None if newest is None else newest.number + 1), left is not None
        else:
            reason = "the checkpoint folder is not known to be whole"
        try:
            restored = self._store.restore(newest)
        except OSError as error:
            return Beginning(error=f"generation {newest.number} cannot be put back: {error}"), False
        self._kept = [restored if found.number == restored.number else found for found in self._kept]
        for found in [found for found in self._kept if older and found.number > restored.number]:
            self._kept.remove(found)
            self._store.remove(found.number)
        return Beginning(restored.number, restored.number, reason), True

    @property
    def private_fds(self) -> tuple[int, ...]:
        """File descriptors that the processes of the launch must not inherit."""
        return () if self._watch is None else (self._watch.fd,)

    # While they run.

    def start(self, pids: Sequence[int]) -> None:
        """The processes of the launch exist."""
        self._pids = tuple(pids)
        if self._watch is not None:
            self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._thread = threading.Thread(target=self._run, args=(self._watch,), name="checkpoints", daemon=True)
            self._thread.start()

    def follow(self, time_attr: str | None, metric: str | None, do_minimize: bool) -> None:
        """Says which entries of a report are the resource level and the metric."""
        with self._lock:
            self._matcher.follow(time_attr, metric, do_minimize)

    def is_saving(self) -> bool:
        """Whether a process is writing to the folder, has just written, or is about to after its report."""
        if self._watch is None:
            return False
        with self._lock:
            self._look(self._watch)
            if not self._prove() and self._is_writing():
                return True
            now, state = time.monotonic(), self._matcher.current
            if self._asked_s is None:
                self._asked_s = now
            if now - self._asked_s > _PATIENCE_S:
                return False  # it goes on and on
            is_whole = state is None or state.settled or self._bursts.is_complete
            return (not is_whole and now - self._changed_s < QUIET_S) or self._matcher.awaits_save(now, self._asked_s)

    def drain(self) -> None:
        """The processes are asked to leave now."""
        with self._lock:
            self._was_writing = bool(self._is_writing())
            self._matcher.drain()

    def _run(self, watch: ChangeWatch) -> None:
        while not self._ends:
            try:
                select.select([watch.fd, self._wake[0]], [], [], self._timeout_s())
                with self._lock:
                    if not self._ends:
                        self._look(watch)
                        self._act(watch)
            except Exception as error:  # whatever it is, the launch goes on
                self._error = f"{type(error).__name__}: {error}"
                return

    def _timeout_s(self) -> float | None:
        with self._lock:
            state = self._matcher.current
            now, decides_s = time.monotonic(), self._matcher.decides_s
            waits_s = math.inf if decides_s is None else max(0.0, decides_s - now)
            if self._is_dirty or (state is not None and not state.settled):
                waits_s = min(waits_s, max(_LOOK_S, self._changed_s + QUIET_S - now, self._retry_at - now))
            return None if waits_s == math.inf else waits_s

    def _look(self, watch: ChangeWatch) -> None:
        """Takes note of what has happened."""
        seen, size = watch.read(), self._log_size()
        for _ in range(3):
            more = watch.read()
            if not more:
                break
            seen, size = seen + more, self._log_size()
        else:
            seen.append(None)  # there may be more: what comes now is not known to be after the reports
        if not seen:
            return
        # The log may have grown after an event that is looked at only now. So what happened between two additions to
        # the log has happened at some moment between what was known of it before and what is known now.
        first = next((i for i, change in enumerate(seen) if change is None), len(seen))
        last = len(seen) - next((i for i, change in enumerate(reversed(seen)) if change is None), len(seen))
        before = self._matcher.num_reports
        self._note(seen[:first], before, before)
        if first < len(seen):
            self._read_reports(size)
        after = self._matcher.num_reports
        self._note(seen[first:last], before, after)
        self._note(seen[max(first, last) :], after, after)
        if any(change is not None and change.kind == "closed" for change in seen):
            self._prove()  # as soon as possible, since its process may be killed

    def _log_size(self) -> int:
        try:
            return os.stat(self._spec.log).st_size
        except OSError:
            return self._seen_size

    def _read_reports(self, size: int, to_the_end: bool = False) -> None:
        now = time.monotonic()
        while True:
            position = self._tail.position
            for raw in self._tail.reports(to_the_end):
                self._matcher.report(raw.values, raw.end, now)
                self._has_reported = True
                self._count_open()
            if self._tail.position >= size or self._tail.position == position:
                break
        self._seen_size = size

    def _count_open(self) -> None:
        if not self._is_dirty:
            return
        for path in open_for_writing(self._pids, self._folder):
            self._open_reports[path] = self._open_reports.get(path, 0) + 1

    def _note(self, changes: Sequence[Change | None], after: int, before: int) -> None:
        found = [change for change in changes if change is not None]
        if not found:
            return
        now = time.monotonic()
        is_surprised, begins = False, False
        for change in found:
            begins |= self._bursts_begin(change)
            if change.kind in ("created", "written", "closed"):
                self._written_s[os.path.join(self._folder, change.path)] = now
                is_surprised |= self._habits.written(change.path, self._taken_tree)
                (self._unproven if change.kind == "written" else self._untold).add(change.path)
            elif change.kind == "moved":
                self._habits.moved(change.path, read_tree(self._spec.folder))
            elif change.kind == "moved away":
                self._habits.moved_away(change.path)
                self._forget(change.path)  # who moves a file has finished it
            elif change.kind == "lost":
                self._unproven.add(change.path)
            if change.kind in ("removed", "moved away"):
                self._changed.discard(change.path)
            else:
                self._changed.add(change.path)
        if is_surprised:
            self._remove_unsound()
        self._is_dirty = True
        self._num_changes += 1
        self._changed_s = now
        is_save = any(change.kind not in ("removed", "moved away") for change in found)
        self._matcher.change(after, before, now, is_save, goes_on=self._is_open and not begins)
        self._is_open = self._is_open or is_save

    def _bursts_begin(self, change: Change) -> bool:
        """Whether a checkpoint begins with a change."""
        begins = change.kind in ("created", "written", "moved") and self._bursts.write(change.path)
        if change.kind in ("closed", "moved"):
            self._bursts.finish(change.path)
        elif change.kind == "moved away":
            self._bursts.leave(change.path)
        return begins

    def _forget(self, moved: str) -> None:
        for paths in (self._unproven, self._untold):
            paths.difference_update([path for path in paths if path == moved or path.startswith(f"{moved}/")])

    def _remove_unsound(self) -> None:
        for found in list(self._kept):
            if not self._store.is_sound(found):
                self._kept.remove(found)
                self._store.remove(found.number)

    # Taking generations.

    def _is_writing(self) -> frozenset[str]:
        """Files that are being written."""
        if not self._is_dirty:
            return frozenset()
        return open_for_writing(self._pids, self._folder) - self._logs()

    def _logs(self) -> frozenset[str]:
        """Files that are open all the time, and no checkpoints."""
        now = time.monotonic()
        return frozenset(
            path
            for path, num_reports in self._open_reports.items()
            if num_reports >= _LOG_REPORTS and now - self._written_s.get(path, 0.0) >= _LOG_IDLE_S
        )

    def _prove(self) -> bool:
        """Whether all files are closed, by processes that have lived on: the kernel closes those of a dead one, too."""
        if (self._unproven or self._untold) and not self._is_writing() and all(map(is_alive, self._pids)):
            self._unproven.clear()
            self._untold.clear()
        return not self._unproven and not self._untold

    def _act(self, watch: ChangeWatch) -> None:
        now, state = time.monotonic(), self._matcher.current
        if self._matcher.tick(now):
            self._tell_news()
        is_quiet = now - self._changed_s >= QUIET_S
        if not self._is_dirty:
            if is_quiet and state is not None and not state.settled:
                self._matcher.settle()
                self._tell_news()
            return
        began_s, ended_s = self._tried_s
        # A file that is always written in place may be written again at any moment: half of the time at most is taken.
        at_once = all(map(self._habits.is_rewritten, self._changed)) and now - ended_s >= ended_s - began_s
        # What has a name of files that are always moved away will be, too.
        is_aside = any(map(self._habits.is_aside, self._changed)) and now - self._changed_s < _ASIDE_S
        # A checkpoint of several files may be in the making while the script reports.
        is_time = ((self._has_reported or at_once) and self._bursts.is_complete) or (is_quiet and not is_aside)
        if not is_time or now < self._retry_at or not self._prove():
            return
        self._has_reported = False
        self._take(watch)
        if is_quiet and not self._is_dirty:
            self._is_open = False
            self._matcher.settle()
        self._tell_news()

    def _take(self, watch: ChangeWatch) -> None:
        """Takes a generation, unless the folder changes meanwhile or there is no room."""
        began_s, num_changes = time.monotonic(), self._num_changes
        live = read_tree(self._spec.folder)
        self._look(watch)
        if self._num_changes != num_changes:
            return  # it may be half of one state and half of the next
        older = self._kept[-1] if self._kept else None
        if not live or (older is not None and older.live == live):
            if older is not None and live:
                self._matcher.taken(older.number)
            self._is_dirty = False
            self._changed.clear()
            return
        generation = self._describe(live)
        if not self._has_room(generation, older):
            self._fail("there is no room on the disk for a generation of the checkpoint")
            return
        try:
            taken = self._store.take(generation, older)
        except OSError as error:
            self._look(watch)
            if self._num_changes == num_changes:  # nobody has changed it
                self._fail(f"a generation of the checkpoint could not be taken: {error}")
            return
        finally:
            self._tried_s = (began_s, time.monotonic())
        if self._was_disturbed(watch, generation, older, num_changes):
            self._store.remove(taken.number)
            return
        self._is_dirty = False
        self._number = taken.number
        self._changed.clear()
        self._taken_tree = live
        self._habits.take(live)
        self._kept.append(taken)
        self._num_taken += 1
        self._bytes_copied += taken.bytes_copied
        self._matcher.taken(taken.number)
        self._prune()

    def _was_disturbed(
        self, watch: ChangeWatch, generation: Generation, older: Generation | None, num_changes: int
    ) -> bool:
        """Whether somebody may have written to what was copied: a file is empty before the kernel says that it was cut.

        What has only got second names cannot be written to, and is what it was when it was listed.
        """
        if not self._paths_to_copy(generation, older):
            return False
        self._look(watch)
        return self._num_changes != num_changes or bool(open_for_writing(self._pids, self._folder) - self._logs())

    def _describe(self, live: Tree) -> Generation:
        """The generation that would be taken now."""
        state, launch = self._matcher.current, self._spec.launch
        # Of what lay there before the launch it is not known when it was written.
        after, before = (-1, self._matcher.num_reports) if state is None else (state.after, state.before)
        return Generation(self._number + 1, launch, after, before, live, self._habits.of(live))

    def _fail(self, error: str) -> None:
        self._error = self._error or error
        self._retry_at = time.monotonic() + _RETRY_S

    def _paths_to_copy(self, generation: Generation, older: Generation | None) -> list[str]:
        return [
            path
            for path, state in generation.live.items()
            if state.kind == "file"
            and not generation.is_final(path)
            and (older is None or older.live.get(path) != state)
        ]

    def _bytes_to_copy(self, generation: Generation, older: Generation | None) -> int:
        return sum(generation.live[path].size for path in self._paths_to_copy(generation, older))

    def _has_room(self, generation: Generation, older: Generation | None) -> bool:
        copied = self._bytes_to_copy(generation, older)
        if not copied:
            return True
        status = os.statvfs(os.path.dirname(self._spec.folder))
        return status.f_bavail * status.f_frsize >= copied + self._spec.min_free_bytes

    def _prune(self) -> None:
        needed = self._matcher.needed
        for found in self._kept[: -self._spec.keep]:
            if found.number not in needed:
                self._kept.remove(found)
                self._store.remove(found.number)

    def _tell_news(self) -> None:
        news = self._matcher.news()
        if not news:
            return
        self._note_all(None)
        for matched in news:
            self._tell({"event": "matched", "matched": asdict(matched)})

    def _note_all(self, left: Tree | None) -> None:
        notes = self._matcher.notes()
        notes.left, notes.log_end, notes.num_generations = left, self._seen_size, self._number
        try:
            self._store.note(notes)
        except OSError as error:
            self._error = f"what belongs to which report cannot be noted: {error}"

    # When they have ended.

    def finish(self, exit_codes: Sequence[int | None], was_drained: bool) -> Ending:
        """Says how the folder was left, after every process of the launch is gone.

        Parameters
        ----------
        exit_codes
            Of the processes, negative for signals.
        was_drained
            Whether they had been sent SIGTERM.
        """
        self._ends = True
        if self._thread is not None:
            os.write(self._wake[1], b".")
            self._thread.join()
        self._pids = ()
        if self._watch is None:
            return Ending(is_whole=False, error=self._error)
        self._look(self._watch)
        self._read_reports(self._log_size(), to_the_end=True)
        has_left = not self._was_writing and all(code in (0, EXIT_DRAINED) for code in exit_codes)
        is_whole = has_left or not (self._unproven or self._untold)
        # A script that ends by an exception may have been writing then, and so may one that is killed when it has just
        # made an empty file. That is tried, and no generation is taken of it.
        may_be_whole = is_whole or not self._unproven or all(code is not None and code >= 0 for code in exit_codes)
        live: Tree | None = read_tree(self._spec.folder) if may_be_whole else None
        if is_whole and live is not None:
            older = self._kept[-1] if self._kept else None
            # The next launch takes what would have to be copied, while its script gets ready.
            if self._is_dirty and (self._matcher.wants_state or not self._bytes_to_copy(self._describe(live), older)):
                self._take(self._watch)
            self._matcher.end(all(code == 0 for code in exit_codes), time.monotonic())
        self._tell_news()
        if live or self._store.folder.exists():
            self._note_all(live)
        self._watch.close()
        order = self._matcher.order.value
        return Ending(is_whole, self._num_changes > 0, self._num_taken, self._bytes_copied, order, self._error)
