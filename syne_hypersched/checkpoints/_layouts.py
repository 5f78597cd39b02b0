"""The *layout* of a script's checkpoint: the names of its files. One launch passes it on to the next one.

A launch that does not know the layout must wait for a report or a pause before its first checkpoint is known to be
complete. If a thread saves while the script reports, that takes longer. With another number of processes the files may
differ, since a name may contain the number of a process.

Some files are closed several times during one save, for example because a library adds to them. They are marked in the
layout, because the checkpoint may not be complete when such a file is closed for the first time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from syne_hypersched.checkpoints._numbers import has_digits, pattern_of

#: Behind a name of a file that is closed several times during one save. No name of a file contains this character.
_REOPENED = "\0"


def marked(layout: Sequence[str], reopened: Collection[str]) -> list[str]:
    """A layout in which some names (without numbers) are marked: those of files that are closed several times."""
    return [f"{name}{_REOPENED}" if pattern_of(name) in reopened else name for name in layout]


def unmarked(layout: Sequence[str]) -> tuple[list[str], set[str]]:
    """The names of a layout without marks, and the marked ones without numbers; see :func:`marked`."""
    reopened = {pattern_of(name.rstrip(_REOPENED)) for name in layout if name.endswith(_REOPENED)}
    return [name.rstrip(_REOPENED) for name in layout], reopened


def layout_of(paths: Sequence[str], before: Collection[str]) -> list[str]:
    """Names of the files of a checkpoint, in order. Numbers that differ from the previous checkpoint are left out.

    Empty if the layout is not certain: two files with one number each may be two checkpoints.

    Parameters
    ----------
    paths
        Files of the checkpoint.
    before
        Files of the previous checkpoint, which had the same names.
    """
    names = [path if path in before else pattern_of(path) for path in paths]
    are_alike = any(number > 1 and name.count("#") == 1 for name, number in Counter(names).items())
    return [] if are_alike else names


def known_layout(layout: Sequence[str], num_processes: int, num_before: int) -> list[str]:
    """The layout that a launch can rely on; empty if there is none.

    Parameters
    ----------
    layout
        The layout that an earlier launch found, see :func:`layout_of`.
    num_processes, num_before
        Number of processes of this launch, and of the earlier one.
    """
    if num_processes == num_before:
        return list(layout)
    # A single file without a number, or with one number that grows with each checkpoint, is not that of one process.
    has_one = len(layout) == 1 and layout[0].count("#") <= 1 and not has_digits(layout[0])
    return list(layout) if has_one else []
