"""Labels beside lines, which must not hide each other."""

from __future__ import annotations

from collections.abc import Sequence


def apart(positions: Sequence[float], least: float) -> list[float]:
    """Positions with a least distance between any two, in the same order and near to where they were.

    Parameters
    ----------
    positions
        Where the labels would be.
    least
        The least distance of two labels.
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    blocks: list[tuple[list[int], float]] = []
    for index in order:
        members, centre = [index], positions[index]
        # Neighbours that are too near are moved as one block, around the mean of where they were.
        while blocks and centre - blocks[-1][1] < least * (len(members) + len(blocks[-1][0])) / 2 - 1e-12:
            members = blocks.pop()[0] + members
            centre = sum(positions[member] for member in members) / len(members)
        blocks.append((members, centre))
    places = [0.0] * len(positions)
    for members, centre in blocks:
        for number, member in enumerate(members):
            places[member] = centre + least * (number - (len(members) - 1) / 2)
    return places
