"""The last complete checkpoint in a folder, beside which the next one is being made."""

from __future__ import annotations

from collections.abc import Callable, Collection

from syne_hypersched.checkpoints._files import Tree, is_in
from syne_hypersched.checkpoints._path_list import PathList, folders_of
from syne_hypersched.checkpoints._states import State


class LastComplete:
    """Knows which files belong to the last complete checkpoint, and which ones were begun after it.

    A script that gives each checkpoint names of its own leaves the last complete one as it is while it writes the next
    one. If it is killed then, the folder without the new files is whole.

    Attributes
    ----------
    state
        The state of the folder when the checkpoint was complete.
    """

    def __init__(self) -> None:
        self.state: State | None = None
        self._last_state: State | None = None
        #: Its files and folders; none if there is no such checkpoint, or it was changed.
        self._files = PathList()
        #: What was begun after it.
        self._fresh: set[str] = set()
        #: What is finished of the present checkpoint.
        self._parts: set[str] = set()

    def begin(self, path: str, begins: Callable[[str], bool] = lambda _: False) -> None:
        """The script writes to a file. ``begins`` says whether it is the first one of a checkpoint, if asked."""
        if self._parts and not self._files and path not in self._parts and begins(path):
            self.state, self._files, self._fresh = self._last_state, PathList(self._parts), set()
        if path in self._files or any(folder in self._files for folder in folders_of(path)):
            self._files = PathList()
        else:
            self._fresh.add(path)

    def finish(self, path: str, begins: bool, is_complete: bool, state: State | None) -> None:
        """The script has finished a file or folder.

        Parameters
        ----------
        path
            Its path.
        begins
            Whether it is the first one of a checkpoint.
        is_complete
            Whether the checkpoint is complete with it.
        state
            The state that the folder is in then.
        """
        if begins:
            self._parts = set()
        self._parts.add(path)
        self._last_state = state
        if is_complete:
            self.state, self._files, self._fresh = state, PathList(self._parts), set()
        else:
            self.begin(path)

    def remove(self, path: str) -> None:
        """A file or folder was removed or moved away. A folder that was put in place as a whole is gone with a file."""
        if self._files.has_in(self._files.holder(path)):
            self._files = PathList()

    def tree(self, live: Tree, unproven: Collection[str]) -> Tree:
        """The part of a folder that belongs to the last complete checkpoint, and what was there before it.

        Parameters
        ----------
        live
            The folder.
        unproven
            Files that may be torn.

        Returns
        -------
        Tree
            Empty if there is no such checkpoint, or it was changed.
        """
        if not self._files or any(is_in(path, other) for path in unproven for other in self._files):
            return {}
        rest = {path: state for path, state in live.items() if not any(is_in(path, other) for other in self._fresh)}
        files = [path for path, state in rest.items() if state.kind != "folder"]
        if not rest.keys() >= set(self._files) or any(path in unproven for path in files):
            return {}
        return {
            path: state
            for path, state in rest.items()
            if state.kind != "folder" or any(is_in(file, path) for file in files)
        }
