"""A TCP port for the ranks of a launch to meet at, which is likely to be free still when rank 0 listens on it."""

from __future__ import annotations

import random
import socket
from pathlib import Path

#: The kernel takes ports of this range for connections that ask for none: a free one may be taken at any moment.
_EPHEMERAL_PATH = Path("/proc/sys/net/ipv4/ip_local_port_range")
#: Where ports that nobody takes by chance begin. Ray gives its workers those from 10002 to 19999.
_FIRST = 20_000
#: So many ports are tried.
_TRIES = 100

_random = random.SystemRandom()  # not the numbers of a user's seed, which other tuners have, too


def free_port() -> int:
    """A port that is free now, outside of the kernel's range for connections where there is room below it."""
    below = _first_ephemeral()
    for _ in range(_TRIES if below > _FIRST else 0):
        port = _random.randrange(_FIRST, below)
        if _is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _first_ephemeral() -> int:
    try:
        return int(_EPHEMERAL_PATH.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))  # PyTorch listens on all network devices
        except OSError:
            return False
    return True
