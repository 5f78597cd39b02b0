"""The checkpoints of a trial on their way to another disk: its folder, its generations and what is noted of them.

A *bill* describes them as values that are sent as JSON. The bytes of the files follow in pieces, each file once however
many names it has. What comes from another machine is checked before anything is written: no entry lies outside the
trial's folder, or is reached through a symbolic link.

On the new disk files have other inode numbers. The trees in generations and notes are adapted, so that the next launch
finds its folder as whole, or as doubtful, as it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from syne_hypersched.checkpoints._files import FileState, Tree, copy_file, link_file, place_tree, read_tree
from syne_hypersched.checkpoints._store import Generation, GenerationStore, Notes, generation_of, notes_of, values_of

Bill = dict[str, Any]
Piece = tuple[int, int, int]
"""Bytes of a file: its index in the bill, and the offset and number of the bytes."""

_FILE, _FOLDER, _LINK = "file", "folder", "link"


def identity(generation: Generation) -> str:
    """What is the same for all copies of a generation, on whatever disk, and differs between generations."""
    entries = [
        (path, state.kind, *((state.size, state.mtime_ns) if state.kind == _FILE else ()))
        for path, state in sorted(generation.live.items())
    ]
    return json.dumps([generation.number, generation.launch, generation.after, generation.before, entries])


def pieces(sizes: Mapping[int, int], most_bytes: int) -> Iterator[list[Piece]]:
    """Divides files into groups of pieces.

    Parameters
    ----------
    sizes
        Number of bytes of each file, by its index; empty files are in no group.
    most_bytes
        Bytes of a group.
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
    """Checkpoints that are read, to be written elsewhere. What is read stays as it is until :meth:`close`.

    Parameters
    ----------
    checkpoints
        The checkpoint folder.
    aside
        A folder that does not exist, on the same disk: generations get second names there, so that they can be
        removed meanwhile.
    known
        Identities of generations that are there already.
    with_live
        Whether the checkpoint folder itself is to be read, to which nobody writes. Otherwise a trial that begins from
        the copy begins from the newest generation.

    Attributes
    ----------
    bill
        Description of all that is there.

    Raises
    ------
    OSError
        Something was changed meanwhile, or cannot be read.
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
            # A copy of what was taken while the trial trained has generations only.
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
            if state.kind == _FOLDER:
                entries[path] = [_FOLDER]
            elif state.kind == _LINK:
                entries[path] = [_LINK, os.readlink(place)]
            else:
                if state.inode not in self._indices:
                    self._indices[state.inode] = len(self._sources)
                    self._sources.append(place)
                    self._states.append(state)
                    self._modes.append(os.stat(place).st_mode & 0o777)
                entries[path] = [_FILE, self._indices[state.inode]]
        return entries

    def read(self, wanted: Sequence[Piece]) -> bytes:
        """The bytes of some pieces.

        Raises
        ------
        OSError
            A file was changed since, or is gone.
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
        """Gives back what was held."""
        shutil.rmtree(self._aside, ignore_errors=True)


@dataclass
class _Coming:
    """A generation of a bill."""

    identity: str
    generation: Generation
    entries: dict[str, list[Any]] | None
    """None: it is here already."""


@dataclass
class _Checked:
    """A bill whose entries can be written."""

    folder: str
    generations: list[_Coming]
    live: dict[str, list[Any]] | None
    live_is: int | None
    left: bool
    notes: Notes | None
    files: list[tuple[int, int, int]] = field(default_factory=list)


