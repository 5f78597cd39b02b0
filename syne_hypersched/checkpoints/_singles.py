"""Recognises scripts that write one file for each report, where each file is a whole checkpoint.

Such files may look like parts of one checkpoint. A script may save one part of a model each time (``model-1-of-3``). Or
a thread may finish a new file for each epoch, sometimes before the report and sometimes after it, so that two files
seem to be one checkpoint (``step-1``, ``step-2``). But the numbers of real parts restart with the next checkpoint, and
there are several parts for each report.
"""

from __future__ import annotations

from collections.abc import Collection

from syne_hypersched.checkpoints._numbers import has_grown, lacks_parts

#: After so many reports in a row, each with one part written before it, parts are taken for whole checkpoints.
_MOST_PARTS = 3
#: The same holds for so many files in a row whose single number grows, if there are at most so many more than reports.
_GROWING, _MOST_MORE = 5, 2


class Singles:
    """Counts files and reports.

    Attributes
    ----------
    are_growing
        Whether the numbers of the files show that each file is a checkpoint.
    """

    def __init__(self) -> None:
        self.are_growing = False
        self._num_parts = 0
        #: The last file; number of files in a row with a growing number; number of reports since the first of them.
        self._last = ""
        self._num_files = self._num_reports = 0

    @property
    def are_parts(self) -> bool:
        """Whether each part is a checkpoint."""
        return self._num_parts >= _MOST_PARTS

    def add(self, path: str) -> None:
        """Notes that a file is finished."""
        if path == self._last:
            return
        self._num_files = self._num_files + 1 if has_grown(path, self._last) else 1
        self._num_reports = self._num_reports if self._num_files > 1 else 0
        are_few = self._num_files - self._num_reports <= _MOST_MORE
        self.are_growing = self._num_files > 1 and (self.are_growing or (self._num_files >= _GROWING and are_few))
        self._last = path

    def report(self) -> None:
        """Notes a report of the script."""
        self._num_reports += 1

    def end(self, written: Collection[str]) -> bool:
        """Notes the files written between two reports. Returns whether parts count as checkpoints from now on."""
        if self.are_parts:
            return False
        self._num_parts = self._num_parts + 1 if len(written) == 1 and lacks_parts(written) else 0
        return self.are_parts
