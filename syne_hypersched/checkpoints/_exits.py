"""What exit codes say about how processes have left that were asked to."""

from __future__ import annotations

import signal
from collections.abc import Collection, Sequence

from syne_hypersched.contract import EXIT_DRAINED

#: Exit codes of a process that has handled SIGTERM and says so: by its exit, or by dying of another SIGTERM.
_TERMINATED, _DIED = 128 + signal.SIGTERM, -signal.SIGTERM


def have_left(exit_codes: Sequence[int | None], handled: Collection[int]) -> tuple[bool, bool]:
    """Whether all processes have ended by themselves, and whether all have at least handled SIGTERM.

    Parameters
    ----------
    exit_codes
        Of the processes, negative for signals.
    handled
        Indices of the processes that had a handler for SIGTERM when they were sent it.
    """
    ends = list(enumerate(exit_codes))
    left = [code in (0, EXIT_DRAINED) or (code == _TERMINATED and index in handled) for index, code in ends]
    # Who handles SIGTERM and then dies of it may have had a thread that was writing.
    died = [code == _DIED and index in handled for index, code in ends]
    return all(left), all(map(any, zip(left, died, strict=True)))
