"""The journal on disk: lines of JSON in numbered segments. Lines that a crash has torn are skipped by the reader."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from syne_hypersched._disk import Disk
from syne_hypersched.filenames import SEGMENT, segment_name

FORMAT = 1
"""Version of the journal's format, in the first line of every segment."""

Entry = dict[str, Any]
"""One line of the journal."""


@dataclass(frozen=True)
class Segments:
    """The content of the segments of a journal."""

    headers: tuple[Entry, ...] = ()
    """First line of each segment that has one, in order: ``timestamp`` and ``time_s`` of its beginning..."""

    entries: tuple[Entry, ...] = ()
    """All other lines, in the order in which they were written."""

    next_number: int = 0
    """Number of the segment to write next."""


class SegmentWriter:
    """Appends lines to a new segment.

    A written line survives the death of this process. If :meth:`sync` has returned after it was written, it also
    survives a crash of the machine. A segment is never opened again: the next process writes the next segment.

    Parameters
    ----------
    folder
        Folder of the journal.
    number
        Number of the segment: :attr:`Segments.next_number` of the segments read before.
    header
        Entries of the first line, in addition to ``format`` and ``num_before``.
    num_before
        Number of entries in earlier segments. Further lines there, which a reader has rejected, never count again.
    disk
        The disk to write to.

    Raises
    ------
    FileExistsError
        Another process has already begun this segment.
    """

    def __init__(self, folder: str, number: int, header: Entry, num_before: int, disk: Disk) -> None:
        disk.create_folder(folder, durably=True)
        self._disk = disk
        self._path = f"{folder}/{segment_name(number)}"
        self._file = disk.create(self._path)
        self._is_synced = True
        self.append({"format": FORMAT, "num_before": num_before, **header})
        self.sync()
        disk.sync_folder(folder)

    def append(self, entry: Entry) -> None:
        """Writes one line."""
        self._is_synced = False
        self._file.write(encode(entry))
        self._file.flush()

    def sync(self) -> None:
        """Returns when all lines would survive a crash of the machine."""
        if not self._is_synced:
            self._disk.sync_file(self._path)
            self._is_synced = True

    def close(self) -> None:
        """Syncs and closes the segment."""
        self.sync()
        self._file.close()


def encode(entry: Entry) -> bytes:
    """One line of JSON. Floats are restored exactly, including NaN and infinities; a path is written as its text.

    Raises
    ------
    TypeError
        A value cannot be stored as JSON.
    """
    return json.dumps(entry, default=_plain, separators=(",", ":")).encode() + b"\n"


def as_json(value: Any) -> Any:
    """The value as it is read back from the journal."""
    return json.loads(encode({"value": value}))["value"]


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a journal can store only JSON values, but got {value!r} of type {type(value).__name__}")


def read_segments(folder: str, disk: Disk) -> Segments:
    """Reads a journal.

    A segment ends before its first torn line, which is not a whole line of JSON. A segment without a whole first line
    was begun by a process that died at once; it counts as empty.

    Raises
    ------
    ValueError
        The journal has another format, or synced lines are missing.
    """
    numbers = sorted(int(found[1]) for name in disk.list_folder(folder) if (found := SEGMENT.fullmatch(name)))
    headers: list[Entry] = []
    entries: list[Entry] = []
    for number in numbers:
        path = f"{folder}/{segment_name(number)}"
        with disk.open(path) as file:
            lines = _whole_lines(file.read())
        if not lines:
            continue
        header = lines[0]
        if header.get("format") != FORMAT:
            raise ValueError(
                f"{path} must be a journal of format {FORMAT}, but says {header.get('format')!r}: resume it with the "
                "version of this package that wrote it"
            )
        if not isinstance(header.get("num_before"), int) or header["num_before"] > len(entries):
            raise ValueError(
                f"the segments before {path} must have {header.get('num_before')!r} entries, but only {len(entries)} "
                "can be read: a file of the journal has been changed or removed"
            )
        del entries[header["num_before"] :]
        headers.append(header)
        entries += lines[1:]
    return Segments(tuple(headers), tuple(entries), numbers[-1] + 1 if numbers else 0)


def sync_segments(folder: str, disk: Disk) -> None:
    """Syncs everything that was read, so that it survives a crash of the machine before new entries depend on it."""
    for name in disk.list_folder(folder):
        if SEGMENT.fullmatch(name):
            disk.sync_file(f"{folder}/{name}")


def _whole_lines(content: bytes) -> list[Entry]:
    found: list[Entry] = []
    for line in content.split(b"\n")[:-1]:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(entry, dict):
            break
        found.append(entry)
    return found
