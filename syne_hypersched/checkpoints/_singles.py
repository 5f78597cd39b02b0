"""Files that come one for each report: each of them is a whole checkpoint, however long it seems to be one of several.

A script may save one part of a model each time (``model-1-of-3``). And a thread may finish a new file for each epoch
now before a report and now after it, so that two of them seem to be parts of one checkpoint (``step-1``, ``step-2``).
But the numbers of parts start again with the next checkpoint, and there are several parts for each report.
"""

from __future__ import annotations

from collections.abc import Collection

from syne_hypersched.checkpoints._numbers import has_grown, lacks_parts

#: After so many reports in a row, before each of which one part was written, parts are taken for whole checkpoints.
_MOST_PARTS = 3
#: So are so many files in a row whose only number has grown each time, if at most so many more than reports came.
_GROWING, _MOST_MORE = 5, 2


class Singles:
    """See the module.

    Attributes
    ----------
    are_growing
        Whether each file is a checkpoint, as its number shows.
    """

    def __init__(self) -> None:
        self.are_growing = False
        self._num_parts = 0
        #: The last file, how many files in a row have grown numbers, and how many reports came since the first of them.
        self._last = ""
        self._num_files = self._num_reports = 0

    @property
    def are_parts(self) -> bool:
        """Whether each part is a checkpoint."""
        return self._num_parts >= _MOST_PARTS

    def add(self, path: str) -> None:
        """A file is finished."""
        if path == self._last:
            return
        self._num_files = self._num_files + 1 if has_grown(path, self._last) else 1
        self._num_reports = self._num_reports if self._num_files > 1 else 0
        are_few = self._num_files - self._num_reports <= _MOST_MORE
        self.are_growing = self._num_files > 1 and (self.are_growing or (self._num_files >= _GROWING and are_few))
        self._last = path

    def report(self) -> None:
        """The script has reported."""
        self._num_reports += 1

    def end(self, written: Collection[str]) -> bool:
        """These were written between two reports; returns whether parts are taken for checkpoints from now on."""
        if self.are_parts:
            return False
        self._num_parts = self._num_parts + 1 if len(written) == 1 and lacks_parts(written) else 0
        return self.are_parts
