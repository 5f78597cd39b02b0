"""Moves the checkpoints of a trial to another disk: its checkpoint folder, its generations and its notes.

A *bill* describes them as values that are sent as JSON. The bytes of the files follow in pieces. Each file is sent only
once, however many names it has. Data from another machine are checked before anything is written: no entry may lie
outside the trial's folder, or be reached through a symbolic link.

On the new disk, files have other inode numbers. The trees in generations and notes are adapted, so that the next launch
judges its folder as before: as whole, or as doubtful.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from syne_hypersched.checkpoints._bill import FILE, FOLDER, LINK, Bill, check_bill, identity
from syne_hypersched.checkpoints._files import FileState, Tree, copy_file, link_file, place_tree, read_tree
from syne_hypersched.checkpoints._generation import Generation, values_of
from syne_hypersched.checkpoints._store import GenerationStore

__all__ = ["FILE", "Arrival", "Bill", "Departure", "Piece", "identity", "pieces"]

Piece = tuple[int, int, int]
"""A range of bytes of a file: the index of the file in the bill, the offset, and the number of bytes."""


def pieces(sizes: Mapping[int, int], most_bytes: int) -> Iterator[list[Piece]]:
    """Divides files into groups of pieces.

    Parameters
    ----------
    sizes
        Number of bytes of each file, by its index; empty files belong to no group.
    most_bytes
        Maximum number of bytes of a group.
    """
    group: list[Piece] = []
    room = most_bytes
    for index, size in sizes.items():
        offset = 0
        while offset < size:
            length = min(room, size - offset)
            group.append((index, offset, length))
            offset, room = offset + length, room - length
            if not room:
                yield group
                group, room = [], most_bytes
    if group:
        yield group


class Departure:
    """Checkpoints that are read so that they can be written elsewhere. They are kept unchanged until :meth:`close`.

    Parameters
    ----------
    checkpoints
        The checkpoint folder.
    aside
        A folder that does not exist yet, on the same disk. The files of generations get second hard links there, so
        that the generations can be removed meanwhile.
    known
        Identities of generations that already exist at the destination.
    with_live
        Whether to read the checkpoint folder itself, to which no process writes. Otherwise, a trial that begins from
        the copy begins from the newest generation.

    Attributes
    ----------
    bill
        Description of all checkpoints.

    Raises
    ------
    OSError
        A file was changed meanwhile, or cannot be read.
    """

    def __init__(self, checkpoints: Path, aside: Path, known: Sequence[str], with_live: bool) -> None:
        self._aside = aside
        self._sources: list[str] = []
        self._states: list[FileState] = []
        self._indices: dict[int, int] = {}
        self._modes: list[int] = []
        store = GenerationStore(checkpoints)
        notes = store.notes()
        try:
            sound = [found for found in store.generations() if store.is_sound(found)]
            generations = [self._generation(store, found, identity(found) in known) for found in sound]
            live, newest = read_tree(checkpoints) if with_live else {}, sound[-1] if sound else None
            # The copy of a trial that is training has only generations.
            is_newest = with_live and newest is not None and live in ({}, newest.live)
            self.bill: Bill = {
                "folder": os.path.abspath(checkpoints),
                "generations": generations,
                "live": None if not live or is_newest else self._entries(checkpoints, live),
                "live_is": newest.number if newest is not None and is_newest else None,
                "left": bool(live) and notes.left == live,
                "notes": asdict(replace(notes, left=None)) if store.folder.exists() else None,
                "files": [[s.size, s.mtime_ns, mode] for s, mode in zip(self._states, self._modes, strict=True)],
            }
        except BaseException:
            self.close()
            raise

    def _generation(self, store: GenerationStore, generation: Generation, is_known: bool) -> dict[str, Any]:
        described: dict[str, Any] = {
            "identity": identity(generation), "values": values_of(generation), "entries": None
        }  # fmt: skip
        if not is_known:
            files, aside = store.files(generation.number), self._aside / str(generation.number)
            place_tree(generation.live, aside, lambda path: os.path.join(files, path), lambda _: True)
            described["entries"] = self._entries(aside, read_tree(aside))
        return described

    def _entries(self, folder: Path, tree: Tree) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for path, state in tree.items():
            place = os.path.join(folder, path)
            if state.kind == FOLDER:
                entries[path] = [FOLDER]
            elif state.kind == LINK:
                entries[path] = [LINK, os.readlink(place)]
            else:
                if state.inode not in self._indices:
                    self._indices[state.inode] = len(self._sources)
                    self._sources.append(place)
                    self._states.append(state)
                    self._modes.append(os.stat(place).st_mode & 0o777)
                entries[path] = [FILE, self._indices[state.inode]]
        return entries

    def read(self, wanted: Sequence[Piece]) -> bytes:
        """The bytes of some pieces.

        Raises
        ------
        OSError
            A file was changed meanwhile, or is gone.
        """
        parts = []
        for index, offset, length in wanted:
            with open(self._sources[index], "rb") as file:
                data = os.pread(file.fileno(), length, offset)
                status = os.fstat(file.fileno())
            there = (status.st_ino, status.st_size, status.st_mtime_ns)
            if len(data) != length or there != tuple(self._states[index])[1:]:
                raise OSError(f"{self._sources[index]} was changed while it was read")
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        """Removes the second hard links."""
        shutil.rmtree(self._aside, ignore_errors=True)


class Arrival:
    """Checkpoints that are written as they were read elsewhere, and then put in place.

    Parameters
    ----------
    checkpoints
        The checkpoint folder here, to which no other process writes.
    aside
        A folder on the same disk that does not exist yet.
    bill
        Description of the checkpoints that will come.

    Attributes
    ----------
    needed
        Size of each file that has to be sent (bytes), by its index in the bill; the other files are already here.

    Raises
    ------
    OSError
        The disk has no room.
    ValueError
        The bill is not well formed.
    """

    def __init__(self, checkpoints: Path, aside: Path, bill: Bill) -> None:
        self._store = GenerationStore(checkpoints)
        self._checkpoints, self._aside = checkpoints, aside
        self._bill = check_bill(bill)
        self._files = aside / "files"
        self._here = {identity(found): found for found in self._store.generations() if self._store.is_sound(found)}
        lacking = [c.identity for c in self._bill.generations if c.entries is None and c.identity not in self._here]
        if lacking:
            raise OSError(f"a generation that was here is gone: {lacking[0][:20]}")
        shutil.rmtree(aside, ignore_errors=True)
        os.makedirs(self._files, mode=0o700)
        reused = self._reuse()
        self.needed = {index: size for index, (size, *_) in enumerate(self._bill.files) if index not in reused}
        for index in self.needed:
            with open(self._place(index), "xb"):
                pass

    def _place(self, index: int) -> str:
        return os.path.join(self._files, str(index))

    def _reuse(self) -> set[int]:
        """Takes files that are already here: those with the same path, size and time."""
        reused: set[int] = set()
        of_live = {entry[1] for entry in (self._bill.live or {}).values() if entry[0] == FILE}
        for coming in self._bill.generations:
            for path, entry in (coming.entries or {}).items():
                if entry[0] != FILE or entry[1] in reused or entry[1] in of_live:
                    continue
                for found in reversed(list(self._here.values())):
                    if self._is_alike(found.live.get(path), entry[1]):
                        with contextlib.suppress(OSError):
                            link_file(os.path.join(self._store.files(found.number), path), self._place(entry[1]))
                            reused.add(entry[1])
                            break
        for path, state in read_tree(self._checkpoints).items() if of_live else ():
            entry = (self._bill.live or {}).get(path, [FOLDER])
            if entry[0] == FILE and entry[1] not in reused and self._is_alike(state, entry[1]):
                with contextlib.suppress(OSError):
                    copy_file(os.path.join(self._checkpoints, path), self._place(entry[1]))
                    reused.add(entry[1])
        return reused

    def _is_alike(self, state: FileState | None, index: int) -> bool:
        size, mtime_ns, _ = self._bill.files[index]
        return state is not None and (state.kind, state.size, state.mtime_ns) == (FILE, size, mtime_ns)

    def write(self, written: Sequence[Piece], data: bytes) -> None:
        """Writes the bytes of some pieces.

        Raises
        ------
        OSError
            The disk has no room.
        ValueError
            The pieces are not those of the bill.
        """
        position = 0
        for index, offset, length in written:
            if index not in self.needed or offset < 0 or length < 0 or offset + length > self.needed[index]:
                raise ValueError(f"a piece must be one of the bill, but got {(index, offset, length)}")
            with open(self._place(index), "r+b") as file:
                file.seek(offset)
                file.write(data[position : position + length])
            position += length
        if position != len(data):
            raise ValueError(f"the pieces must have {position} bytes, but got {len(data)}")

    def commit(self) -> int | None:
        """Puts everything in place. Returns the number of the newest generation, if there is one.

        Raises
        ------
        OSError
            The disk has no room, or something is missing.
        """
        bill, store = self._bill, self._store
        for index, (size, mtime_ns, mode) in enumerate(bill.files):
            if os.path.getsize(self._place(index)) != size:
                raise OSError(f"a file must have {size} bytes, but {os.path.getsize(self._place(index))} were sent")
            if index in self.needed:
                os.chmod(self._place(index), mode | 0o600)
                os.utime(self._place(index), ns=(mtime_ns, mtime_ns))
        os.makedirs(store.folder, mode=0o700, exist_ok=True)
        for coming in bill.generations:
            if coming.entries is not None:
                aside = self._aside / f"generation-{coming.generation.number}"
                self._build(coming.entries, aside / "files")
                store.remove(coming.generation.number)
                store.put(coming.generation, aside)
        kept = {coming.generation.number for coming in bill.generations}
        for number in store.numbers():
            if number not in kept:
                store.remove(number)
        self._place_live()
        if bill.notes is not None:
            bill.notes.left = read_tree(self._checkpoints) if bill.left else None
            store.write_notes(bill.notes)
        self.close()
        return max(kept, default=None)

    def _place_live(self) -> None:
        bill, place = self._bill, self._checkpoints
        if bill.live_is is not None:
            newest = self._store.read(bill.live_is)
            if newest is None:
                raise OSError(f"generation {bill.live_is} does not exist")
            if newest.live != read_tree(place):
                self._store.restore(newest)
            return
        old = self._aside / "old"
        if bill.live is not None:
            self._build(bill.live, self._aside / "live")
        with contextlib.suppress(FileNotFoundError):
            os.rename(place, old)
        if bill.live is not None:
            os.rename(self._aside / "live", place)

    def _build(self, entries: Mapping[str, list[Any]], target: Path) -> None:
        os.makedirs(target, mode=0o700)
        here = os.path.abspath(self._checkpoints)
        for path, (kind, *what) in entries.items():
            place = os.path.join(target, path)
            if kind == FOLDER:
                os.mkdir(place)
            elif kind == LINK:  # an absolute link into the old folder must point into the new folder
                inside = what[0] == self._bill.folder or what[0].startswith(f"{self._bill.folder}/")
                os.symlink(here + what[0][len(self._bill.folder) :] if inside else what[0], place)
            else:
                link_file(self._place(what[0]), place)

    def close(self) -> None:
        """Removes everything that was not put in place."""
        shutil.rmtree(self._aside, ignore_errors=True)
