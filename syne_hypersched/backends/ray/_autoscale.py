"""Decides how many devices to request from a cluster, and which nodes to release, on numbers alone.

Running and waiting trials determine how many devices can be used. This number is requested from the cluster, unless new
nodes would arrive too late for the deadline. When fewer devices have been used for a while, whole nodes are released.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Seconds for which a node's devices must have been unneeded before the node is released.
IDLE_NODE_S = 60.0
#: A node is worth asking for if the time left is this many times as long as nodes take to come.
_WORTH = 2.0


@dataclass(frozen=True)
class NodeUse:
    """A node of the pool."""

    num_devices: int
    """Its devices that are there."""
    num_held: int = 0
    """Those among them that trials hold."""


def devices_to_ask(
    num_nominal: int, num_present: int, num_wanted: int, left_s: float | None = None, start_s: float = 0.0
) -> int:
    """The number of devices to request from the cluster.

    Parameters
    ----------
    num_nominal
        Most devices that are used.
    num_present
        Devices that are there.
    num_wanted
        Number of devices that trials can use, including held ones.
    left_s
        Seconds until the deadline; None without a deadline.
    start_s
        Seconds from the request for a node until trials can use it, as far as known.

    Returns
    -------
    int
        At least 1: a tuning that goes on needs a device.

    Example
    -------
    >>> devices_to_ask(16, num_present=4, num_wanted=10)
    10
    >>> devices_to_ask(16, num_present=4, num_wanted=10, left_s=300.0, start_s=200.0)
    4
    """
    wanted = max(1, min(num_wanted, num_nominal))
    if wanted > num_present > 0 and left_s is not None and left_s < _WORTH * start_s:
        return num_present
    return wanted


def nodes_to_hand_back(nodes: Mapping[str, NodeUse], num_wanted: int, may_move: bool = True) -> tuple[str, ...]:
    """The nodes that can be released: those with the fewest held devices first, then the newest.

    Parameters
    ----------
    nodes
        The nodes of the pool, in the order in which they have come.
    num_wanted
        Devices that trials can use, held ones among them.
    may_move
        Whether nodes with running trials may be released; the trials then continue on other nodes.

    Example
    -------
    >>> nodes_to_hand_back({"a": NodeUse(8, 3), "b": NodeUse(8, 0), "c": NodeUse(8, 2)}, num_wanted=5)
    ('b', 'c')
    """
    num_left = sum(node.num_devices for node in nodes.values())
    given: list[str] = []
    newest_first = list(reversed(list(nodes.items())))
    for name, node in sorted(newest_first, key=lambda item: item[1].num_held):
        if node.num_held and not may_move:
            break
        if num_left - node.num_devices >= max(1, num_wanted):
            given.append(name)
            num_left -= node.num_devices
    return tuple(given)


@dataclass(frozen=True)
class ScaleOrder:
    """What is to be done."""

    ask: int
    """Devices that the cluster is asked for."""
    hand_back: tuple[str, ...] = ()
    """Nodes that are handed back."""


@dataclass
class Autoscaling:
    """Records the recent demand, and how long nodes take to arrive.

    Parameters
    ----------
    num_nominal
        Most devices that are used.
    idle_s
        Seconds for which nobody must have needed its devices before a node is handed back.
    """

    num_nominal: int
    idle_s: float = IDLE_NODE_S
    start_s: float = 0.0
    """The longest time that a node has taken to come."""
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)
    """Times and the number of devices that could be used until then; only those greater than all that follow."""
    _last: int | None = None
    _begun: float | None = None
    _asked_at: float | None = None

    def look(
        self, now: float, nodes: Mapping[str, NodeUse], num_wanted: int, left_s: float | None, may_move: bool = True
    ) -> ScaleOrder:
        """The next actions.

        Parameters
        ----------
        now
            The moment (s).
        nodes, num_wanted, left_s, may_move
            As in :func:`devices_to_ask` and :func:`nodes_to_hand_back`.
        """
        if self._begun is None:
            self._begun = now
        num_present = sum(node.num_devices for node in nodes.values())
        most = self._most_wanted(now, num_wanted)
        hand_back: tuple[str, ...] = ()
        if now - self._begun >= self.idle_s:
            hand_back = nodes_to_hand_back(nodes, most, may_move)
        num_kept = num_present - sum(nodes[name].num_devices for name in hand_back)
        ask = max(num_kept, devices_to_ask(self.num_nominal, num_kept, most, left_s, self.start_s))
        if ask <= num_present:
            self._asked_at = None
        elif self._asked_at is None:
            self._asked_at = now
        return ScaleOrder(ask, hand_back)

    def joined(self, now: float) -> None:
        """A node that was asked for can be used."""
        if self._asked_at is not None:
            self.start_s, self._asked_at = max(self.start_s, now - self._asked_at), now

    def _most_wanted(self, now: float, num_wanted: int) -> int:
        """The most devices that could be used in the last ``idle_s`` seconds."""
        for number in (num_wanted,) if self._last is None else (self._last, num_wanted):
            while self._wanted and self._wanted[-1][1] <= number:
                self._wanted.pop()
            self._wanted.append((now, number))
        while self._wanted[0][0] <= now - self.idle_s:
            self._wanted.popleft()
        self._last = num_wanted
        return self._wanted[0][1]
