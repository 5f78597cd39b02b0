"""Garbage collections are made rare while something runs, above all full ones, which visit every object."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

RARE = 1000
"""Collections of the middle generation between two full ones; Python's own number is 10."""

YOUNG = 10_000
"""New objects between two collections of the youngest generation; Python's own number is 700 to 2,000."""

MOST_SKIPPED = 10
"""Most simulations in turn after which no full collection is made."""

_lock = threading.Lock()
_num_inside = 0
_before = gc.get_threshold()
#: Full collections so far, and simulations since the last one.
_num_full = _num_skipped = 0


@contextmanager
def rare_collections() -> Iterator[None]:
    """Makes full collections rare and those of the youngest generation rarer; what is rarer already stays so.

    A simulation makes no garbage that only a full collection would find, but many objects that stay. Each time when
    these had grown by a fourth, everything would be visited: a fourth of the time of a simulation. What a searcher
    leaves behind is found by the other collections, or by a full one, ten to a hundred times as late. Collections of
    the youngest generation visit what has just been made, nearly all of which stays: another twentieth of the time.
    """
    global _num_inside, _before
    with _lock:
        _num_inside += 1
        if _num_inside == 1:
            _before = gc.get_threshold()
            # A threshold of 0 has switched collections off.
            gc.set_threshold(max(_before[0], YOUNG) if _before[0] else 0, _before[1], max(_before[2], RARE))
    try:
        yield
    finally:
        with _lock:
            _num_inside -= 1
            if _num_inside == 0:
                _take_as_old()
                gc.set_threshold(*_before)


def _take_as_old() -> None:
    """Has the next full collection come when as much is new as usual, rather than at once.

    It would visit all results, which stay, and everything else: a tenth of the time of a simulation. Not often in turn:
    what simulations leave behind in cycles is found after a few of them.
    """
    global _num_full, _num_skipped
    num_full = gc.get_stats()[2]["collections"]
    _num_full, _num_skipped = num_full, _num_skipped + 1 if num_full == _num_full else 1
    if _num_skipped <= MOST_SKIPPED and not gc.get_freeze_count():
        gc.freeze()  # all generations are one, and their counts are 0
        gc.unfreeze()  # ... the oldest one
