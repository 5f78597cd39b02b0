"""Reserves ports of a node for rank 0 of launches on several nodes."""

from __future__ import annotations

import socket


class Ports:
    """Keeps ports bound until a launch needs them."""

    def __init__(self) -> None:
        self._bound: dict[int, socket.socket] = {}

    def open(self, number: int) -> list[int]:
        """Binds this many new ports and returns them."""
        new = []
        for _ in range(number):
            bound = socket.socket()
            bound.bind(("", 0))
            self._bound[bound.getsockname()[1]] = bound
            new.append(int(bound.getsockname()[1]))
        return new

    def release(self, port: int) -> None:
        """Releases a port right before a rank listens on it."""
        bound = self._bound.pop(port, None)
        if bound is not None:
            bound.close()

    def close(self) -> None:
        """Releases all ports."""
        for port in list(self._bound):
            self.release(port)
