"""The environment of the ranks of a launch on one of its nodes."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from syne_hypersched import variables
from syne_hypersched.backends.machine.discovery import Devices
from syne_hypersched.backends.machine.environment import rank_environments

#: What Ray sets in the environment of its workers and a trial must not inherit, beside ``RAY_*``.
_OF_RAY = ("OMP_NUM_THREADS", "PYTHONBREAKPOINT", "TF_CPP_MIN_LOG_LEVEL")


@dataclass(frozen=True)
class World:
    """The place of a node's ranks among all ranks of a launch."""

    size: int
    """Number of all ranks."""
    first_rank: int
    """Rank of the first one on this node."""
    node_rank: int
    """Index of this node among those of the launch."""
    num_nodes: int
    """Number of nodes of the launch."""
    master: tuple[str, int] | None
    """Address and port of rank 0; None: all ranks are on this node, which chooses both."""


def node_environment(environment: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """The environment that trials of a node inherit: the environment of the node's Ray worker, without Ray's variables.

    Parameters
    ----------
    environment
        The worker's environment, which contains the cluster's token.
    variables
        The user's variables for trials, which may include Ray's.
    """
    kept = {name: value for name, value in environment.items() if not name.startswith("RAY_") and name not in _OF_RAY}
    return {**kept, **variables}


def environments(
    devices: Devices,
    held: Sequence[str],
    per_device: bool,
    world: World,
    inherited: Mapping[str, str],
    interface: str | None,
) -> list[tuple[dict[str, str], tuple[int, ...]]]:
    """Environment and CPU cores of each rank on this node.

    Parameters
    ----------
    devices, held
        The devices of the node, and the ones that the launch holds.
    per_device
        Whether each device has a rank.
    world
        The place of these ranks.
    inherited
        Environment of the node, see :func:`node_environment`.
    interface
        Network interface with the node's address; None: not known.
    """
    ranks = rank_environments(devices, tuple(held), per_device, inherited)
    if world.master is None:
        return ranks
    address, port = world.master
    for local_rank, (env, _) in enumerate(ranks):
        env |= {
            variables.NUM_DEVICES: str(world.size),
            "WORLD_SIZE": str(world.size),
            "LOCAL_WORLD_SIZE": str(len(ranks)),
            "RANK": str(world.first_rank + local_rank),
            "LOCAL_RANK": str(local_rank),
            "NODE_RANK": str(world.node_rank),
            "GROUP_RANK": str(world.node_rank),
            "MASTER_ADDR": address,
            "MASTER_PORT": str(port),
        }
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            env.pop(name, None)  # that of ranks on one node is the loopback interface
            chosen = inherited.get(name, interface)
            if chosen:
                env[name] = chosen
    return ranks


def interface_of(ip: str) -> str | None:
    """The network interface of this machine that has an address; None if none has."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address.partition("%")[0] == ip for address in addresses):
            return str(name)
    return None


def is_routable(ip: str) -> bool:
    """Whether other machines may reach an address; True if it is no address but a name."""
    try:
        return not ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return True
