"""Lines of Markdown tables: text on the left, numbers on the right."""

from __future__ import annotations

from collections.abc import Sequence


def header(first: str, columns: Sequence[str]) -> list[str]:
    """The two header lines of a table."""
    return [row(first, columns), "| --- |" + " ---: |" * len(columns)]


def row(first: str, cells: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {first} | " + " | ".join(cells) + " |"
