"""Starts the gateway, and compares the versions on the nodes with those here."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from syne_hypersched._version import __version__
from syne_hypersched.backends.ray._messages import Link, Message

logger = logging.getLogger(__name__)

#: Runs the gateway from the same files as this process, installed or not.
_BOOT = """\
import sys
sys.path.insert(0, {root!r})
from syne_hypersched.backends.ray._gateway import main
main({fd}, {pid})
"""


def start_gateway(log: Path | None) -> tuple[subprocess.Popen[bytes], Link]:
    """Starts a gateway, which waits for its settings.

    Parameters
    ----------
    log
        Where its output goes; None: nowhere.
    """
    ours, theirs = socket.socketpair()
    boot = _BOOT.format(root=str(Path(__file__).resolve().parents[3]), fd=theirs.fileno(), pid=os.getpid())
    output = subprocess.DEVNULL
    try:
        if log is not None:
            output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        process = subprocess.Popen(
            [sys.executable, "-c", boot], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            pass_fds=[theirs.fileno()], start_new_session=True,
        )  # fmt: skip
    finally:
        theirs.close()
        if output != subprocess.DEVNULL:
            os.close(output)
    return process, Link(ours)


def end_gateway(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """Waits for the end of a gateway that was told to end, and kills it after ``patience_s`` seconds."""
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def refusal(failure: Message, address: str) -> Exception:
    """The error that says why a cluster cannot be used.

    Parameters
    ----------
    failure
        The gateway's message.
    address
        The address from the user.
    """
    if failure["kind"] == "insecure":
        return PermissionError(
            f"the cluster must require a token, since anyone who reaches {failure['error']} can run code on it: start "
            "it with RAY_AUTH_MODE=token (docs/cluster.md), or use insecure=True on a network that is yours alone"
        )
    return ConnectionError(f"address must lead to a Ray cluster, but {address!r} does not: {failure['error']}")


def no_device(resource: str, timeout_s: float, reasons: Mapping[str, str]) -> ConnectionError:
    """The error that says why there is no device.

    Parameters
    ----------
    resource
        Name of the resource that counts as a device.
    timeout_s
        Seconds waited.
    reasons
        Why nodes with devices cannot be used.
    """
    why = "".join(f"; node {name}: {reason}" for name, reason in list(reasons.items())[:3])
    more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return ConnectionError(
        f"devices_of must name a resource of the cluster's nodes that is free, but no {resource!r} came within "
        f"{timeout_s:.0f} s{why}{more}"
    )


def warn_of_versions(node: str, hello: Message) -> None:
    """Warns if a node has another version of this package or of Python than this process."""
    ours, theirs = (__version__, list(sys.version_info[:2])), (hello["version"], hello["python"])
    if ours != theirs:
        logger.warning(
            "Node %s has syne_hypersched %s and Python %s, the tuner %s and %s: use the same everywhere.", node,
            theirs[0], ".".join(map(str, theirs[1])), ours[0], ".".join(map(str, ours[1])),
        )  # fmt: skip
