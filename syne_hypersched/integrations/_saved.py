"""Checkpoints that a framework has written, each with the report that belongs to it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from syne_hypersched.checkpoint_folder import CheckpointFolder
from syne_hypersched.filenames import NOTES_FILENAME


class Saved:
    """See the module. One process writes and reports.

    Parameters
    ----------
    path
        Folder of the checkpoints.
    keep
        Checkpoints to keep.
    reporter
        Called with a report as keyword arguments; by default :class:`syne_tune.Reporter`.
    """

    def __init__(self, path: str, keep: int, reporter: Callable[..., None] | None) -> None:
        self.folder = CheckpointFolder(path, keep)
        #: The checkpoint from which this launch goes on; None: there is none.
        self.newest = self.folder.newest()
        #: What was noted in it.
        self.notes: dict[str, Any] = {}
        if self.newest is not None:
            with open(os.path.join(self.newest, NOTES_FILENAME), encoding="utf-8") as file:
                self.notes = json.load(file)
        self._reporter = reporter

    def begin(self) -> None:
        """Training begins: delivers the report of the last launch if it was not."""
        if self._reporter is None:
            from syne_tune import Reporter  # late, and once: it counts the seconds from here

            self._reporter = Reporter()
        report = self.notes.get("report")
        if self.newest is not None and report is not None and not self.folder.is_reported(self.newest):
            self._deliver(self.newest, report)

    def commit(self, aside: str, report: dict[str, Any] | None, **notes: Any) -> None:
        """Puts a written checkpoint in place, and reports.

        Parameters
        ----------
        aside
            The folder that ``folder.begin()`` has made.
        report
            The report that belongs to it; None: there is none.
        **notes
            What the next launch is to know.
        """
        with open(os.path.join(aside, NOTES_FILENAME), "x", encoding="utf-8") as file:
            json.dump({"report": report, **notes}, file)
        path = self.folder.commit(aside)
        if report is not None:
            self._deliver(path, report)

    def _deliver(self, path: str, report: dict[str, Any]) -> None:
        if self._reporter is not None:
            self._reporter(**report)
        self.folder.mark_reported(path)
