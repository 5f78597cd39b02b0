"""A disk in memory that can crash between any two operations, and then loses all data that were not synced."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from syne_hypersched._disk import Disk


class Crash(Exception):
    """The simulated machine or process has crashed."""


@dataclass
class _File:
    content: bytearray = field(default_factory=bytearray)
    #: Number of bytes at the beginning that have been synced. Files are only ever appended to.
    num_synced: int = 0


@dataclass
class _Folder:
    entries: dict[str, _File | _Folder] = field(default_factory=dict)
    #: The entries at the last sync of the folder, and the changes since then: a name and its entry, or None.
    durable: dict[str, _File | _Folder] = field(default_factory=dict)
    changes: list[list[tuple[str, _File | _Folder | None]]] = field(default_factory=list)

    def change(self, *changes: tuple[str, _File | _Folder | None]) -> None:
        """Changes some entries at once."""
        self.changes.append(list(changes))
        _apply(self.entries, changes)


def _apply(entries: dict[str, Any], changes: Any) -> None:
    for name, node in changes:
        entries.pop(name, None)
        if node is not None:
            entries[name] = node


class CrashingDisk(Disk):
    """Files in memory that behave like those of the worst journaling file system.

    .. code-block:: python

        disk = CrashingDisk(random.Random(0))
        disk.crash_after = 5  # operations
        with contextlib.suppress(Crash):
            write_everything(disk)
        disk.crash(of_the_machine=True)
        assert is_whole(disk)

    After a crash of the machine, a file has lost a part of any length at its end that was written after the last sync,
    or has zeros there. Of the changes to a folder after its last sync, only the first few (or none) have happened.
    After the end of the process alone, everything is unchanged.

    Parameters
    ----------
    generator
        Random generator that decides what a crash loses.
    """

    def __init__(self, generator: random.Random) -> None:
        self._root = _Folder()
        self._generator = generator
        #: Number of operations until the crash; None: there will be no crash.
        self.crash_after: int | None = None

    def crash(self, of_the_machine: bool) -> None:
        """Loses data as in a crash, of the machine or only of the process. The disk can be used again."""
        self.crash_after = None
        if of_the_machine:
            self._lose(self._root)

    def list_folder(self, path: str) -> list[str]:
        """See :class:`Disk`."""
        node = self._find(path)
        return list(node.entries) if isinstance(node, _Folder) else []

    def list_files(self, path: str) -> list[str]:
        """See :class:`Disk`."""
        node = self._find(path)
        return sorted(_files_below(node)) if isinstance(node, _Folder) else []

    def create_folder(self, path: str, durably: bool = False) -> None:
        """See :class:`Disk`."""
        folder, above = self._root, ""
        for name in _parts(path):
            if name not in folder.entries:
                self._operation()
                folder.change((name, _Folder()))
            if durably:
                self.sync_folder(above)
            folder, above = self._as_folder(folder.entries[name], path), f"{above}/{name}"

    def create(self, path: str) -> BinaryIO:
        """See :class:`Disk`."""
        self._operation()
        folder, name = self._parent(path)
        if name in folder.entries:
            raise FileExistsError(path)
        file = _File()
        folder.change((name, file))
        return _Writer(self, file)

    def open(self, path: str) -> BinaryIO:
        """See :class:`Disk`."""
        node = self._find(path)
        if not isinstance(node, _File):
            raise FileNotFoundError(path)
        return io.BytesIO(bytes(node.content))

    def sync_file(self, path: str) -> None:
        """See :class:`Disk`."""
        self._operation()
        node = self._find(path)
        if not isinstance(node, _File):
            raise FileNotFoundError(path)
        node.num_synced = len(node.content)

    def sync_folder(self, path: str) -> None:
        """See :class:`Disk`."""
        self._operation()
        folder = self._as_folder(self._find(path), path)
        folder.durable, folder.changes = dict(folder.entries), []

    def rename(self, source: str, target: str) -> None:
        """See :class:`Disk`. Only within one folder."""
        self._operation()
        folder, old = self._parent(source)
        other, new = self._parent(target)
        if folder is not other:
            raise NotImplementedError("a name in another folder")
        folder.change((old, None), (new, folder.entries[old]))

    def remove(self, path: str) -> None:
        """See :class:`Disk`. A folder is emptied file by file, and a crash may come in between."""
        folder, name = self._parent(path)
        node = folder.entries.get(name)
        if isinstance(node, _Folder):
            for inner in list(node.entries):
                self.remove(f"{path}/{inner}")
        self._operation()
        folder.change((name, None))

    def write(self, file: _File, data: bytes) -> None:
        """Appends to a file in pieces. A crash may come between the pieces."""
        for start in range(0, len(data), 512):
            self._operation()
            file.content += data[start : start + 512]

    def _operation(self) -> None:
        if self.crash_after is None:
            return
        if self.crash_after <= 0:
            raise Crash
        self.crash_after -= 1

    def _lose(self, folder: _Folder) -> None:
        survived = self._generator.randint(0, len(folder.changes))
        entries = dict(folder.durable)
        for changes in folder.changes[:survived]:
            _apply(entries, changes)
        folder.entries, folder.durable, folder.changes = entries, dict(entries), []
        for node in entries.values():
            if isinstance(node, _Folder):
                self._lose(node)
            elif node.num_synced < len(node.content):
                kept = self._generator.randint(node.num_synced, len(node.content))
                tail = b"" if self._generator.random() < 0.5 else bytes(len(node.content) - kept)
                node.content[kept:] = tail
                node.num_synced = len(node.content)

    def _find(self, path: str) -> _File | _Folder | None:
        node: _File | _Folder | None = self._root
        for name in _parts(path):
            node = node.entries.get(name) if isinstance(node, _Folder) else None
        return node

    def _parent(self, path: str) -> tuple[_Folder, str]:
        *above, name = _parts(path)
        return self._as_folder(self._find("/".join(above)), path), name

    def _as_folder(self, node: _File | _Folder | None, path: str) -> _Folder:
        if not isinstance(node, _Folder):
            raise FileNotFoundError(path)
        return node


class _Writer(io.RawIOBase, BinaryIO):
    def __init__(self, disk: CrashingDisk, file: _File) -> None:
        super().__init__()
        self._disk = disk
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._disk.write(self._file, bytes(data))
        return len(data)


def _parts(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


def _files_below(folder: _Folder, prefix: str = "") -> list[str]:
    found = []
    for name, node in folder.entries.items():
        found += _files_below(node, f"{prefix}{name}/") if isinstance(node, _Folder) else [prefix + name]
    return found
