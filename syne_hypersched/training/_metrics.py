"""Checks the metrics of a report: values that JSON and a checkpoint keep unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

_RESERVED = "st_"
"""Prefix of Syne Tune's own entries, which its reporter refuses in a user's."""

MAX_LENGTH = 45_000
"""Characters of a report. Syne Tune's reporter refuses one of 50,000, to which it adds some of its own."""


def plain_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as numbers, booleans, texts, and lists and dictionaries of them.

    Tensors and arrays of no dimension, and numbers of any other kind, become numbers. Infinite numbers and NaN stay:
    the scheduler decides whether a loss of NaN is a failure.

    Raises
    ------
    TypeError
        A value is none of these.
    ValueError
        A name begins with ``st_``, or the report is too long.
    """
    for name in metrics:
        if name.startswith(_RESERVED):
            raise ValueError(f"{name} must be a name that does not begin with {_RESERVED!r}, which is Syne Tune's own")
    plain = {name: _plain(name, value) for name, value in metrics.items()}
    length = len(json.dumps(plain))
    if length > MAX_LENGTH:
        raise ValueError(f"a report must have at most {MAX_LENGTH} characters as JSON, but has {length}")
    return plain


def _plain(name: str, value: Any) -> Any:
    if hasattr(value, "ndim") and callable(getattr(value, "item", None)):  # a tensor, or a number of NumPy
        if value.ndim > 0:
            raise TypeError(
                f"{name} must be a single number, as value.mean() is, but got a {type(value).__name__} of shape "
                f"{tuple(value.shape)}"
            )
        return _plain(name, value.item())
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, (Real, Decimal)):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(f"{name}[{key!r}]", entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(f"{name}[{index}]", entry) for index, entry in enumerate(value)]
    raise TypeError(
        f"{name} must be a number, a tensor of no dimension, a boolean, a text, or a list or dictionary of them, but "
        f"got {'None' if value is None else type(value).__name__}"
    )


def checked_metrics(metrics: dict[str, Any]) -> tuple[dict[str, Any], Exception | None]:
    """The report, or its error, for all processes: if only one raised, the others would wait for it."""
    try:
        return plain_metrics(metrics), None
    except (TypeError, ValueError) as error:
        return {}, error
