"""A checkpoint that may not be whole, while a launch tries to go on from it.

It is copied while the script starts, since a script that writes in place may begin to overwrite it with its first
report. That the script has loaded it shows that it was whole: then the copy becomes a generation. Otherwise, it is
removed.
"""

from __future__ import annotations

from syne_hypersched.checkpoints._files import Tree
from syne_hypersched.checkpoints._leases import GivenUpError
from syne_hypersched.checkpoints._matching import Matcher
from syne_hypersched.checkpoints._observer import Observer
from syne_hypersched.checkpoints._shelf import NoRoomError, Shelf
from syne_hypersched.checkpoints._taker import Taker


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
        self.is_in_doubt = is_in_doubt
        self.error = ""

    def copy(self, live: Tree) -> None:
        """Copies the folder, unless somebody writes to it.

        Parameters
        ----------
        live
            The folder.
        """
        if self._observer.num_changes or not live:
            return
        try:
            self._taker.hold(live)
        except (GivenUpError, NoRoomError, OSError):
            self._shelf.end_hold(is_whole=False)  # the launch does without

    def look(self) -> None:
        """Reports have been read. They may show that the checkpoint was whole."""
        if not self.is_in_doubt:
            return
        if self._matcher.has_loaded:
            self._end_hold(is_whole=True)
        if self._matcher.has_gone_on and not self._observer.num_changes:
            # It was loaded, so it is whole, and is still there.
            self.is_in_doubt, self._observer.is_dirty = False, True

    def end(self) -> None:
        """The processes of the launch are gone."""
        self._end_hold(is_whole=self._matcher.has_loaded)

    def _end_hold(self, is_whole: bool) -> None:
        try:
            self._shelf.end_hold(is_whole)
        except OSError as error:
            self.error = f"the checkpoint that the launch has begun with could not be kept: {error}"
