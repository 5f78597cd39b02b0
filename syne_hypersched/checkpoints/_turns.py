"""Finds scripts that alternate between two names, from the files written between two reports.

Names do not help then. But the same number of files is written between two reports each time, and only the last file is
the same. It says which checkpoint is the newest.
"""

from __future__ import annotations

from syne_hypersched.checkpoints._numbers import may_alternate, names_of, shape_of
from syne_hypersched.checkpoints._path_list import PathList

#: After this many checkpoints in a row with alternating names, the script is taken to alternate.
_TURNS = 2


class Turns:
    """Keeps the files written between reports.

    Attributes
    ----------
    written, before
        Files written since the last report, and between the two reports before it.
    are_taken
        Whether names alternate; ``None``: not known yet.
    """

    def __init__(self) -> None:
        self.written, self.before = PathList(), PathList()
        self.are_taken: bool | None = None
        #: Number of reports in a row at which names seemed to alternate.
        self._num = 0

    def report(self) -> bool:
        """Notes a report after a file; returns whether it shows that names alternate."""
        written, before = self.written, self.before
        self.written, self.before = PathList(), written
        if before and shape_of(written) != shape_of(before):
            self.are_taken, self._num = False, 0
        elif before and not self.are_taken and may_alternate(written, before) and names_of(written) != names_of(before):
            self._num += 1
            if self.are_taken is None or self._num >= _TURNS:
                self.are_taken = True
                return True
        return False

    def may_end_with(self, path: str) -> bool:
        """Whether the files written since the report, and this file, may be the second checkpoint, with other names."""
        return bool(self.written) and may_alternate([*self.written, path], self.before)
