"""Starts the gateway, and compares what runs on the nodes with what runs here."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
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


def warn_of_versions(node: str, hello: Message) -> None:
    """Warns if a node has another version of this package or of Python than this process."""
    ours, theirs = (__version__, list(sys.version_info[:2])), (hello["version"], hello["python"])
    if ours != theirs:
        logger.warning(
            "Node %s has syne_hypersched %s and Python %s, the tuner %s and %s: use the same everywhere.", node,
            theirs[0], ".".join(map(str, theirs[1])), ours[0], ".".join(map(str, ours[1])),
        )  # fmt: skip
