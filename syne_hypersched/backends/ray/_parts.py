"""A launch on several nodes: which ranks run where, and how the launch has ended if its parts have ended so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from syne_hypersched.filenames import rank_log_name
from syne_hypersched.launch import LaunchExit, LaunchSpec, RankSpec


@dataclass(frozen=True)
class ClusterSpec(LaunchSpec):
    """A launch whose ranks have logs on the tuner's disk; each node makes the environments of its ranks.

    Attributes
    ----------
    devices
        Names of the devices, each ``NODE/NAME``.
    per_device
        Whether each device has a rank; else one process sees all of them.
    """

    devices: tuple[str, ...] = ()
    per_device: bool = True


@dataclass(frozen=True)
class NodePart:
    """The part of a launch that runs on one node."""

    node: str
    """The node."""
    devices: tuple[str, ...]
    """Names of its devices on that node, without the node."""
    first_rank: int
    """Rank of its first process."""
    num_ranks: int
    """Number of its processes."""


def node_of(device: str) -> str:
    """The node of a device, given its whole name."""
    return device.partition("/")[0]


def parts_of(devices: Sequence[str], per_device: bool) -> tuple[NodePart, ...]:
    """The parts of a launch. The node with the most devices is first and gets rank 0; equal nodes keep their order.

    Raises
    ------
    ValueError
        One process would need devices of several nodes.
    """
    by_node: dict[str, list[str]] = {}
    for device in devices:
        by_node.setdefault(node_of(device), []).append(device.partition("/")[2])
    if not per_device and len(by_node) > 1:
        raise ValueError(f"devices must be of one node for a single process, but got {list(devices)}")
    parts, rank = [], 0
    for node, names in sorted(by_node.items(), key=lambda item: -len(item[1])):
        num_ranks = len(names) if per_device else 1
        parts.append(NodePart(node, tuple(names), rank, num_ranks))
        rank += num_ranks
    return tuple(parts)


def merged(parts: Sequence[NodePart], exits: Mapping[int, LaunchExit], first: int | None) -> LaunchExit:
    """How a launch has ended.

    Parameters
    ----------
    parts
        All of its parts.
    exits
        Exits of the started parts, by position.
    first
        Position of the part that failed first by itself; None if no part did. The others were ended because of it.
        If a node is lost, it is no failure: ranks elsewhere fail when those of that node do not answer any more, long
        before the loss is known.
    """
    lost = any(exit_.lost for exit_ in exits.values())
    codes: list[int | None] = []
    for position, part in enumerate(parts):
        known = exits[position].exit_codes if position in exits else ()
        codes += [*known, *[None] * (part.num_ranks - len(known))]
    failed = None if first is None or lost else exits[first]
    rank = None if failed is None or failed.first_failed is None else parts[first or 0].first_rank + failed.first_failed
    beginning = exits.get(0)
    return LaunchExit(
        exit_codes=tuple(codes),
        first_failed=rank,
        drained=failed is None and any(exit_.drained for exit_ in exits.values()),
        killed=any(exit_.killed for exit_ in exits.values()),
        lost=lost,
        error=next((exit_.error for exit_ in exits.values() if exit_.error), ""),
        checkpoints=None if beginning is None else beginning.checkpoints,
    )


def has_failed(exit_: LaunchExit) -> bool:
    """Whether a part has failed by itself."""
    return not exit_.lost and (exit_.first_failed is not None or bool(exit_.error))


def lost_part(part: NodePart) -> LaunchExit:
    """How a part has ended on a node that was lost."""
    return LaunchExit((None,) * part.num_ranks, first_failed=None, drained=True, killed=True, lost=True)


def rank_specs(stdout: Path, stderr: Path, num_ranks: int) -> tuple[RankSpec, ...]:
    """The ranks of a launch, each with its logs beside those of rank 0."""

    def of_rank(log: Path, rank: int) -> str:
        return str(log.with_name(rank_log_name(log.name, rank)))

    return tuple(RankSpec({}, of_rank(stdout, rank), of_rank(stderr, rank)) for rank in range(num_ranks))
