"""Takes generations of a checkpoint folder on request: of the present state, or of the last complete checkpoint.

Files that the script may write to again are copied under leases (``_leases.py``). So the copy shows one moment, and is
finished even if the script writes again. Without leases, a copy is thrown away if the folder changed meanwhile.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection

from syne_hypersched._signal_handlers import has_handler
from syne_hypersched.checkpoints._files import Tree, read_present, read_tree
from syne_hypersched.checkpoints._generation import Generation
from syne_hypersched.checkpoints._leases import GivenUpError, Leases, Patience, is_being_written
from syne_hypersched.checkpoints._matching import Matcher
from syne_hypersched.checkpoints._observer import Observer
from syne_hypersched.checkpoints._shelf import NoRoomError, Shelf
from syne_hypersched.checkpoints._spec import CheckpointSpec
from syne_hypersched.checkpoints._states import State

#: If a generation could not be taken, the next attempt comes after so many seconds.
_RETRY_S = 1.0
#: Signals that a process with a handler may get often: from timers, profilers, workers that end.
_FREQUENT = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)


class Taker:
    """Takes the generations of one launch.

    Parameters
    ----------
    spec
        How the launch handles checkpoints.
    shelf
        Stores the generations.
    observer
        Shows whether the folder changes.
    matcher
        Receives the states that are generations.
    is_ending
        Returns whether the launch is to end, so that no process may have to wait long.

    Attributes
    ----------
    error
        Why a generation could not be taken; empty if there was no problem.
    tried_s
        When the last attempt began, and when it ended (monotonic seconds).
    retry_at
        When to try again after a failure (monotonic seconds).
    """

    def __init__(
        self, spec: CheckpointSpec, shelf: Shelf, observer: Observer, matcher: Matcher, is_ending: Callable[[], bool]
    ) -> None:
        self._spec, self._shelf, self._observer, self._matcher = spec, shelf, observer, matcher
        self._is_ending = is_ending
        self._patience = Patience(time.monotonic())
        self.error, self.tried_s, self.retry_at = "", (0.0, 0.0), 0.0

    def describe(self, live: Tree, state: State | None) -> Generation:
        """The generation that would be taken now.

        Parameters
        ----------
        live
            The folder.
        state
            What is known about its state; None: it existed before the launch.
        """
        # For files that existed before the launch, the time of writing is not known.
        after, before = (-1, self._spec.num_reports) if state is None else (state.after, state.before)
        kept = self._observer.habits.of(live)
        number, level = self._shelf.number + 1, self._matcher.level(after)
        return Generation(number, self._spec.launch, after, before, live, kept, level, after == self._spec.num_reports)

    def take(self) -> bool:
        """Takes a generation of the present folder; returns False if a process writes to it, or wrote meanwhile."""
        observer, shelf = self._observer, self._shelf
        began_s, num_changes, num_log_changes = time.monotonic(), observer.num_changes, observer.num_log_changes
        self.settle()
        newest, live = shelf.newest, self.present()
        observer.look()
        if observer.num_changes != num_changes:
            return False  # the folder may mix two states
        is_same = newest is not None and newest.live == live
        has_files = any(state.kind == "file" for state in live.values())  # otherwise only links to files outside
        if not has_files or is_same or observer.habits.are_aside(live):
            if newest is not None and is_same:
                self._matcher.taken(newest.number)
            observer.mark_taken(live)
            return True
        generation = self.describe(live, self._matcher.current)
        copied = self._paths_to_copy(generation)
        with self._leases(generation, copied) as leases:

            def is_changing() -> bool:
                # No process writes to files that are only linked.
                return bool(copied) and not leases.were_kept() and self._is_changing(copied, num_changes)

            try:
                if copied and not self._obtain(leases, live, num_changes):
                    return False
                taken = shelf.take(generation, is_changing, leases=leases)
                # Changes since the leases were granted are handled only after this.
                observer.mark_taken(live, taken.number)
                self._matcher.taken(taken.number)
            except NoRoomError as error:
                self._fail(str(error))
                return True
            except GivenUpError:
                return False
            except OSError as error:
                observer.look()
                has_changed = (observer.num_changes, observer.num_log_changes) != (num_changes, num_log_changes)
                # A time that is set, for example with a copy of a file, causes no event.
                if has_changed or is_changing() or read_tree(self._spec.folder) != live:
                    return False
                self._fail(f"a generation of the checkpoint could not be taken: {error}")
                return True
            finally:
                if awaited := leases.awaited():
                    # The next save began before the reports that come from now on. Handle earlier reports first.
                    observer.look()
                    observer.begin(awaited, time.monotonic())
                self.tried_s = (began_s, time.monotonic())
                self._patience.spend(leases.waited_s, self.tried_s[1])
        shelf.prune(self._matcher.needed)
        return True

    def present(self) -> Tree:
        """The folder; a file that was written again differs from what it was in the newest generation."""
        observer, newest = self._observer, self._shelf.newest
        before = (observer.taken, {} if newest is None else newest.live)
        return read_present(self._spec.folder, observer.changed, observer.rewritten, *before)

    def settle(self) -> None:
        """Decides which generations lack files, and removes them."""
        lacking, newest = self._observer.lacking, self._shelf.newest
        if lacking.is_unsure and newest is not None and newest.live == self.present():
            lacking.keep(newest.number)
        lacking.settle(self._observer.bursts.num_over)
        self.discard_lacking()

    def discard_lacking(self) -> None:
        """Removes the generations that lack files."""
        if numbers := self._observer.lacking.numbers:
            self.discard(numbers)

    def discard(self, numbers: list[int]) -> None:
        """Removes generations, which no longer belong to any report, and empties the list of their numbers."""
        self._matcher.forget(numbers)
        self._shelf.discard(numbers)

    def hold(self, live: Tree | None = None) -> None:
        """Copies a folder that may not be whole, unless a process writes to it; see :meth:`Shelf.hold`.

        Parameters
        ----------
        live
            The folder; None: read it now.

        Raises
        ------
        GivenUpError, NoRoomError, OSError
            The folder could not be copied.
        """
        num_changes = self._observer.num_changes
        live = read_tree(self._spec.folder) if live is None else live
        generation = self.describe(live, None)
        copied = self._paths_to_copy(generation)
        with self._leases(generation, copied) as leases:
            if not self._obtain(leases, live, num_changes):
                raise GivenUpError("a process writes to the checkpoint folder")
            try:
                self._shelf.hold(
                    generation, lambda: not leases.end() and self._is_changing(copied, num_changes), leases
                )
            finally:
                self._patience.spend(leases.waited_s, time.monotonic())

    def take_last_complete(self, is_tried: bool) -> None:
        """Takes the last complete checkpoint, although a process was killed while it was writing the next one.

        Parameters
        ----------
        is_tried
            Whether the next launch tries to load the folder as it is.
        """
        live, state = self._observer.last_complete()
        if not live or state is None or state.generation is not None:
            return
        try:
            # Hard links are enough if the next launch gets copies of the files that it may write to.
            is_put_back = not is_tried and live != read_tree(self._spec.folder)
            taken = self._shelf.take(self.describe(live, state), only_links=is_put_back)
        except (NoRoomError, OSError) as error:
            self.error = self.error or f"the last complete checkpoint could not be taken: {error}"
            return
        self._matcher.taken_later(state, taken.number, time.monotonic())
        self._shelf.prune(self._matcher.needed)

    def _paths_to_copy(self, generation: Generation) -> list[str]:
        """The same as :meth:`Shelf.paths_to_copy`, without logs."""
        folder, logs = os.path.realpath(self._spec.folder), self._observer.logs
        return [path for path in self._shelf.paths_to_copy(generation) if os.path.join(folder, path) not in logs]

    def _leases(self, generation: Generation, copied: Collection[str]) -> Leases:
        return Leases(self._spec.folder, {path: generation.live[path].size for path in copied}, self._most_wait_s)

    def _most_wait_s(self) -> float:
        """For how many seconds a process may wait now.

        A signal handler interrupts a process that waits inside ``open``: Python waits again, but ``torch.save`` fails.
        """
        signals = (*_FREQUENT, signal.SIGTERM) if self._is_ending() else _FREQUENT
        if any(has_handler(pid, signals) for pid in self._observer.pids):
            return 0.0
        left_s = self._patience.left_s(time.monotonic())
        return min(left_s, Patience.FIRST_S) if self._is_ending() else left_s

    def _obtain(self, leases: Leases, live: Tree, num_changes: int) -> bool:
        """Requests the leases. Returns whether the folder is unchanged and no process writes to the files."""
        if not leases.obtain():
            return False
        self._observer.look()
        return self._observer.num_changes == num_changes and read_tree(self._spec.folder) == live

    def _is_changing(self, copied: Collection[str], num_changes: int) -> bool:
        """Whether a process writes or has written to the folder. A file is empty before its event arrives."""
        is_written = any(is_being_written(f"{self._spec.folder}/{path}") for path in copied)
        self._observer.look()
        return is_written or self._observer.num_changes != num_changes or bool(self._observer.open_files())

    def _fail(self, error: str) -> None:
        self.error = self.error or error
        self.retry_at = time.monotonic() + _RETRY_S
