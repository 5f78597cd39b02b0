"""A checkpoint that may not be whole, and is held: one that a launch tries to go on from, or the first one of a thread.

The former is copied while the script starts, since a script that writes in place may begin to overwrite it with its
first report. That the script has loaded it shows that it was whole: then the copy becomes a generation. Otherwise, it
is removed.

Of the latter nobody knows whether it is complete, since the script reports while it saves. It is published by nobody.
But if the script is killed while it saves for the second time, it is put back, so that the next launch can try it.
"""

from __future__ import annotations

import time

from syne_hypersched.checkpoints._files import Tree
from syne_hypersched.checkpoints._leases import GivenUpError
from syne_hypersched.checkpoints._matching import Matcher
from syne_hypersched.checkpoints._observer import Observer
from syne_hypersched.checkpoints._shelf import NoRoomError, Shelf
from syne_hypersched.checkpoints._taker import Taker

#: Nobody knows how many files the first checkpoint has: it may be complete after so many seconds without a change.
FIRST_QUIET_S = 0.08


class TriedCheckpoint:
    """See the module.

    Parameters
    ----------
    taker
        Makes the copy.
    shelf
        Holds it.
    observer
        Says whether the folder changes.
    matcher
        Says whether the script has loaded the checkpoint.
    is_in_doubt
        Whether the launch has found a checkpoint that may not be whole.

    Attributes
    ----------
    is_in_doubt
        The same now.
    error
        Why the copy could not be kept; empty if it was, or if there is none.
    """

    def __init__(self, taker: Taker, shelf: Shelf, observer: Observer, matcher: Matcher, is_in_doubt: bool) -> None:
        self._taker, self._shelf, self._observer, self._matcher = taker, shelf, observer, matcher
        self.is_in_doubt = self._is_for_try = is_in_doubt
        self.error = ""
        #: When the last file was finished of the first checkpoint that is held, or could not be (monotonic seconds).
        self._first_s: float | None = None

    def copy(self, live: Tree) -> None:
        """Copies the folder, unless somebody writes to it.

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
            self._shelf.end_hold(is_whole=False)  # the launch does without

    def look(self) -> None:
        """The folder was looked at, and reports were read. They may show that the checkpoint was whole."""
        if not self._is_for_try:
            self._hold_first()
        if not self.is_in_doubt:
            return
        if self._matcher.has_loaded:
            self._end_hold(is_whole=True)
        if self._matcher.has_gone_on and not self._observer.num_changes:
            # It was loaded, so it is whole, and is still there.
            self.is_in_doubt, self._observer.is_dirty = False, True

    def end(self) -> None:
        """The processes of the launch are gone."""
        if self._is_for_try:
            self._end_hold(is_whole=self._matcher.has_loaded)

    def _hold_first(self) -> None:
        """Holds the first checkpoint once nothing has been added to it for a while."""
        observer, state = self._observer, self._matcher.current
        if state is None or not observer.bursts.is_only_one:
            return
        if self._first_s not in (None, state.ended_s) and observer.prove():
            self._first_s = None
            self._end_hold(is_whole=False)  # it had more files, which no death has closed
        is_quiet = time.monotonic() - observer.changed_s >= FIRST_QUIET_S
        is_unsure = observer.bursts.is_partial and self._shelf.newest is None
        is_unsure = is_unsure and not observer.habits.any_aside(observer.changed)
        if self._first_s is None and is_quiet and is_unsure and observer.prove():
            self._first_s = state.ended_s
            self._hold()

    def put_back(self, is_torn: bool) -> Tree:
        """Replaces a torn folder by the first checkpoint, if that is held; returns the folder, if it was replaced."""
        try:
            if is_torn and not self._is_for_try:
                return self._shelf.put_back_held()
            self._shelf.end_hold(is_whole=False)
        except OSError as error:
            self.error = f"the first checkpoint could not be put back: {error}"
        return {}

    def _end_hold(self, is_whole: bool) -> None:
        try:
            self._shelf.end_hold(is_whole)
        except OSError as error:
            self.error = f"the checkpoint that the launch has begun with could not be kept: {error}"
