"""Decides on numbers alone when a node's disk is too full for launches, and when copies of checkpoints are removed."""

from __future__ import annotations

from typing import Any

#: Hysteresis: a full node is used again once its free space is this multiple of the limit.
_AGAIN = 1.2
#: Copies that are also elsewhere are removed when the free space is below this multiple of the limit, or this share.
_TIGHT, _SHARE = 3.0, 0.1
#: While the disk is nearly full, the warning is repeated once in this many looks.
_EVERY = 5


class DiskWatch:
    """The messages about a disk, from its free space at each check.

    Parameters
    ----------
    min_free_mb
        Megabytes that a launch needs.
    """

    def __init__(self, min_free_mb: float) -> None:
        self._min_free_mb = min_free_mb
        self._is_full = False
        self._num_tight = 0

    def look(self, free_mb: float, total_mb: float) -> dict[str, Any] | None:
        """Tells whether it is full and whether it is tight, if that is new or has to be said again.

        Parameters
        ----------
        free_mb, total_mb
            Megabytes that are free, and of all.
        """
        was_full, was_tight = self._is_full, self._num_tight > 0
        least = self._min_free_mb * (_AGAIN if was_full else 1.0)
        self._is_full = free_mb < least
        share = 0.0 if total_mb == float("inf") else _SHARE * total_mb
        is_tight = free_mb < max(_TIGHT * self._min_free_mb, share)
        self._num_tight = self._num_tight + 1 if is_tight else 0
        says_again = is_tight and self._num_tight % _EVERY == 0
        if (self._is_full, is_tight) == (was_full, was_tight) and not says_again:
            return None
        return {"is_full": self._is_full, "is_tight": is_tight, "free_mb": free_mb, "min_free_mb": self._min_free_mb}