class Arrival:
    """Checkpoints that are written as they were read elsewhere, and then put in place.

    Parameters
    ----------
    checkpoints
        The checkpoint folder here, to which nobody else writes.
    aside
        A folder on the same disk that does not exist.
    bill
        What is to come.

    Attributes
    ----------
    needed
        Bytes of each file that has to be sent, by its index in the bill; others are here already.

    Raises
    ------
    OSError
        There is no room.
    ValueError
        The bill makes no sense.
    """

    def __init__(self, checkpoints: Path, aside: Path, bill: Bill) -> None:
        self._store = GenerationStore(checkpoints)
        self._checkpoints, self._aside = checkpoints, aside
        self._bill = _check(bill)
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
        """Takes files that are here already: of the same path, size and time."""
        reused: set[int] = set()
        of_live = {entry[1] for entry in (self._bill.live or {}).values() if entry[0] == _FILE}
        for coming in self._bill.generations:
            for path, entry in (coming.entries or {}).items():
                if entry[0] != _FILE or entry[1] in reused or entry[1] in of_live:
                    continue
                for found in reversed(list(self._here.values())):
                    if self._is_alike(found.live.get(path), entry[1]):
                        with contextlib.suppress(OSError):
                            link_file(os.path.join(self._store.files(found.number), path), self._place(entry[1]))
                            reused.add(entry[1])
                            break
        for path, state in read_tree(self._checkpoints).items() if of_live else ():
            entry = (self._bill.live or {}).get(path, [_FOLDER])
            if entry[0] == _FILE and entry[1] not in reused and self._is_alike(state, entry[1]):
                with contextlib.suppress(OSError):
                    copy_file(os.path.join(self._checkpoints, path), self._place(entry[1]))
                    reused.add(entry[1])
        return reused

    def _is_alike(self, state: FileState | None, index: int) -> bool:
        size, mtime_ns, _ = self._bill.files[index]
        return state is not None and (state.kind, state.size, state.mtime_ns) == (_FILE, size, mtime_ns)

    def write(self, written: Sequence[Piece], data: bytes) -> None:
        """Writes the bytes of some pieces.

        Raises
        ------
        OSError
            There is no room.
        ValueError
            They are not those of the bill.
        """
        position = 0
        for index, offset, length in written:
            if index not in self.needed or offset < 0 or length < 0 or offset + length > self.needed[index]:
                raise ValueError(f"a piece must be one of the bill, but is {(index, offset, length)}")
            with open(self._place(index), "r+b") as file:
                file.seek(offset)
                file.write(data[position : position + length])
            position += length
        if position != len(data):
            raise ValueError(f"{position} bytes must come, but {len(data)} have")

    def commit(self) -> int | None:
        """Puts everything in place; returns the number of the newest generation, if there is one.

        Raises
        ------
        OSError
            There is no room, or something is missing.
        """
        bill, store = self._bill, self._store
        for index, (size, mtime_ns, mode) in enumerate(bill.files):
            if os.path.getsize(self._place(index)) != size:
                raise OSError(f"{size} bytes of a file must have come, but {os.path.getsize(self._place(index))} have")
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
            store.note(bill.notes)
        self.close()
        return max(kept, default=None)

    def _place_live(self) -> None:
        bill, place = self._bill, self._checkpoints
        if bill.live_is is not None:
            newest = self._store.read(bill.live_is)
            if newest is None:
                raise OSError(f"generation {bill.live_is} is not there")
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
            if kind == _FOLDER:
                os.mkdir(place)
            elif kind == _LINK:  # one that leads into the folder by its whole path does so here
                inside = what[0] == self._bill.folder or what[0].startswith(f"{self._bill.folder}/")
                os.symlink(here + what[0][len(self._bill.folder) :] if inside else what[0], place)
            else:
                link_file(self._place(what[0]), place)

    def close(self) -> None:
        """Removes what was not put in place."""
        shutil.rmtree(self._aside, ignore_errors=True)


def _check(bill: Bill) -> _Checked:
    """A bill as values.

    Raises
    ------
    ValueError
        It makes no sense, or an entry is not inside the trial's folder.
    """
    try:
        files = [(int(size), int(mtime_ns), int(mode) & 0o777) for size, mtime_ns, mode in bill["files"]]
        if any(size < 0 for size, *_ in files):
            raise ValueError("a file must have at least 0 bytes")
        generations = [
            _Coming(
                str(described["identity"]),
                _elsewhere(generation_of(described["values"])),
                None if described["entries"] is None else _check_entries(described["entries"], len(files)),
            )
            for described in bill["generations"]
        ]
        live = None if bill["live"] is None else _check_entries(bill["live"], len(files))
        live_is = None if bill["live_is"] is None else int(bill["live_is"])
        notes = None if bill["notes"] is None else notes_of(bill["notes"])
        return _Checked(str(bill["folder"]), generations, live, live_is, bool(bill["left"]), notes, files)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a bill must describe checkpoints, but {error!r}") from None


def _elsewhere(generation: Generation) -> Generation:
    """The same without the inode numbers of its old disk."""
    return replace(generation, live={path: state._replace(inode=0) for path, state in generation.live.items()})


def _check_entries(entries: Mapping[str, list[Any]], num_files: int) -> dict[str, list[Any]]:
    checked: dict[str, list[Any]] = {}
    for path, entry in entries.items():
        parts = path.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise ValueError(f"an entry must lie inside the folder, but got {path!r}")
        above = "/".join(parts[:-1])
        if above and checked.get(above) != [_FOLDER]:
            raise ValueError(f"an entry must lie in a folder that is named before it, but got {path!r}")
        kind, what = entry[0] if entry else "", entry[1:]
        is_sound = {
            _FOLDER: what == [],
            _LINK: len(what) == 1 and isinstance(what[0], str) and "\0" not in what[0],
            _FILE: len(what) == 1 and type(what[0]) is int and 0 <= what[0] < num_files,
        }
        if not is_sound.get(kind, False):
            raise ValueError(f"an entry must be a file, a folder or a link, but {path!r} is {entry!r}")
        checked[path] = [kind, *what]
    return checked
