"""Decides on facts alone which nodes of a cluster get an agent, and their names. What is known of a node."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class NodeFacts:
    """The cluster's data about a node."""

    node_id: str
    """Its identity, which no other node ever has."""
    hostname: str
    """Name of the machine."""
    ip: str
    """Its address."""
    is_alive: bool
    """Whether the cluster takes it for alive."""
    num_devices: int
    """Number of devices for trials, without those that other jobs of the cluster hold."""
    is_draining: bool = False
    """Whether it is to go soon."""
    may_grow: bool = False
    """Whether another job may soon release more devices: an agent keeps its number of devices."""


@dataclass
class Node:
    """A node that has an agent."""

    name: str
    ip: str
    devices: tuple[str, ...] = ()
    """Names of its devices, each with the node's; empty until it is ready."""
    ports: list[int] = field(default_factory=list)
    """Ports that are kept for rank 0 of launches on several nodes."""
    is_ready: bool = False
    """Whether its server has imported the preloaded modules."""
    ahead_s: float = 0.0
    """How far its clock is ahead of the tuner's (s)."""
    is_in: bool = False
    """Whether it has passed the check of what trials need, and its devices are in the pool."""


def choose_nodes(
    facts: Sequence[NodeFacts],
    occupied: Collection[str],
    num_devices: int,
    num_there: int,
    num_wanted: int | None = None,
) -> list[tuple[NodeFacts, int]]:
    """The nodes that get an agent now, and the number of devices of each: the largest first, in a fixed order.

    Parameters
    ----------
    facts
        The nodes.
    occupied
        Identities of the nodes with an agent.
    num_devices
        The nominal number of devices, at most which are used; 0: any number.
    num_there
        Devices of the agents that there are.
    num_wanted
        No further node is chosen once there are this many devices; None: as many as ``num_devices`` allows.
    """
    chosen = []
    for fact in sorted(facts, key=lambda fact: (-fact.num_devices, fact.hostname, fact.node_id)):
        if fact.node_id in occupied or not fact.is_alive or fact.is_draining or not fact.num_devices:
            continue
        if num_wanted is not None and num_there >= num_wanted:
            break
        number = fact.num_devices if not num_devices else min(fact.num_devices, num_devices - num_there)
        if fact.may_grow and number == fact.num_devices:
            continue
        if number > 0:
            chosen.append((fact, number))
            num_there += number
    return chosen


def name_for(hostname: str, taken: Collection[str]) -> str:
    """A name for a node that no other one has: that of its machine, with a number if several have that."""
    name = hostname.replace("/", "-") or "node"
    number = 1
    while (found := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return found
