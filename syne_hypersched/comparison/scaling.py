"""The scaling of a scenario: the name of a table, or a table written out."""

from __future__ import annotations

from collections.abc import Mapping

from syne_hypersched.allocation.scaling import PUBLISHED_SCALING, TableScaling
from syne_hypersched.comparison.names import unknown_name

SCALINGS = (*PUBLISHED_SCALING, "linear", "none", "measured")


def parse_scaling(text: str) -> str | dict[int, float]:
    """Parses a scaling: a name, or a table written as ``"1:1,2:1.8,4:3.1"``.

    Raises
    ------
    ValueError
        The text is neither a name nor a table.
    """
    if ":" not in text:
        if text not in SCALINGS:
            raise unknown_name("scaling", text, SCALINGS, "; or a table such as 1:1,2:1.8,4:3.1")
        return text
    try:
        pairs = [entry.split(":") for entry in text.split(",")]
        table = {int(devices): float(speed_up) for devices, speed_up in pairs}
    except ValueError:
        raise ValueError(f"a scaling table must be written as 1:1,2:1.8,4:3.1, but got {text!r}") from None
    TableScaling(table)  # raises if the table is invalid
    return table


def scaling_table(scaling: str | Mapping[int, float], num_devices: int) -> Mapping[int, float] | None:
    """The speed-ups that a scheduler can know in advance; None if they differ between configurations."""
    if not isinstance(scaling, str):
        return scaling
    tables = {"none": {1: 1.0}, "linear": {1: 1.0, num_devices: float(num_devices)}, **PUBLISHED_SCALING}
    return tables.get(scaling)
