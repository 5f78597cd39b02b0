"""Makes garbage collections rare during a simulation, above all full collections, which visit every object."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

RARE = 1000
"""Number of collections of the middle generation between two full ones; Python's default is 10."""

YOUNG = 10_000
"""Number of new objects between two collections of the youngest generation; Python's default is 700 to 2,000."""

MOST_SKIPPED = 10
"""Maximum number of simulations in a row without a full collection."""

_lock = threading.Lock()
_num_inside = 0
_before = gc.get_threshold()
#: Number of full collections so far, and number of simulations since the last one.
_num_full = _num_skipped = 0


@contextmanager
def rare_collections() -> Iterator[None]:
    """Makes collections of all generations rarer. A setting that is already rarer does not change.

    A simulation makes no garbage that only a full collection would find, but many objects that stay. Each time when
    these have grown by a fourth, Python would visit everything: this takes a fourth of the time of a simulation.
    Garbage of a searcher is found by the other collections, or by a full one that comes ten to a hundred times as late.
    Collections of the youngest generation visit new objects, nearly all of which stay: this takes another twentieth of
    the time.
    """
    global _num_inside, _before
    with _lock:
        _num_inside += 1
        if _num_inside == 1:
            _before = gc.get_threshold()
            # A threshold of 0 means that collections are off.
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
    """Delays the next full collection until the usual number of new objects exists.

    Otherwise it would come at once and visit all results, which stay, and everything else: this takes a tenth of the
    time of a simulation. The delay is not repeated too often, so that garbage in cycles is found after a few
    simulations.
    """
    global _num_full, _num_skipped
    num_full = gc.get_stats()[2]["collections"]
    _num_full, _num_skipped = num_full, _num_skipped + 1 if num_full == _num_full else 1
    if _num_skipped <= MOST_SKIPPED and not gc.get_freeze_count():
        gc.freeze()  # now there is one generation, and the counts are 0
        gc.unfreeze()  # ... and it becomes the oldest generation
