"""Checkpoints that a framework has written, each with its report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from syne_hypersched.checkpoint_folder import CheckpointFolder
from syne_hypersched.filenames import NOTES_FILENAME


class Saved:
    """Keeps the checkpoints of a run. Only one process writes and reports.

    Parameters
    ----------
    path
        Folder of the checkpoints.
    keep
        Number of checkpoints to keep.
    reporter
        Called with a report as keyword arguments; by default :class:`syne_tune.Reporter`.
    """

    def __init__(self, path: str, keep: int, reporter: Callable[..., None] | None) -> None:
        self.folder = CheckpointFolder(path, keep)
        #: The checkpoint from which this launch continues; None: there is none.
        self.newest = self.folder.newest()
        #: The notes in that checkpoint.
        self.notes: dict[str, Any] = {}
        if self.newest is not None:
            with open(os.path.join(self.newest, NOTES_FILENAME), encoding="utf-8") as file:
                self.notes = json.load(file)
        self._reporter = reporter

    def begin(self) -> None:
        """Begins the training. If the report of the last launch was not delivered, delivers it."""
        if self._reporter is None:
            from syne_tune import Reporter  # late, and only once: it measures seconds from here on

            self._reporter = Reporter()
        report = self.notes.get("report")
        if self.newest is not None and report is not None and not self.folder.is_reported(self.newest):
            self._deliver(self.newest, report)

    def commit(self, aside: str, report: dict[str, Any] | None, **notes: Any) -> None:
        """Puts a written checkpoint in place, and reports.

        Parameters
        ----------
        aside
            The folder from ``folder.begin()``.
        report
            The report that belongs to the checkpoint; None: there is no report.
        **notes
            Notes for the next launch.
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
