"""Numbers in the names of files.

``step-1``, ``step-2`` are two checkpoints, ``shard-1``, ``shard-2`` two parts of one. The number of a part starts again
with the next checkpoint.
"""

from __future__ import annotations

import re

_DIGITS = re.compile(r"\d+")


def pattern_of(path: str) -> str:
    """A path without its numbers."""
    return _DIGITS.sub("#", path)


def is_of_same_numbers(path: str, other: str) -> bool:
    """Whether two names have the same numbers, and differ in the rest."""
    return pattern_of(path) != pattern_of(other) and _numbers_of(path) == _numbers_of(other) != []


def starts_again(path: str, last: str) -> bool:
    """Whether one number is lower and another one higher than in the last name of this pattern."""
    pairs = list(zip(_numbers_of(path), _numbers_of(last), strict=True))
    return any(number < other for number, other in pairs) and any(number > other for number, other in pairs)


def _numbers_of(path: str) -> list[int]:
    return [int(number) for number in _DIGITS.findall(path)]
