"""Numbers in the names of files.

``step-1`` and ``step-2`` are two checkpoints; ``shard-1`` and ``shard-2`` are two parts of one. The numbers of parts
restart with the next checkpoint. ``model-1-of-3`` shows how many parts there are.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

_DIGITS = re.compile(r"\d+")
_PART = re.compile(r"(\d+)[-_ ]of[-_ ](\d+)")
#: Words before numbers that do not count parts: ``epoch-1-of-27`` is a whole checkpoint.
_COUNTED = re.compile("epoch|step|iter|round", re.IGNORECASE)


@functools.lru_cache(maxsize=1 << 16)
def pattern_of(path: str) -> str:
    """A path without its numbers, which may differ between saves."""
    return _DIGITS.sub("#", path)


def has_digits(path: str) -> bool:
    """Whether there is a number in a path."""
    return _DIGITS.search(path) is not None


def has_name(path: str, paths: Iterable[str]) -> bool:
    """Whether one of the paths has the same name as ``path`` or lies below such a name. Numbers are ignored."""
    above = f"{pattern_of(path)}/"
    return any(f"{pattern_of(other)}/".startswith(above) for other in paths)


def is_of_same_numbers(path: str, other: str) -> bool:
    """Whether two names have the same numbers but differ in the rest."""
    return pattern_of(path) != pattern_of(other) and _numbers_of(path) == _numbers_of(other) != []


def starts_again(path: str, last: str) -> bool:
    """Whether one number is lower, and another one higher, than in the last name of the same pattern."""
    pairs = list(zip(_numbers_of(path), _numbers_of(last), strict=True))
    return any(number < other for number, other in pairs) and any(number > other for number, other in pairs)


def has_grown(path: str, before: str) -> bool:
    """Whether two names differ only in their single number, and this number has grown."""
    numbers, others = _numbers_of(path), _numbers_of(before)
    return pattern_of(path) == pattern_of(before) and len(numbers) == 1 and numbers > others


def lacks_parts(paths: Collection[str]) -> bool:
    """Whether there are fewer parts than one of their names says."""
    wholes = Counter(filter(None, map(whole_of, set(paths))))
    return any(num_parts < num for (_, num), num_parts in wholes.items())


def is_missing_part(path: str, paths: Collection[str]) -> bool:
    """Whether a name is a missing part of a checkpoint of which other parts exist."""
    whole = whole_of(path)
    return whole is not None and path not in paths and whole in map(whole_of, paths)


@functools.lru_cache(maxsize=1 << 16)
def whole_of(path: str) -> tuple[str, int] | None:
    """The whole that a file is a part of, and its number of parts; None if the file is not a part."""
    found = _PART.search(path)
    if found is None or _COUNTED.search(path.rpartition("/")[2]):
        return None
    return f"{path[: found.start(1)]}#{path[found.end(1) :]}", int(found[2])


def _numbers_of(path: str) -> list[int]:
    return [int(number) for number in _DIGITS.findall(path)]


def names_of(paths: Iterable[str]) -> Counter[str]:
    return Counter(map(pattern_of, paths))


def are_same(names: Counter[str], others: Counter[str] | None) -> bool:
    return others is not None and dict.__eq__(names, others)


def without(names: Counter[str], is_no_part: Callable[[str], bool]) -> Counter[str]:
    return Counter({name: n for name, n in names.items() if not is_no_part(name)})


def shape_of(paths: Sequence[str]) -> tuple[int, str]:
    """The number of files, and the name of the last one."""
    return len(paths), pattern_of(paths[-1]) if paths else ""


def may_alternate(files: list[str], before: list[str]) -> bool:
    """Whether as many files were written as before, and only the last one is the same."""
    return len(files) == len(before) > 1 and files[-1] == before[-1] and not set(files[:-1]) & set(before[:-1])
