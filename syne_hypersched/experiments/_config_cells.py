"""Cells of a table of results as the values of configurations that they were."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_INTEGER = re.compile(r"[-+]?\d+")


def values_of_cells(cells: Sequence[str], domain: Any) -> list[Any]:
    """The values of a hyperparameter from the cells of a column.

    A table does not say whether ``None`` was a text, or an empty cell an empty one. The configuration space does.

    Parameters
    ----------
    cells
        The cells as texts, as they are in the file.
    domain
        The domain in the configuration space of ``metadata.json``: a constant, or an object with
        ``domain_cls`` and ``domain_kwargs``. An empty object means that it has nothing.

    Returns
    -------
    list
        For each cell the value of the domain that is written so; else, in a column of numbers or of truth values, what
        the cell says, and None if it is empty; else its text, and None if it is empty.
    """
    listed = _listed(domain)
    of_text = {_text_of(value): value for value in reversed(listed)}
    of_number = {value: value for value in listed if isinstance(value, (int, float)) and not isinstance(value, bool)}
    unknown = [cell for cell in set(cells) if cell and cell not in of_text]
    values: dict[str, Any] = {"": None}
    if all(cell in ("True", "False") for cell in unknown):
        values |= {cell: cell == "True" for cell in unknown}
    else:
        try:
            numbers = {cell: _number(cell, domain) for cell in unknown}
            # In a column with an empty cell, 16 is written as 16.0.
            values |= {cell: of_number.get(number, number) for cell, number in numbers.items()}
        except ValueError:
            values |= {cell: cell for cell in unknown}
    values |= of_text
    return [values[cell] for cell in cells]


def _listed(domain: Any) -> list[Any]:
    """The values of a constant or of a domain that lists them."""
    if not isinstance(domain, dict):
        return [domain]
    options = domain.get("domain_kwargs")
    categories = options.get("categories") if isinstance(options, dict) else None
    return categories if isinstance(categories, list) else []


def _text_of(value: Any) -> str:
    """How a value is written into a table."""
    return "" if value is None else str(value)


def _number(cell: str, domain: Any) -> int | float:
    if _INTEGER.fullmatch(cell):
        return int(cell)
    if "_" in cell:
        raise ValueError(f"cell must be a number, but is {cell!r}")  # Python would take 1_000
    number = float(cell)
    is_integer = isinstance(domain, dict) and domain.get("domain_cls") == "Integer" and number.is_integer()
    return int(number) if is_integer else number
