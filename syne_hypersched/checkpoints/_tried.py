"""A checkpoint that may not be whole, while a launch tries to go on from it.

It is copied while the script starts, since a script that writes in place may begin to overwrite it with its first
report. That the script has loaded it shows that it was whole: then the copy becomes a generation. Otherwise, it is
removed.
"""

from __future__ import annotations

from syne_hypersched.checkpoints._matching import Matcher
from syne_hypersched.checkpoints._observer import Observer
from syne_hypersched.checkpoints._shelf import NoRoomError, Shelf
from syne_hypersched.checkpoints._store import Generation


class TriedCheckpoint:
    """See the module.

    Parameters
    ----------
    shelf
        Holds the copy.
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

    def __init__(self, shelf: Shelf, observer: Observer, matcher: Matcher, is_in_doubt: bool) -> None:
        self._shelf, self._observer, self._matcher = shelf, observer, matcher
        self.is_in_doubt = is_in_doubt
        self.error = ""

    def copy(self, generation: Generation) -> None:
        """Copies the folder, unless somebody writes to it.

        Parameters
        ----------
        generation
            What the copy becomes if the checkpoint was whole.
        """
        observer = self._observer
        if observer.num_changes or not generation.live:
            return

        def is_changing() -> bool:
            observer.look()
            return observer.num_changes > 0 or bool(observer.open_files())

        try:
            self._shelf.hold(generation, is_changing)
        except (NoRoomError, OSError):
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
