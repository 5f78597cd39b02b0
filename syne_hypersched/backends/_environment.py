"""What a training script sees of its devices: standard environment variables, nothing of ours."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from syne_hypersched.backends.discovery import Devices

#: Variables of torch.distributed, which a trial must not inherit from a launcher around the tuner.
_DISTRIBUTED = frozenset(
    {"RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
)


def rank_environments(
    devices: Devices, held: tuple[str, ...], per_device: bool, inherited: Mapping[str, str]
) -> list[tuple[dict[str, str], tuple[int, ...]]]:
    """Environment and CPU cores for each process of a launch.

    Parameters
    ----------
    devices
        All devices of the backend.
    held
        Those that the launch holds.
    per_device
        Whether each device gets a process of its own, with the environment of ``torch.distributed`` if there are
        several; else one process sees all of them.
    inherited
        Environment of the tuner.

    Returns
    -------
    list of (dict, tuple of int)
        One entry for each rank; no cores: the process is not pinned.
    """
    env = {name: value for name, value in inherited.items() if name not in _DISTRIBUTED}
    if devices.are_gpus:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(held)
    num_ranks = len(held) if per_device else 1
    if num_ranks > 1:
        env |= {"WORLD_SIZE": str(num_ranks), "LOCAL_WORLD_SIZE": str(num_ranks)}
        env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
        env.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all ranks are here, and a host name may not resolve
    ranks = []
    for rank in range(num_ranks):
        rank_env = dict(env)
        if num_ranks > 1:
            rank_env |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        own = held[rank : rank + 1] if per_device else held
        cores = tuple(sorted({core for device in own for core in devices.cores.get(device, ())}))
        if cores:
            rank_env["OMP_NUM_THREADS"] = str(len(cores))
        ranks.append((rank_env, cores))
    return ranks


def _free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
