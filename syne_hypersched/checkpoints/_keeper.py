"""Takes generations of a trial's checkpoint folder while its launch runs, in the process that watches the launch."""

from __future__ import annotations

import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from syne_hypersched.checkpoints._bursts import Bursts
from syne_hypersched.checkpoints._changes import ChangeWatch
from syne_hypersched.checkpoints._drain import begin_drain
from syne_hypersched.checkpoints._exits import have_left, have_others_left, judge, may_be_cut
from syne_hypersched.checkpoints._files import Tree, have_holes, num_bytes, read_tree
from syne_hypersched.checkpoints._layouts import known_layout
from syne_hypersched.checkpoints._matching import Matcher
from syne_hypersched.checkpoints._observer import Observer
from syne_hypersched.checkpoints._shelf import Shelf
from syne_hypersched.checkpoints._spec import Beginning, CheckpointSpec, Ending
from syne_hypersched.checkpoints._states import Order
from syne_hypersched.checkpoints._store import GenerationStore
from syne_hypersched.checkpoints._taker import Taker
from syne_hypersched.checkpoints._tried import FIRST_QUIET_S, TriedCheckpoint

#: If nothing changes for so many seconds, the checkpoint is taken to be finished, for now.
QUIET_S = 0.03
#: A drain waits for a save that may soon begin or continue, at most so many seconds.
_PATIENCE_S = 0.5
#: The supervisor waits for the thread, which may be copying, at most so many seconds. The thread waits equally long
#: before it looks again while files are open for writing.
_LOCK_S = _LOOK_S = 0.02
#: Within so many seconds, a file written aside is moved into place and an incomplete checkpoint completed, or never.
_ASIDE_S = 1.0
#: If the folder changes while a generation is taken, it is taken again, up to so many times in a row.
_MOST_TRIES = 3


