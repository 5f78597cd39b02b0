"""Checkpoints that a framework writes as folders ``checkpoint-STEP``, each of which is marked once it is whole.

The framework writes a folder file by file under its final name. The mark is put in place by one rename, after all
processes have written and all files are durable. A folder without a mark counts for nothing, and the newest folder with
a mark stays until the next one has its mark.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from syne_hypersched._disk import Disk
from syne_hypersched.filenames import ELASTIC_MARK_FILENAME

_NAME = re.compile(r"checkpoint-(\d+)")
_BEFORE = re.compile(r"\.checkpoint-(\d+)-before")
_REPORTED = "reported"


class MarkedCheckpoints:
    """See the module. One process writes.

    Parameters
    ----------
    path
        Folder of the checkpoints.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._disk = Disk()

    def folder(self, step: int) -> str:
        """The folder that the framework writes after a step."""
        return os.path.join(self.path, f"checkpoint-{step}")

    def newest(self) -> str | None:
        """The newest whole checkpoint; None if there is none."""
        found = []
        for name in self._disk.list_folder(self.path):
            # A checkpoint that was written again after the same step replaces the one before.
            for priority, pattern in enumerate((_BEFORE, _NAME)):
                match = pattern.fullmatch(name)
                if match is not None and self.mark(os.path.join(self.path, name)) is not None:
                    found.append((int(match[1]), priority, name))
        return os.path.join(self.path, max(found)[2]) if found else None

    def unmarked(self) -> list[str]:
        """Names of the checkpoints without a mark, although some files are there."""
        names = sorted(name for name in self._disk.list_folder(self.path) if _NAME.fullmatch(name))
        return [name for name in names if self.mark(os.path.join(self.path, name)) is None]

    def mark(self, path: str) -> dict[str, Any] | None:
        """What was noted when a checkpoint was whole; None if it is not whole."""
        try:
            with self._disk.open(os.path.join(path, ELASTIC_MARK_FILENAME)) as file:
                mark = json.loads(file.read())
            sizes = {name: os.path.getsize(os.path.join(path, name)) for name in mark["files"]}
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return mark if sizes == mark["files"] else None

    def begin(self, step: int) -> None:
        """The framework is about to write the checkpoint of a step: moves one that is already there out of its way."""
        path = self.folder(step)
        before = os.path.join(self.path, f".checkpoint-{step}-before")
        if self.mark(path) is not None:
            self._disk.remove(before)
            self._disk.rename(path, before)
        else:
            self._disk.remove(path)

    def commit(self, step: int, report: dict[str, Any] | None, **notes: Any) -> str:
        """Marks the checkpoint of a step, which all processes have written.

        Parameters
        ----------
        step
            The step.
        report
            The report that belongs to it; None: there is none.
        **notes
            Go into the mark.
        """
        path, disk = self.folder(step), self._disk
        names = [name for name in disk.list_files(path) if name not in (ELASTIC_MARK_FILENAME, _REPORTED)]
        for name in names:
            disk.sync_file(os.path.join(path, name))
        disk.remove(os.path.join(path, _REPORTED))
        sizes = {name: os.path.getsize(os.path.join(path, name)) for name in names}
        aside = os.path.join(path, f".{ELASTIC_MARK_FILENAME}")
        disk.remove(aside)
        with disk.create(aside) as file:
            file.write(json.dumps({"files": sizes, "report": report, **notes}).encode())
        disk.sync_file(aside)
        disk.rename(aside, os.path.join(path, ELASTIC_MARK_FILENAME))
        for folder in (path, self.path):
            disk.sync_folder(folder)
        return path

    def prune(self, keep: int, protected: str | None) -> None:
        """Removes all checkpoints but the newest whole ones.

        Parameters
        ----------
        keep
            Number of whole checkpoints to keep.
        protected
            Path of one that stays; None: there is none.
        """
        names = self._disk.list_folder(self.path)
        whole = {
            int(match[1]): name
            for name in names
            if (match := _NAME.fullmatch(name)) and self.mark(os.path.join(self.path, name)) is not None
        }
        kept = {whole[step] for step in sorted(whole)[-keep:]}
        if protected is not None:
            kept.add(os.path.basename(os.path.normpath(protected)))
        for name in names:
            if name not in kept and (_NAME.fullmatch(name) or _BEFORE.fullmatch(name)):
                path = os.path.join(self.path, name)
                self._disk.remove(os.path.join(path, ELASTIC_MARK_FILENAME))
                self._disk.remove(path)

    def undelivered(self, path: str) -> dict[str, Any] | None:
        """The report of a checkpoint if it may not have been delivered."""
        mark = self.mark(path)
        if mark is None or _REPORTED in self._disk.list_folder(path):
            return None
        report: dict[str, Any] | None = mark["report"]
        return report

    def delivered(self, path: str) -> None:
        """Notes that the report of a checkpoint was delivered."""
        if _REPORTED not in self._disk.list_folder(path):
            self._disk.create(os.path.join(path, _REPORTED)).close()
