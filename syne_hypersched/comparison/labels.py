"""Positions of labels beside lines, such that no label hides another one."""

from __future__ import annotations

from collections.abc import Sequence


def apart(positions: Sequence[float], least: float) -> list[float]:
    """Positions with a minimum distance, in the same order and close to the original positions.

    Parameters
    ----------
    positions
        The original positions.
    least
        The minimum distance between two labels.
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    blocks: list[tuple[list[int], float]] = []
    for index in order:
        members, centre = [index], positions[index]
        # Neighbours that are too close are moved as one block, around the mean of their original positions.
        while blocks and centre - blocks[-1][1] < least * (len(members) + len(blocks[-1][0])) / 2 - 1e-12:
            members = blocks.pop()[0] + members
            centre = sum(positions[member] for member in members) / len(members)
        blocks.append((members, centre))
    places = [0.0] * len(positions)
    for members, centre in blocks:
        for number, member in enumerate(members):
            places[member] = centre + least * (number - (len(members) - 1) / 2)
    return places
