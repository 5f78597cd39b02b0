"""Holds a copy of a checkpoint that may not be whole. There are two kinds.

The first kind is a checkpoint that a launch tries to continue from. It is copied while the script starts, because a
script that writes in place may begin to overwrite it with its first report. If the script loads the checkpoint, it was
whole, and the copy becomes a generation. If the script is killed in its first save, before its first report, nobody
knows, and the copy replaces the folder, so that the next launch can try it again. Otherwise, the copy is removed.

The second kind is the first checkpoint of a thread. It is not known to be complete, because the script reports while it
saves. The copy is never published. But if the script is killed during its second save, the copy replaces the folder, so
that the next launch can try it.
"""

from __future__ import annotations

import time

from syne_hypersched.checkpoints._files import Tree
from syne_hypersched.checkpoints._leases import GivenUpError
from syne_hypersched.checkpoints._matching import Matcher
from syne_hypersched.checkpoints._observer import Observer
from syne_hypersched.checkpoints._shelf import NoRoomError, Shelf
from syne_hypersched.checkpoints._taker import Taker

#: The number of files in the first checkpoint is unknown: it may be complete after so many seconds without a change.
FIRST_QUIET_S = 0.08


class TriedCheckpoint:
    """Holds a copy for one launch.

    Parameters
    ----------
    taker
        Makes the copy.
    shelf
        Keeps the copy.
    observer
        Shows whether the folder changes.
    matcher
        Shows whether the script has loaded the checkpoint.
    is_in_doubt
        Whether the launch began with a checkpoint that may not be whole.

    Attributes
    ----------
    is_in_doubt
        Whether the checkpoint may still not be whole.
    error
        Why the copy could not be kept; empty if there was no problem or no copy.
    """

    def __init__(self, taker: Taker, shelf: Shelf, observer: Observer, matcher: Matcher, is_in_doubt: bool) -> None:
        self._taker, self._shelf, self._observer, self._matcher = taker, shelf, observer, matcher
        self.is_in_doubt = self._is_for_try = is_in_doubt
        self.error, self._num_before = "", matcher.num_reports
        #: When the last file of the held first checkpoint was finished (monotonic); also set if holding it failed.
        self._first_s: float | None = None

    def copy(self, live: Tree) -> None:
        """Copies the folder, unless a process writes to it.

        Parameters
        ----------
        live
            The folder.
        """
        if not self._observer.num_changes and live:
            self._hold(live)

    def _hold(self, live: Tree | None = None) -> None:
        try:
            self._taker.hold(live)
        except (GivenUpError, NoRoomError, OSError):
            self._shelf.end_hold(is_whole=False)  # the launch continues without a copy

    def look(self) -> None:
        """Checks whether new changes or reports show that the checkpoint was whole."""
        if not self._is_for_try:
            self._hold_first()
        if not self.is_in_doubt:
            return
        if self._matcher.has_loaded:
            self._end_hold(is_whole=True)
        if self._matcher.has_gone_on and not self._observer.num_changes:
            # The script has loaded the checkpoint, so it is whole. And it still exists.
            self.is_in_doubt, self._observer.is_dirty = False, True

    def end(self) -> None:
        """Decides about the copy when the processes of the launch are gone, if the script has reported."""
        if self._is_for_try and self._matcher.num_reports > self._num_before:
            self._end_hold(is_whole=self._matcher.has_loaded)

    def _hold_first(self) -> None:
        """Holds the first checkpoint when no file has been added to it for a while."""
        observer, state = self._observer, self._matcher.current
        if state is None or not observer.bursts.is_only_one:
            return
        if self._first_s not in (None, state.ended_s) and observer.prove():
            self._first_s = None
            self._end_hold(is_whole=False)  # the checkpoint had more files, and living processes closed them
        is_quiet = time.monotonic() - observer.changed_s >= FIRST_QUIET_S
        is_unsure = observer.bursts.is_partial and self._shelf.newest is None
        is_unsure = is_unsure and not observer.habits.any_aside(observer.changed)
        if self._first_s is None and is_quiet and is_unsure and observer.prove():
            self._first_s = state.ended_s
            self._hold()

    def put_back(self, is_torn: bool) -> Tree:
        """Replaces a torn folder with the held checkpoint. Returns the folder, or nothing if not replaced."""
        try:
            if is_torn:
                return self._shelf.put_back_held()
            self._shelf.end_hold(is_whole=False)
        except OSError as error:
            self.error = f"the checkpoint that was held could not be put back: {error}"
        return {}

    def _end_hold(self, is_whole: bool) -> None:
        try:
            self._shelf.end_hold(is_whole)
        except OSError as error:
            self.error = f"the checkpoint that the launch began with could not be kept: {error}"
