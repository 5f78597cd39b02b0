"""The last complete checkpoint in a folder in which the next one is being written."""

from __future__ import annotations

from collections.abc import Callable, Collection

from syne_hypersched.checkpoints._files import Tree, is_in
from syne_hypersched.checkpoints._path_list import PathList, folders_of
from syne_hypersched.checkpoints._states import State


class LastComplete:
    """Knows which files belong to the last complete checkpoint, and which ones were begun after it.

    A script may give each checkpoint new names. Then it leaves the last complete one unchanged while it writes the next
    one. If the script is killed during that time, the folder without the new files is whole.

    Attributes
    ----------
    state
        The state of the folder when the checkpoint was complete.
    """

    def __init__(self) -> None:
        self.state: State | None = None
        self._last_state: State | None = None
        #: Files and folders of the last complete checkpoint; empty if there is none, or it was changed.
        self._files = PathList()
        #: Entries that were begun after it.
        self._fresh: set[str] = set()
        #: Finished entries of the present checkpoint.
        self._parts: set[str] = set()

    def begin(self, path: str, begins: Callable[[str], bool] = lambda _: False, is_sure: bool = True) -> None:
        """Notes that the script writes to a file.

        Parameters
        ----------
        path
            Its path.
        begins
            Returns whether a file is the first one of a checkpoint.
        is_sure
            Whether it is known what a checkpoint consists of. The second file of the very first checkpoint looks like
            the first file of the next one, if a report comes between them.
        """
        if is_sure and self._parts and not self._files and path not in self._parts and begins(path):
            self.state, self._files, self._fresh = self._last_state, PathList(self._parts), set()
        if path in self._files or any(folder in self._files for folder in folders_of(path)):
            self._files = PathList()
        else:
            self._fresh.add(path)

    def finish(self, path: str, begins: bool, is_complete: bool, state: State | None) -> None:
        """Notes that the script has finished a file or folder.

        Parameters
        ----------
        path
            Its path.
        begins
            Whether the path is the first one of a checkpoint.
        is_complete
            Whether the checkpoint is complete with this path.
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
        """Notes a removal or a move away. A folder that was put in place as a whole is gone with any of its files."""
        if self._files.has_in(self._files.holder(path)):
            self._files = PathList()

    def tree(self, live: Tree, unproven: Collection[str]) -> Tree:
        """The part of a folder that belongs to the last complete checkpoint, and the entries that are older than it.

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
