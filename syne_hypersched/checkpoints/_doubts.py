"""Files that were being written when the processes were asked to leave."""

from __future__ import annotations

from collections.abc import Collection

from syne_hypersched.checkpoints._files import Tree, is_in
from syne_hypersched.checkpoints._numbers import pattern_of


class Doubts:
    """Files that were being written at SIGTERM: a process that exits closes them, perhaps half written.

    A process that dies does nothing after its files are closed. So a file after whose end the same process has done
    something else in the folder was closed by its script. Where the script has ended by an exception, that may have
    been in the middle of the file, too.

    Attributes
    ----------
    paths
        Those files, unless they were removed, moved into place, or reported after.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self._closed: set[str] = set()
        self._outlived: set[str] = set()
        self._is_alone = False
        self._log_end = 0
        #: Whether all of them had been closed when the processes got SIGKILL.
        self.were_closed = False

    def begin(self, paths: Collection[str], is_alone: bool, log_end: int = 0) -> bool:
        """These files are being written at SIGTERM; returns whether there are any.

        Parameters
        ----------
        paths
            The files.
        is_alone
            Whether there is one process, so that whatever happens later shows that it lives.
        log_end
            Size of the log (bytes).
        """
        self.clear()
        self.paths, self._is_alone, self._log_end = set(paths), is_alone, log_end
        return bool(paths)

    def hear(self, kind: str, path: str) -> None:
        """Something has happened in the folder, see :class:`~syne_hypersched.checkpoints.Change`."""
        if kind == "closed":
            self._closed |= self.paths & {path}
            return
        self._outlived |= self._closed
        if kind in ("created", "written"):
            self._closed.discard(path)
            self._outlived.discard(path)

    def kill(self) -> None:
        """The processes get SIGKILL now: the kernel will close all files."""
        self.were_closed = bool(self.paths) and self.paths <= self._closed

    @property
    def were_outlived(self) -> bool:
        """Whether the process that wrote them has closed all of them, and has lived on."""
        return not self.paths or (self._is_alone and self.paths <= self._outlived)

    def are_as_large(self, found: Tree, before: Tree) -> bool:
        """Whether each of them is a new file that has become as large as one of its name in a whole checkpoint before.

        A new file that is cut off is shorter. A file that is written over keeps its size from the beginning.
        """
        files = {path: state for path, state in before.items() if state.kind == "file"}
        sizes = {(pattern_of(path), state.size) for path, state in files.items()}
        inodes = {state.inode for state in files.values()}
        return all(
            path in found and found[path].inode not in inodes and (pattern_of(path), found[path].size) in sizes
            for path in self.paths
        )

    def report(self, end: int) -> None:
        """A report was found that ends there in the log: if it came after SIGTERM, the processes go on."""
        if end > self._log_end:
            self.clear()

    def forget(self, path: str) -> None:
        """What is below this path is not in doubt any more."""
        self.paths = {other for other in self.paths if not is_in(other, path)}

    def clear(self) -> None:
        """Nothing is in doubt any more."""
        self.paths, self._closed, self._outlived, self.were_closed = set(), set(), set(), False
