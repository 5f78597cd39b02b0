"""Reads a journal as it is written: each call costs the new lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from syne_hypersched.experiments._results import Rows, row_of_entry
from syne_hypersched.filenames import SEGMENT
from syne_hypersched.records.segments import FORMAT, Entry


class JournalRewound(Exception):
    """A later segment says that some of the lines that were read do not count."""


class JournalTail:
    """Reads the results that were appended to a journal since the last call.

    Parameters
    ----------
    folder
        Folder of the journal, which need not exist.

    Attributes
    ----------
    num_results
        Results read so far.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.num_results = 0
        self._num_entries = 0
        #: The segment that is being read, and how far it was read; a torn line ends it.
        self._segment: str | None = None
        self._offset = 0
        self._is_torn = False
        self._configs: dict[int, dict[str, Any]] = {}

    def read_new(self) -> tuple[Rows, dict[int, dict[str, Any]]]:
        """The results since the last call as rows, and the configurations of the trials added since.

        Raises
        ------
        JournalRewound
            Lines that were read before do not count any more.
        ValueError
            The journal has another format.
        OSError
            It cannot be read.
        """
        try:
            names = sorted(entry.name for entry in self.folder.iterdir() if SEGMENT.fullmatch(entry.name))
        except FileNotFoundError:
            return [], {}
        new: list[Entry] = []
        for name in names:
            if self._segment is not None and name < self._segment:
                continue
            if name != self._segment:
                self._segment, self._offset, self._is_torn = name, 0, False
            self._read(self.folder / name, new)
        self._num_entries += len(new)
        rows: Rows = []
        configs: dict[int, dict[str, Any]] = {}
        for entry in new:
            self._take(entry, rows, configs)
        self.num_results += len(rows)
        return rows, configs

    def _read(self, path: Path, new: list[Entry]) -> None:
        """Adds the entries that were appended to a segment."""
        if self._is_torn:
            return
        with path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        is_begin = self._offset == 0
        self._offset += len(whole) + len(newline)
        for line in whole.split(b"\n") if newline else ():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                entry = None
            if not isinstance(entry, dict):
                self._is_torn = True
                break
            if is_begin:
                self._begin(path, entry, new)
                is_begin = False
            else:
                new.append(entry)

    def _begin(self, path: Path, header: Entry, new: list[Entry]) -> None:
        """The first line of a segment says how many entries before it count."""
        num_before = header.get("num_before")
        if header.get("format") != FORMAT or not isinstance(num_before, int):
            raise ValueError(f"{path} must be a journal of format {FORMAT}, but says {header.get('format')!r}")
        if num_before < self._num_entries:
            raise JournalRewound
        del new[num_before - self._num_entries :]

    def _take(self, entry: Entry, rows: Rows, configs: dict[int, dict[str, Any]]) -> None:
        if entry.get("call") == "add":
            configs[entry["trial_id"]] = self._configs[entry["trial_id"]] = entry.get("config", {})
        elif entry.get("call") == "result" and "decision" in entry:
            rows.append(row_of_entry(entry, self._configs.get(entry["trial_id"], {})))
