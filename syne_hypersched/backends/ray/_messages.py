"""Messages between tuner, gateway and agents: JSON, so that reading one executes nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from typing import Any

Message = dict[str, Any]

_SIZE = struct.Struct("!I")
#: Made once: :func:`json.dumps` would make another one for each message.
_ENCODER = json.JSONEncoder(separators=(",", ":"))


def pack(message: Message) -> bytes:
    """A message as bytes."""
    return _ENCODER.encode(message).encode()


def unpack(data: object) -> Message:
    """Decodes a message.

    Raises
    ------
    ValueError
        The bytes are no message.
    """
    if not isinstance(data, bytes):
        raise ValueError(f"a message must be bytes, but is a {type(data).__name__}")
    message = json.loads(data.decode())  # which spares guessing its encoding
    if not isinstance(message, dict):
        raise ValueError(f"a message must be an object, but is a {type(message).__name__}")
    return message


def text_of(data: bytes) -> str:
    """Any bytes as text that JSON can hold."""
    return data.decode("latin-1")


def bytes_of(text: str) -> bytes:
    """Inverse of :func:`text_of`."""
    return text.encode("latin-1")


class Link:
    """One end of a connection between tuner and gateway. Any thread may send; one thread receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = connection.makefile("rb", 1 << 16)  # small messages that have come together are read together
        self._lock = threading.Lock()

    def send(self, message: Message) -> bool:
        """Sends a message; returns False if the other side is gone."""
        data = pack(message)
        with self._lock, contextlib.suppress(OSError):
            self._connection.sendall(_SIZE.pack(len(data)) + data)
            return True
        return False

    def receive(self) -> Message | None:
        """The next message; None when the other side is gone."""
        head = self._take(_SIZE.size)
        data = None if head is None else self._take(_SIZE.unpack(head)[0])
        return None if data is None else unpack(data)

    def end(self) -> None:
        """Tells the other side that no message follows, so that :meth:`receive` soon returns None."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connection."""
        self._received.close()
        self._connection.close()

    def _take(self, size: int) -> bytes | None:
        try:
            data = self._received.read(size)
        except OSError:
            return None
        return data if len(data) == size else None
