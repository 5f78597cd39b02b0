"""How many examples property tests try."""

from __future__ import annotations

import os

#: Environment variable that has every property test try all of its examples; ``make test-slow`` sets it.
THOROUGH = "SYNE_HYPERSCHED_THOROUGH"

_SHARE, _LEAST = 4, 20


def examples(number: int) -> int:
    """A quarter of the examples of a property test, or all where they are few or :const:`THOROUGH` is set."""
    return number if os.environ.get(THOROUGH) else min(number, max(_LEAST, number // _SHARE))
