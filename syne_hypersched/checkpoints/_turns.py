"""Finds scripts that use two names in turn, from what was written between two reports.

Names are of no help then. But the same number of files is written between two reports each time, and only the last one
of them is the same file, which says which of them is the newest.
"""

from __future__ import annotations

from syne_hypersched.checkpoints._numbers import may_alternate, names_of, shape_of
from syne_hypersched.checkpoints._path_list import PathList

#: After this many checkpoints in a row with alternating names, the script is taken to alternate.
_TURNS = 2


class Turns:
    """See the module.

    Attributes
    ----------
    written, before
        What was written since the last report, and between the two before.
    are_taken
        Whether names are used in turn; ``None``: not known yet.
    """

    def __init__(self) -> None:
        self.written, self.before = PathList(), PathList()
        self.are_taken: bool | None = None
        #: How often in a row it looks so.
        self._num = 0

    def report(self) -> bool:
        """The script has reported after a file; returns whether this shows that names are used in turn."""
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
        """Whether what was written since the report, and this, may be the second checkpoint, under other names."""
        return bool(self.written) and may_alternate([*self.written, path], self.before)
