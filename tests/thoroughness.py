"""How many examples property tests try, how often others repeat something, and which tests of a contract are quick."""

from __future__ import annotations

import os

#: Environment variable that has every property test try all of its examples; ``make test-slow`` sets it.
THOROUGH = "SYNE_HYPERSCHED_THOROUGH"

_SHARE, _LEAST = 6, 20


def is_thorough() -> bool:
    """Whether :const:`THOROUGH` is set."""
    return bool(os.environ.get(THOROUGH))


def examples(number: int) -> int:
    """A sixth of the examples of a property test, or all where they are few or :const:`THOROUGH` is set."""
    return number if is_thorough() else min(number, max(_LEAST, number // _SHARE))


def repetitions(all_of_them: int, few: int) -> int:
    """How often a test repeats what it does: seldom, or as often as it is worth where :const:`THOROUGH` is set."""
    return all_of_them if is_thorough() else few


def keep_only(tests: type, *names: str) -> None:
    """Leaves a class of tests, which inherits those of a contract, only a few of these."""
    missing = [name for name in names if not hasattr(tests, name)]
    assert not missing, f"{tests.__name__} has no {missing}"
    for name in dir(tests):
        if name.startswith("test_") and name not in names:
            setattr(tests, name, None)