class GenerationKeeper:
    """Keeps the generations of one launch.

    A separate thread watches and copies. :class:`Observer` records changes and reports. :class:`Taker` takes the
    generations, :class:`Matcher` matches them to reports, and :class:`Shelf` manages them on the disk.

    Parameters
    ----------
    spec
        How the launch handles checkpoints.
    tell
        Sends a message to the tuner; called in the thread.
    """

    def __init__(self, spec: CheckpointSpec, tell: Callable[[dict[str, Any]], None]) -> None:
        self._spec = spec
        self._tell = tell
        self._store = GenerationStore(Path(spec.folder))
        self._watch: ChangeWatch | None = None
        self._thread: threading.Thread | None = None
        self._wake: tuple[int, int] = (-1, -1)
        #: Guards the attributes below, which the supervisor's thread uses, too. It is held while files are copied.
        self._lock = threading.RLock()
        self._shelf: Shelf
        self._matcher: Matcher
        self._observer: Observer
        #: When the supervisor, before it ends the launch, first asked whether a process is saving.
        self._asked_s: float | None = None
        #: Content of the folder at SIGTERM, if all processes were alive then and none was writing.
        self._at_sigterm: Tree | None = None
        #: When SIGTERM had killed the last process without a handler (seconds of the wall clock).
        self._struck_at = math.inf
        #: Arguments of :meth:`follow` that the matcher has not received yet.
        self._followed: deque[tuple[str | None, str | None, bool]] = deque()
        self._ends, self._error, self._num_processes = False, "", 0
        self._present: list[str] = []  # files of whole checkpoints that existed before the launch
        #: What a checkpoint of the launch before consists of, and how many processes have written it.
        self._layout, self._num_before = list[str](), 0
        self._taker: Taker
        self._tried: TriedCheckpoint

    def prepare(self) -> Beginning:
        """Makes the launch begin from a whole checkpoint, and starts to watch. Raises no errors."""
        try:
            return self._prepare()
        except Exception as error:  # the launch takes place in any case
            self._error = f"the checkpoint folder cannot be looked at: {error}"
            watch, self._watch = self._watch, None
            if watch is not None:
                watch.close()
            return Beginning(error=self._error)

    def _prepare(self) -> Beginning:
        spec, notes = self._spec, self._store.notes()
        notes.num_reports, notes.log_end = spec.num_reports, spec.log_end
        self._layout, self._num_before = notes.layout, notes.num_processes
        self._shelf = Shelf(spec, self._store, notes)
        live = read_tree(spec.folder)
        beginning, is_known = self._shelf.begin(live)
        goes_on = is_known and not beginning.restored
        self._matcher = Matcher(spec.launch, notes, Order(spec.order), time.monotonic(), goes_on)
        self._matcher.follow(spec.time_attr, spec.metric, spec.do_minimize)
        try:
            os.makedirs(os.path.dirname(spec.folder), mode=0o700, exist_ok=True)
            self._watch = ChangeWatch(spec.folder, spec.log)
        except OSError as error:
            self._error = f"the checkpoint folder cannot be watched, and best/ may get no checkpoint: {error}"
            return replace(beginning, error=beginning.error or self._error)
        self._observer = Observer(spec, self._watch, self._matcher, self._shelf.remove_unsound)
        present = None if beginning.generation is None else self._shelf.find(beginning.generation)
        found = read_tree(spec.folder)
        if present is not None:
            self._observer.habits.know(dict(present.kept))
            self._observer.mark_taken(found)
        else:
            # A folder that is known to be whole becomes a generation as soon as possible.
            self._observer.is_dirty = bool(live) and self._shelf.is_whole(live)
        is_in_doubt = present is None and bool(found) and not self._observer.is_dirty
        self._present = [] if is_in_doubt else [path for path, state in found.items() if state.kind != "folder"]
        self._taker = Taker(
            spec, self._shelf, self._observer, self._matcher, is_ending=lambda: self._asked_s is not None
        )
        self._tried = TriedCheckpoint(self._taker, self._shelf, self._observer, self._matcher, is_in_doubt)
        return beginning

    @property
    def private_fds(self) -> tuple[int, ...]:
        """File descriptors that the processes of the launch must not inherit."""
        return () if self._watch is None else (self._watch.fd,)

    def start(self, pids: Sequence[int]) -> None:
        """Starts the thread: the processes of the launch exist."""
        if self._watch is not None:
            self._observer.pids = tuple(pids)
            self._num_processes = len(pids)
            layout = known_layout(self._layout, len(pids), self._num_before)
            self._observer.bursts = Bursts(layout, self._present)
            self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._thread = threading.Thread(target=self._run, args=(self._watch,), name="checkpoints", daemon=True)
            self._thread.start()

    def forget(self, pid: int) -> None:
        """Notes that a process has ended by itself, so that the files that it closed are whole."""
        if self._watch is not None:
            self._observer.pids = tuple(other for other in self._observer.pids if other != pid)

    def follow(self, time_attr: str | None, metric: str | None, do_minimize: bool) -> None:
        """Sets which entries of a report are the resource level and the metric."""
        if self._watch is not None:
            self._followed.append((time_attr, metric, do_minimize))

    def _look(self) -> None:
        while self._followed:
            self._matcher.follow(*self._followed.popleft())
        self._observer.look()
        self._taker.discard_lacking()

    def is_saving(self) -> bool:
        """Whether a process is writing to the folder, has just written, or will probably write after its report."""
        if self._watch is None:
            return False
        if not self._lock.acquire(timeout=_LOCK_S):
            return bool(self._observer.open_files()) or self._is_patient()
        try:
            self._look()
            return self._is_saving()
        except Exception as error:  # the launch ends in any case
            self._error = f"{type(error).__name__}: {error}"
            return False
        finally:
            self._lock.release()

    def _is_patient(self) -> bool:
        if self._asked_s is None:
            self._asked_s = time.monotonic()
        return time.monotonic() - self._asked_s <= _PATIENCE_S

    def _is_saving(self) -> bool:
        observer = self._observer
        if not observer.prove():
            if observer.awaited():
                return True
            self._look()  # the last file was closed a moment ago, by a process that was alive
            observer.prove()
        if not self._is_patient() or self._asked_s is None:
            return False  # the writing does not end
        now, state = time.monotonic(), self._matcher.current
        is_quiet = now - observer.changed_s >= QUIET_S and not observer.bursts.is_partial
        if state is None or state.settled or observer.is_complete or is_quiet:
            return self._matcher.awaits_save(now, self._asked_s)
        return True

    def drain(self, may_wait: bool = False) -> bool:
        """Prepares for SIGTERM. Returns False if the processes must not get it, since one has just begun to save.

        Parameters
        ----------
        may_wait
            Whether there is time to let that process finish.
        """
        if self._watch is None:
            return True
        try:
            may_drain, self._at_sigterm = begin_drain(self._spec.folder, self._observer, may_wait)
            if not may_drain:
                return False
        except Exception as error:  # the launch ends in any case
            self._error = f"{type(error).__name__}: {error}"
        self._matcher.drain()
        return True

    def strike(self) -> None:
        """Notes that SIGTERM has killed a process at once."""
        self._struck_at = time.time()

    def kill(self) -> None:
        """Notes that the processes get SIGKILL now."""
        if self._watch is not None:
            self.is_saving()  # looks
            self._observer.doubts.kill()

    def _run(self, watch: ChangeWatch) -> None:
        try:
            with self._lock:
                if self._tried.is_in_doubt:
                    self._tried.copy(read_tree(self._spec.folder))
                    self._act()  # on the events read meanwhile: no further event would wake this thread
            while not self._ends:
                select.select([watch.fd, self._wake[0]], [], [], self._timeout_s())
                with self._lock:
                    if not self._ends:
                        self._act()
        except Exception as error:  # the launch goes on in any case
            self._error = f"{type(error).__name__}: {error}"

    def _timeout_s(self) -> float | None:
        with self._lock:
            now, decides_s = time.monotonic(), self._matcher.decides_s
            waits_s = math.inf if decides_s is None else max(0.0, decides_s - now)
            if self._observer.is_dirty or self._is_open():
                marks_s = [self._observer.changed_s + quiet_s - now for quiet_s in (QUIET_S, FIRST_QUIET_S)]
                look_s = marks_s[0] if marks_s[0] > 0 else min(marks_s[1] if marks_s[1] > 0 else _LOOK_S, _LOOK_S)
                waits_s = min(waits_s, max(look_s, self._taker.retry_at - now))
            return None if waits_s == math.inf else waits_s

    def _act(self) -> None:
        """Looks, and takes a generation if one is due."""
        for _ in range(_MOST_TRIES):
            if self._has_acted():
                break

    def _has_acted(self) -> bool:
        """Looks, and takes a generation if one is due. Returns False if the folder changed meanwhile."""
        seen_s = time.monotonic()
        self._look()
        now, observer, state = time.monotonic(), self._observer, self._matcher.current
        self._matcher.tick(seen_s)
        self._tell_news()
        self._tried.look()
        is_quiet = now - observer.changed_s >= QUIET_S
        if is_quiet and observer.bursts.is_only_one:
            observer.bursts.rest(observer.is_proven)  # these are more than temporary files, whatever follows
            is_quiet = now - observer.changed_s >= FIRST_QUIET_S
        if not observer.is_dirty:
            if is_quiet and self._is_open():
                self._settle()
            return True
        # The files may be rewritten or removed at any moment. Copies take at most half of the time.
        began_s, ended_s = self._taker.tried_s
        at_once = now - ended_s >= ended_s - began_s
        # A file with the name of files that are always moved away will be moved, too.
        is_aside = observer.bursts.is_partial or observer.habits.any_aside(observer.changed)
        is_aside = is_aside and now - observer.changed_s < _ASIDE_S
        # A script may report while it writes a checkpoint of several files.
        is_done = (observer.has_reported or at_once) and observer.is_complete
        # The first checkpoint is known to be complete only after a report during which no thread saves.
        is_reported = state is not None and self._matcher.num_reports > state.before
        is_done |= observer.is_first and is_reported and now - observer.changed_s >= _LOOK_S
        if not (is_done or (is_quiet and not is_aside)) or now < self._taker.retry_at or not observer.prove():
            return True
        has_acted = self._taker.take()
        if is_quiet:
            self._settle()  # even if no generation was taken, because the script has just begun the next save
        self._tell_news()
        return has_acted

    def _is_open(self) -> bool:
        """Whether the last checkpoint may still grow."""
        state = self._matcher.current
        return self._observer.is_open or (state is not None and not state.settled)

    def _settle(self) -> None:
        self._observer.is_open = False
        self._observer.bursts.rest()
        self._matcher.settle()
        self._tell_news()

    def _tell_news(self) -> None:
        news = self._matcher.news()
        if news:
            self._write_notes(None)
        for matched in news:
            self._tell({"event": "matched", "matched": asdict(matched)})

    def _write_notes(self, left: Tree | None, is_whole: bool = False, is_torn: bool = False) -> None:
        notes = self._matcher.notes()
        notes.is_whole, notes.is_torn = is_whole, is_torn
        can_join = bool(self._spec.able_path) and os.path.exists(self._spec.able_path)
        notes.layout, notes.num_processes = [] if can_join else self._observer.bursts.layout, self._num_processes
        notes.left, notes.log_end, notes.num_generations = left, self._observer.log.seen_size, self._shelf.number
        try:
            self._store.write_notes(notes)
        except OSError as error:
            self._error = f"the matches of reports and checkpoints cannot be recorded: {error}"

    def finish(self, exit_codes: Sequence[int | None], handled: Collection[int] = ()) -> Ending:
        """Returns the state of the folder after all processes of the launch are gone.

        Parameters
        ----------
        exit_codes
            Exit codes of the processes, negative for signals.
        handled
            Indices of the processes that had a handler when SIGTERM was sent to them. If such a process dies of
            SIGTERM, or ends with the exit code that shells use for it, its handler has run before.
        """
        self._ends = True
        if self._thread is not None:
            os.write(self._wake[1], b".")
            self._thread.join()
        if self._watch is None:
            return Ending(is_whole=False, error=self._error)
        try:
            others_left = have_others_left(exit_codes, handled)
            return self._finish(self._watch, exit_codes, *have_left(exit_codes, handled), others_left)
        except Exception as error:  # the tuner must receive the end in any case
            return Ending(is_whole=False, has_changed=True, error=f"the checkpoint folder cannot be looked at: {error}")

    def close(self) -> None:
        """Ends the watch. The kernel needs over ten milliseconds for it, so the ending is sent before."""
        if self._watch is not None:
            self._watch.close()

    def _finish(
        self,
        watch: ChangeWatch,
        exit_codes: Sequence[int | None],
        has_left: bool,
        has_handled: bool,
        others_left: bool,
    ) -> Ending:
        observer = self._observer
        observer.pids = ()
        self._error = self._error or self._taker.error or observer.logs.complaint(os.path.realpath(self._spec.folder))
        self._look()
        observer.look_to_the_end()
        self._taker.settle()
        self._tried.end()
        self._error, newest = self._error or self._tried.error, self._shelf.newest
        # On a busy machine, events are read late. If nothing has changed since SIGTERM, living processes wrote it all.
        is_proven = observer.is_proven or (not observer.made and self._at_sigterm == read_tree(self._spec.folder))
        if others_left and not (observer.doubts.paths or observer.made):
            # A killed process cannot have written later files. The other processes have finished those.
            is_proven |= all(watch.written_s(path) > self._struck_at for path in observer.unproven)
        state, is_fresh = self._matcher.current, observer.is_dirty or time.monotonic() - observer.changed_s < _ASIDE_S
        is_first = observer.bursts.is_only_one and observer.is_dirty and (state is None or state.generation is None)
        is_cut = may_be_cut(exit_codes, state, self._matcher.num_reports, is_fresh, is_first)
        is_proven &= not is_cut
        if is_cut and state is not None and state.generation is not None:
            self._taker.discard([state.generation])
        found = self._taker.present()
        has_gone_on = observer.has_finished or self._matcher.num_reports > self._spec.num_reports
        is_whole, is_tried = judge(
            observer, found, newest.live if newest is not None else None, exit_codes, has_left, has_handled, is_proven,
            is_late=time.monotonic() - observer.changed_s >= _ASIDE_S, has_gone_on=has_gone_on,
            is_in_doubt=self._tried.is_in_doubt, has_holes=have_holes(self._spec.folder, observer.doubts.paths),
        )  # fmt: skip
        live = found if is_tried else None
        if is_whole and live is not None:
            # If files must be copied, the next launch takes the generation while its script starts.
            is_cheap = not self._shelf.paths_to_copy(self._taker.describe(live, self._matcher.current))
            if observer.is_dirty and (self._matcher.wants_state or is_cheap):
                self._taker.take()
            self._matcher.end(all(code == 0 for code in exit_codes), time.monotonic())
        elif not (self._tried.is_in_doubt or is_cut):
            self._taker.take_last_complete(is_tried)
        live = (put_back := self._tried.put_back(is_torn=not is_tried)) or live
        self._tell_news()
        if live or not is_tried or self._store.folder.exists():
            # A checkpoint that was finished earlier may still exist beside the torn one.
            has_content = bool(put_back) or (observer.has_finished and num_bytes(found) > 0)
            self._write_notes(live, is_whole, is_torn=not is_tried and not has_content)
        return Ending(
            is_whole, observer.num_changes > 0, self._shelf.num_taken, self._shelf.bytes_copied,
            self._matcher.order.value, self._error or self._taker.error or self._tried.error,
        )  # fmt: skip
