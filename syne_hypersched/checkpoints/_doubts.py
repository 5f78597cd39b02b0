"""Files that were being written when the processes were asked to exit."""

from __future__ import annotations

from collections.abc import Collection

from syne_hypersched.checkpoints._files import Tree, is_in
from syne_hypersched.checkpoints._numbers import pattern_of


class Doubts:
    """Files that were being written at SIGTERM. A process that exits closes its files, perhaps half written.

    A process that dies does nothing after its files are closed. So if the same process acts in the folder after a file
    was closed, its script has closed the file. If the script ended with an exception, the exception may still have come
    in the middle of the file.

    Attributes
    ----------
    paths
        These files, except those that were later removed, moved into place, or followed by a report.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self._closed: set[str] = set()
        self._outlived: set[str] = set()
        self._is_alone = False
        self._log_end = 0
        #: Whether all of the files had been closed when the processes got SIGKILL.
        self.were_closed = False

    def begin(self, paths: Collection[str], is_alone: bool, log_end: int = 0) -> bool:
        """Notes the files that are being written at SIGTERM; returns whether there are any.

        Parameters
        ----------
        paths
            The files.
        is_alone
            Whether there is only one process, so that any later change shows that it is alive.
        log_end
            Size of the log (bytes).
        """
        self.clear()
        self.paths, self._is_alone, self._log_end = set(paths), is_alone, log_end
        return bool(paths)

    def hear(self, kind: str, path: str) -> None:
        """Notes a change in the folder, see :class:`~syne_hypersched.checkpoints.Change`."""
        if kind == "closed":
            self._closed |= self.paths & {path}
            return
        self._outlived |= self._closed
        if kind in ("created", "written"):
            self._closed.discard(path)
            self._outlived.discard(path)

    def kill(self) -> None:
        """Notes that the processes get SIGKILL now: the kernel will close all files."""
        self.were_closed = bool(self.paths) and self.paths <= self._closed

    @property
    def were_outlived(self) -> bool:
        """Whether the process that wrote the files has closed all of them, and then went on running."""
        return not self.paths or (self._is_alone and self.paths <= self._outlived)

    def are_as_large(self, found: Tree, before: Tree) -> bool:
        """Whether each file is new and has reached the size of a file of the same name in an earlier whole checkpoint.

        A new file that is cut off is shorter. A file that is overwritten in place keeps its size from the beginning.
        """
        files = {path: state for path, state in before.items() if state.kind == "file"}
        sizes = {(pattern_of(path), state.size) for path, state in files.items()}
        inodes = {state.inode for state in files.values()}
        return all(
            path in found and found[path].inode not in inodes and (pattern_of(path), found[path].size) in sizes
            for path in self.paths
        )

    def report(self, end: int) -> None:
        """Notes a report that ends at this place of the log: if it came after SIGTERM, the processes go on."""
        if end > self._log_end:
            self.clear()

    def forget(self, path: str) -> None:
        """Removes a path, and all files below it, from the files in doubt."""
        self.paths = {other for other in self.paths if not is_in(other, path)}

    def clear(self) -> None:
        """Removes all files from doubt."""
        self.paths, self._closed, self._outlived, self.were_closed = set(), set(), set(), False
