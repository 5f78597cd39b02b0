"""What a checkpoint of a script consists of, which one launch hands on to the next one.

A launch that does not know it must wait for a report or a pause before its first checkpoint is known to be complete,
and a thread that saves while the script reports leaves it in doubt for longer. Another number of processes may write
other files: a name may have the number of a process in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from syne_hypersched.checkpoints._numbers import has_digits, pattern_of


def layout_of(paths: Sequence[str], before: Collection[str]) -> list[str]:
    """Names of the files of a checkpoint, in order; their numbers are left out if they were others before.

    Empty if that is not certain: two files with one number each may be two checkpoints.

    Parameters
    ----------
    paths
        Files of the checkpoint.
    before
        Those of the checkpoint before, which had the same names.
    """
    names = [path if path in before else pattern_of(path) for path in paths]
    are_alike = any(number > 1 and name.count("#") == 1 for name, number in Counter(names).items())
    return [] if are_alike else names


def known_layout(layout: Sequence[str], num_processes: int, num_before: int) -> list[str]:
    """What is known of a checkpoint of a launch; empty if nothing is.

    Parameters
    ----------
    layout
        As :func:`layout_of` has found it in an earlier launch.
    num_processes, num_before
        Processes of this launch, and of that one.
    """
    if num_processes == num_before:
        return list(layout)
    # The one file whose only number grows with each checkpoint, or that has none, is not that of one process.
    has_one = len(layout) == 1 and layout[0].count("#") <= 1 and not has_digits(layout[0])
    return list(layout) if has_one else []
