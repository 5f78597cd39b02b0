"""Full garbage collections, which visit every object of the process, are made rare while something runs."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

RARE = 1000
"""Collections of the middle generation between two full ones; Python's own number is 10."""

_lock = threading.Lock()
_num_inside = 0
_before = gc.get_threshold()


@contextmanager
def rare_full_collections() -> Iterator[None]:
    """Makes full collections rare; the others, and what else has been set, stay as they are.

    A simulation makes no garbage that only a full collection would find, but many objects that stay. Each time when
    these had grown by a fourth, everything would be visited: a fourth of the time of a simulation. What a searcher
    leaves behind is found by the other collections, or by a full one, ten to a hundred times as late.
    """
    global _num_inside, _before
    with _lock:
        _num_inside += 1
        if _num_inside == 1:
            _before = gc.get_threshold()
            gc.set_threshold(_before[0], _before[1], max(_before[2], RARE))
    try:
        yield
    finally:
        with _lock:
            _num_inside -= 1
            if _num_inside == 0:
                gc.set_threshold(*_before)
