"""Checks the *bill*: the description of a trial's checkpoints that are sent to another disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from syne_hypersched.checkpoints._generation import Generation, Notes, generation_of, notes_of

Bill = dict[str, Any]

FILE, FOLDER, LINK = "file", "folder", "link"


def identity(generation: Generation) -> str:
    """A text that is equal for all copies of a generation, on any disk, and differs between generations."""
    entries = [
        (path, state.kind, *((state.size, state.mtime_ns) if state.kind == FILE else ()))
        for path, state in sorted(generation.live.items())
    ]
    return json.dumps([generation.number, generation.launch, generation.after, generation.before, entries])


@dataclass
class Coming:
    """One generation that a bill describes."""

    identity: str
    generation: Generation
    entries: dict[str, list[Any]] | None
    """None: this generation is on this disk already."""


@dataclass
class CheckedBill:
    """A bill that has passed all checks, so that its entries can be written."""

    folder: str
    generations: list[Coming]
    live: dict[str, list[Any]] | None
    live_is: int | None
    left: bool
    notes: Notes | None
    files: list[tuple[int, int, int]] = field(default_factory=list)


def check_bill(bill: Bill) -> CheckedBill:
    """Checks a bill and returns its values.

    Raises
    ------
    ValueError
        The bill is not well formed, or an entry lies outside the trial's folder.
    """
    try:
        files = [(int(size), int(mtime_ns), int(mode) & 0o777) for size, mtime_ns, mode in bill["files"]]
        if any(size < 0 for size, *_ in files):
            raise ValueError("a file must have at least 0 bytes")
        generations = [
            Coming(
                str(described["identity"]),
                _elsewhere(generation_of(described["values"])),
                None if described["entries"] is None else _check_entries(described["entries"], len(files)),
            )
            for described in bill["generations"]
        ]
        live = None if bill["live"] is None else _check_entries(bill["live"], len(files))
        live_is = None if bill["live_is"] is None else int(bill["live_is"])
        notes = None if bill["notes"] is None else notes_of(bill["notes"])
        return CheckedBill(str(bill["folder"]), generations, live, live_is, bool(bill["left"]), notes, files)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a bill must describe checkpoints, but {error!r}") from None


def _elsewhere(generation: Generation) -> Generation:
    """The same generation without inode numbers, which were those of its old disk."""
    return replace(generation, live={path: state._replace(inode=0) for path, state in generation.live.items()})


def _check_entries(entries: Mapping[str, list[Any]], num_files: int) -> dict[str, list[Any]]:
    checked: dict[str, list[Any]] = {}
    for path, entry in entries.items():
        parts = path.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise ValueError(f"an entry must lie inside the folder, but got {path!r}")
        above = "/".join(parts[:-1])
        if above and checked.get(above) != [FOLDER]:
            raise ValueError(f"an entry must lie in a folder that is named before it, but got {path!r}")
        kind, what = entry[0] if entry else "", entry[1:]
        is_sound = {
            FOLDER: what == [],
            LINK: len(what) == 1 and isinstance(what[0], str) and "\0" not in what[0],
            FILE: len(what) == 1 and type(what[0]) is int and 0 <= what[0] < num_files,
        }
        if not is_sound.get(kind, False):
            raise ValueError(f"an entry must be a file, a folder or a link, but {path!r} is {entry!r}")
        checked[path] = [kind, *what]
    return checked
