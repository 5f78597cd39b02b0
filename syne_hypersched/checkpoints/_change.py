"""One change of an entry of the checkpoint folder, and lists of changes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Change:
    """A change of an entry of the checkpoint folder."""

    kind: Literal["made", "created", "linked", "written", "closed", "moved", "moved away", "removed", "lost"]
    """``made``: an empty folder was made. ``linked``: a link was made, which is complete at once. ``lost``: the entry
    was finished before the watch began; with an empty path, events are missing and anything may have changed. A
    ``lost`` change may have happened at any moment before the events were read, as far as the kernel tells."""

    path: str = ""
    """The entry, relative to the folder."""

    is_empty: bool = False
    """Whether the file was closed before anything was written to it."""

    is_folder: bool = False
    """Whether the entry that was moved away is a folder."""


def split_at_reports(
    changes: Sequence[Change | None],
) -> tuple[Sequence[Change | None], Sequence[Change | None], Sequence[Change | None]]:
    """Splits changes at the first and after the last addition to the log (``None``).

    The log may have grown after a change, although both are read only now. So a change between two additions
    happened at some moment between the last known size of the log and its present size.
    """
    first = next((index for index, change in enumerate(changes) if change is None), len(changes))
    last = len(changes) - next((i for i, change in enumerate(reversed(changes)) if change is None), len(changes))
    return changes[:first], changes[first:last], changes[max(first, last) :]


def split_at_each_report(changes: Sequence[Change | None]) -> list[list[Change | None]]:
    """The changes before, between and after the additions to the log. Additions with no change in between are one."""
    parts: list[list[Change | None]] = [[]]
    is_added = False
    for change in changes:
        if change is not None:
            parts[-1].append(change)
        elif not is_added:
            parts.append([])
        is_added = change is None
    return parts


def read_with_size(
    read: Callable[[], list[Change | None]], size_of: Callable[[], int]
) -> tuple[list[Change | None], int]:
    """Reads changes, and the size of the log after the last change.

    Parameters
    ----------
    read
        Returns the changes since the last call.
    size_of
        Returns the present size of the log (bytes).
    """
    seen, size = read(), size_of()
    for _ in range(3):
        more = read()
        if not more:
            return seen, size
        seen, size = seen + more, size_of()
    return [*seen, None], size  # more may follow, and the next changes may be older than the reports


def as_linked(change: Change | None, paths: Collection[str]) -> Change | None:
    """A change; that of a new entry among ``paths``, which were complete at once, is ``linked``."""
    is_linked = change is not None and change.kind == "created" and change.path in paths
    return Change("linked", change.path) if change is not None and is_linked else change


def without_known(changes: Sequence[Change | None]) -> list[Change | None]:
    """Changes without the entries that only seemed to exist, or to be finished, before the watch began.

    An entry of a new folder that is made after the watch began, and before the folder is read, is found and reported.
    A file that is closed after the watch began, and before it is examined, was open when the watch began. An entry of a
    folder in a new folder may be found twice: with the outer folder, and when the inner one is reported.
    """
    #: Kind of the next change of each path, and of the next one that is no write.
    following: dict[str, str] = {}
    ends: dict[str, str] = {}
    left: list[Change | None] = []
    for change in reversed(_found_once(changes)):
        if change is not None:
            path, kind, come = change.path, change.kind, following.get(change.path)
            if (kind == "lost" and come in ("created", "moved")) or (kind == "written" and come == "created"):
                continue
            if kind == "lost" and ends.get(path) == "closed":
                change = Change("written", path)
            following[path] = kind
            if kind != "written":
                ends[path] = kind
        left.append(change)
    return left[::-1]


def _found_once(changes: Sequence[Change | None]) -> list[Change | None]:
    last: dict[str, str] = {}
    left: list[Change | None] = []
    for change in changes:
        if change is not None:
            if change.kind == "lost" == last.get(change.path):
                continue
            last[change.path] = change.kind
        left.append(change)
    return left


def without_ends(changes: Sequence[Change | None], filled: Collection[str]) -> list[Change | None]:
    """Changes without the first closing of (temporary) files that were made empty, closed, and written later.

    Files in ``filled`` were filled in a way that the kernel does not report.
    """
    left: list[Change | None] = []
    #: Kind of the next change of each path.
    following: dict[str, str] = {}
    for change in reversed(changes):
        if change is not None:
            if change.is_empty and following.get(change.path) == "written":
                continue
            following[change.path] = change.kind
            if change.is_empty and change.path in filled:
                change = Change("closed", change.path)
        left.append(change)
    return left[::-1]
