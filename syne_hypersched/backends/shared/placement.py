"""On which nodes a trial runs: decided on the numbers of free devices alone."""

from __future__ import annotations

from collections.abc import Mapping


def place(free: Mapping[str, int], num_devices: int, one_node: bool = False) -> dict[str, int]:
    """The number of devices on each node for a launch, on as few nodes as possible.

    If one node suffices, the one with the fewest sufficient free devices is used, so that large launches find room
    later. Otherwise the nodes with the most free devices come first, and the last node is again the tightest fit. Among
    equal nodes the first is used.

    Example
    -------
    >>> place({"a": 4, "b": 2, "c": 3}, 2)
    {'b': 2}
    >>> place({"a": 4, "b": 2, "c": 3}, 6)
    {'a': 4, 'b': 2}

    Parameters
    ----------
    free
        Number of free devices of each node.
    num_devices
        Devices that the launch needs, at least 1.
    one_node
        Whether all must be of one node, as for a single process.

    Returns
    -------
    dict
        Devices by node, none of them 0; empty where there are not enough.
    """
    most_first = sorted((node for node in free if free[node] > 0), key=lambda node: -free[node])
    if num_devices < 1 or sum(free[node] for node in most_first) < num_devices:
        return {}
    placed: dict[str, int] = {}
    left = num_devices
    while left:
        enough = [node for node in most_first if free[node] >= left]
        if enough:
            # min() takes the first of equal nodes, and the sort above is stable.
            placed[min(enough, key=lambda node: free[node])] = left
            break
        if one_node:
            return {}
        placed[most_first[0]] = free[most_first[0]]
        left -= free[most_first.pop(0)]
    return placed


def most_at_once(free: Mapping[str, int], one_node: bool = False) -> int:
    """The most devices that one launch can get.

    Parameters
    ----------
    free
        Number of free devices of each node.
    one_node
        Whether all must be of one node.
    """
    counts = [number for number in free.values() if number > 0]
    return max(counts, default=0) if one_node else sum(counts)
