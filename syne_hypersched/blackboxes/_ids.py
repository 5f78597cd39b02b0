"""Finds columns of a table that look like an id and not like a hyperparameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LEAST_ROWS = 8
"""With fewer configurations than this, different values in all of them are no evidence."""


def id_columns(configurations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Hyperparameters with a different value in every configuration, like an id or a row number.

    Numbers that are not integers are ignored, since learning rates that are drawn at random also differ everywhere.

    Parameters
    ----------
    configurations
        The rows of a table, each with the same hyperparameters.
    """
    if len(configurations) < LEAST_ROWS:
        return []
    return [
        name
        for name in configurations[0]
        if all(_may_be_an_id(row[name]) for row in configurations)
        and len({row[name] for row in configurations}) == len(configurations)
    ]


def _may_be_an_id(value: object) -> bool:
    return isinstance(value, (str, int)) or (isinstance(value, float) and value.is_integer())
