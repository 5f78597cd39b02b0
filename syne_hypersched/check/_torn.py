"""States in which a process that is killed during a save may leave its checkpoint folder.

Kills cannot be timed so exactly that every such state occurs. So the states are derived from the files before and after
a save, and from the order of its changes. Pure functions, except :func:`lay_out`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from syne_hypersched.checkpoints import Change


@dataclass(frozen=True)
class Piece:
    """A file of a state: the content of a stored file, or its first half."""

    source: str | None
    """The stored file; None: the file is empty."""
    is_half: bool = False


@dataclass(frozen=True)
class TornState:
    """A state that a kill may leave: its description, and its pieces by path."""

    what: str
    pieces: Mapping[str, Piece]
    folders: frozenset[str] = frozenset()


def files_below(folder: Path) -> dict[str, str]:
    """All files below a folder: absolute path by relative path."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            found[os.path.relpath(path, folder)] = path
    return found


def torn_states(
    before: Mapping[str, str], after: Mapping[str, str], sizes: Mapping[str, int], changes: Sequence[Change]
) -> list[TornState]:
    """The different kinds of states in the middle of a save, the worst ones first; none if every save is atomic.

    Parameters
    ----------
    before, after
        Files by relative path, before and after the save.
    sizes
        Sizes of the files in ``after`` (bytes).
    changes
        The changes during the save, in order.
    """
    if any(change.kind == "lost" and not change.path for change in changes):
        return []  # events are missing
    found: dict[str, TornState] = {}
    largest = -1
    for place, pieces, folders in _states(before, after, changes):
        in_place = {path for path in pieces if path in after}
        halves = [path for path in in_place if pieces[path].is_half or pieces[path].source is None]
        size = max((sizes.get(path, 0) for path in halves), default=0)
        if halves and size > max(largest, 0):
            largest = size
            found["half"] = TornState(f"{', '.join(sorted(halves))} half written", pieces, folders)
        elif not halves:
            new = {path for path in in_place if pieces[path].source == after[path]}
            old = {path for path in before if path in pieces and pieces[path].source == before[path]}
            changed = {path for path in after if path not in before or path in _touched(changes)}
            if not in_place and not old and before:
                found.setdefault(
                    "none", TornState("the old checkpoint removed, the new one not there", pieces, folders)
                )
            elif new & changed and changed - new and place < len(changes):
                words = f"{', '.join(sorted(new & changed))} new, {', '.join(sorted(changed - new))} not yet"
                found.setdefault("mixed", TornState(words, pieces, folders))
    return list(found.values())


def _touched(changes: Sequence[Change]) -> set[str]:
    return {change.path for change in changes}


def _states(
    before: Mapping[str, str], after: Mapping[str, str], changes: Sequence[Change]
) -> Iterator[tuple[int, dict[str, Piece], frozenset[str]]]:
    """The states after each change that are certain: number of the change, files and folders."""
    pieces = {path: Piece(source) for path, source in before.items()}
    folders: set[str] = set()
    leaving: dict[str, Piece] = {}
    unsure: set[str] = set()  # paths with unknown content, because something was moved there
    for index, change in enumerate(changes):
        path, kind, later = change.path, change.kind, changes[index + 1 :]
        if kind == "made":
            folders.add(path)
        elif kind == "created":
            pieces[path] = Piece(None)
        elif kind in ("written", "closed", "lost"):
            if kind != "lost" or path in after:  # otherwise it may be a folder
                source = _final(path, after, later) or before.get(path)
                pieces[path] = Piece(source, is_half=kind == "written")
        else:
            gone = {other[len(path) :]: pieces.pop(other) for other in list(pieces) if _is_in(other, path)}
            folders = {folder for folder in folders if not _is_in(folder, path)}
            unsure = {other for other in unsure if not _is_in(other, path)}
            if kind == "moved away":
                leaving = gone
                if later and later[0].kind == "moved":
                    continue  # the file arrives at the same moment
            elif kind == "moved":
                pieces |= {f"{path}{rest}": piece for rest, piece in _moved(path, leaving, after, later).items()}
                if not any(_is_in(other, path) for other in pieces):
                    unsure.add(path)
                leaving = {}
        if not unsure and not _may_lack(pieces, after, later):
            yield index + 1, dict(pieces), frozenset(folders)


def _moved(
    path: str, leaving: Mapping[str, Piece], after: Mapping[str, str], later: Sequence[Change]
) -> Mapping[str, Piece]:
    """The files that were moved to a path: those that are there after the save, unless the path changes later.

    The first changes in a new folder may be missed, because they come before the folder is watched.
    """
    if any(_is_in(change.path, path) or _is_in(path, change.path) for change in later):
        return leaving
    return {other[len(path) :]: Piece(source) for other, source in after.items() if _is_in(other, path)}


def _may_lack(pieces: Mapping[str, Piece], after: Mapping[str, str], later: Sequence[Change]) -> bool:
    """Whether a file may already exist although it was not seen: no later change makes it."""
    for path in after:
        if path not in pieces:
            kinds = (
                change.kind
                for change in later
                if change.path == path or (change.kind == "moved" and _is_in(path, change.path))
            )
            if next(kinds, "") not in ("created", "moved"):
                return True
    return False


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _final(path: str, after: Mapping[str, str], later: Sequence[Change]) -> str | None:
    """The stored file with the content that is now written to a path, even if it is moved later; None: unknown."""
    for index, change in enumerate(later):
        if change.kind == "moved away" and _is_in(path, change.path):
            if index + 1 < len(later) and later[index + 1].kind == "moved":
                path = f"{later[index + 1].path}{path[len(change.path) :]}"
            else:
                return None
    return after.get(path)


def lay_out(state: TornState, folder: Path) -> None:
    """Writes a state to a folder, which must not exist."""
    folder.mkdir(parents=True)
    for name in state.folders:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, piece in state.pieces.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if piece.source is None:
            path.touch()
            continue
        shutil.copyfile(piece.source, path)
        if piece.is_half:
            os.truncate(path, path.stat().st_size // 2)
