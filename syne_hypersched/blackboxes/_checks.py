"""Checks of the arguments of a table of learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from syne_hypersched import checks
from syne_hypersched.blackboxes._curve import plain_number


def check_members(
    configurations: object, metrics: object, configuration_space: object, time_attr: object, elapsed_time_attr: object
) -> None:
    """Checks the types of the members of a table.

    Raises
    ------
    TypeError
        An argument has the wrong type; the message names it.
    ValueError
        There are no configurations.
    """
    if isinstance(configurations, (str, Mapping)) or not checks.is_iterable(configurations):
        raise TypeError(f"configurations must be a list of dictionaries, but got {configurations!r}")
    for index, row in enumerate(configurations):
        if not isinstance(row, Mapping):
            raise TypeError(f"configurations[{index}] must be a dictionary, but got {row!r}")
    if not len(list(configurations)):
        raise ValueError("configurations must name at least one configuration, but got none")
    for name, members in (("metrics", metrics), ("configuration_space", configuration_space)):
        if not isinstance(members, Mapping) and not (members is None and name == "configuration_space"):
            raise TypeError(f"{name} must be a dictionary, but got {members!r:.200}")
    for name, key in (("time_attr", time_attr), ("elapsed_time_attr", elapsed_time_attr)):
        if not isinstance(key, str) or not key:
            raise TypeError(f"{name} must be a name, but got {key!r}")


def check_words(name: object, description: object, speed_up: object, metrics: Mapping[Any, object]) -> None:
    """Checks the names of a table and of its metrics, and the type of its speed-ups.

    Raises
    ------
    TypeError
        An argument has the wrong type; the message names it.
    ValueError
        A name is empty.
    """
    checks.text("name", name)
    if not isinstance(description, str):
        raise TypeError(f"description must be a text, but got {description!r}")
    for metric in metrics:
        checks.text("metrics", metric, "a dictionary whose keys are names")
    if speed_up is not None and (
        not isinstance(speed_up, Sequence)
        or isinstance(speed_up, (str, bytes))
        or not all(each is None or isinstance(each, Mapping) for each in speed_up)
    ):
        raise TypeError(
            "speed_up must be a list with the speed-ups of each configuration by number of devices, such as "
            f"[{{1: 1.0, 2: 1.8}}], or None, but got {speed_up!r:.200}"
        )


def checked_levels(levels: object, num_levels: int) -> tuple[int | float, ...]:
    """The resource levels as Python numbers, as ``int`` if they are integral.

    Raises
    ------
    TypeError
        A level is not a number.
    ValueError
        They are not ``num_levels`` finite ascending numbers.
    """
    if isinstance(levels, str) or not checks.is_iterable(levels):
        raise TypeError(f"levels must be numbers, but got {levels!r}")
    given = list(levels)
    if not all(isinstance(level, Real) and not isinstance(level, bool) for level in given):
        raise TypeError(f"levels must be numbers, but got {given!r}")
    plain = tuple(plain_number(level) for level in given if math.isfinite(level))
    if not len(given) == len(plain) == num_levels or any(high <= low for low, high in pairwise(plain)):
        raise ValueError(f"levels must be {num_levels} ascending numbers, all finite, but got {given!r}")
    return plain


def curve_lengths(elapsed_s: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The number of levels of each curve.

    Raises
    ------
    ValueError
        A row has no curve, a curve has a gap, or times decrease; the message names the row.
    """
    known = np.isfinite(elapsed_s)
    lengths: npt.NDArray[np.int64] = known.sum(axis=2)
    gaps = known != (np.arange(elapsed_s.shape[2]) < lengths[:, :, np.newaxis])
    if gaps.any():
        row = int(np.argwhere(gaps)[0][0])
        raise ValueError(
            f"elapsed_s must be finite from the first level to the last one of a curve, but row {row} is not"
        )
    if not lengths.any(axis=1).all():
        row = int(np.argmin(lengths.any(axis=1)))
        raise ValueError(f"elapsed_s must have a curve for every row, but row {row} has none")
    steps = np.diff(elapsed_s.astype(np.float64), axis=2, prepend=0.0)
    wrong = np.argwhere(known & ~(steps >= 0))
    if len(wrong):
        row, seed, level = (int(i) for i in wrong[0])
        raise ValueError(
            f"elapsed_s must be at least 0 and never fall from level to level, but in row {row}, repetition {seed}, "
            f"position {level} it is {elapsed_s[row, seed, level]}"
        )
    return lengths
