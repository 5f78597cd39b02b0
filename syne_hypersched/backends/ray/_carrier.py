"""The gateway's part in copies of checkpoints: it has one place read and another one write, and sees no byte itself.

Between two nodes, the pieces travel through Ray from one to the other. To and from the tuner's disk they pass through
the gateway, which is on its machine.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from syne_hypersched.backends.ray._depot import LOG, Depot
from syne_hypersched.backends.ray._messages import Message
from syne_hypersched.checkpoints.moving import Piece, pieces

#: Bytes of one message, and messages that are under way at a time.
CHUNK = 4 << 20
_WINDOW = 4


class CheckpointPlace(Protocol):
    """Where checkpoints are: a node, or the tuner's disk. What is read or written may be awaited later."""

    def ask(self, question: Message) -> Message:
        """An answer of its depot."""

    def read(self, copy: int, group: list[Piece]) -> Any:
        """Begins to read; returns the argument for :meth:`write` of another place."""

    def write(self, copy: int, group: list[Piece], data: Any) -> Any:
        """Begins to write; returns the argument for :meth:`wait`."""

    def wait(self, written: Any) -> None:
        """Waits until something is written."""


class TunersPlace:
    """The tuner's disk.

    Parameters
    ----------
    depot
        Its depot.
    fetch
        Returns the bytes that a node has read.
    """

    def __init__(self, depot: Depot, fetch: Callable[[Any], bytes]) -> None:
        self._depot, self._fetch = depot, fetch

    def ask(self, question: Message) -> Message:
        """See :class:`CheckpointPlace`."""
        return self._depot.answer(question)

    def read(self, copy: int, group: list[Piece]) -> bytes:
        """See :class:`CheckpointPlace`."""
        return self._depot.read(copy, group)

    def write(self, copy: int, group: list[Piece], data: Any) -> None:
        """See :class:`CheckpointPlace`."""
        self._depot.write(copy, group, data if isinstance(data, bytes) else self._fetch(data))

    def wait(self, written: Any) -> None:
        """See :class:`CheckpointPlace`."""


class _Carriage:
    """A copy that is under way."""

    def __init__(self, order: Message) -> None:
        self.order = order
        self.lock = threading.Lock()
        self.is_cancelled = self.is_told = self.is_put = False


class Carrier:
    """See the module. Each copy has a thread.

    Parameters
    ----------
    place_of
        The place of a name: that of a node, or ``""`` for the tuner. None: there is no such node.
    tell
        Called with ``{"event": "copied", "copy": ..., "error": ..., "newest": ..., "num_bytes": ..., "copy_s": ...}``.
    """

    def __init__(self, place_of: Callable[[str], CheckpointPlace | None], tell: Callable[[Message], object]) -> None:
        self._place_of, self._tell = place_of, tell
        self._lock = threading.Lock()
        self._copies: dict[int, _Carriage] = {}

    def carry(self, order: Message) -> None:
        """Begins a copy, or to remove one."""
        copy = _Carriage(order)
        with self._lock:
            self._copies[order["copy"]] = copy
        name = f"syne-hypersched-copy-{order['copy']}"
        threading.Thread(target=self._run, args=(copy,), name=name, daemon=True).start()

    def cancel(self, number: int) -> None:
        """Gives a copy up, unless it is being put in place; either way it is told of soon."""
        copy = self._copies.get(number)
        if copy is not None:
            with copy.lock:
                copy.is_cancelled = True
                if not copy.is_put:
                    self._end(copy, error="it was given up")

    def _run(self, copy: _Carriage) -> None:
        began = time.monotonic()
        places = [self._place_of(copy.order[name]) for name in ("source", "target")]
        done: Message = {}
        try:
            for name, place in zip(("source", "target"), places, strict=True):
                if place is None:
                    raise OSError(f"node {copy.order[name]} is not there")
            source, target = places
            assert source is not None
            assert target is not None
            done = self._carry(copy, source, target)
        except Exception as error:  # the tuner must know of any error
            done = {"error": (str(error).strip() or type(error).__name__).splitlines()[-1]}
        for place in places:
            with contextlib.suppress(Exception):  # the node may be lost
                if place is not None:
                    place.ask({"what": "end", "copy": copy.order["copy"]})
        with copy.lock:
            self._end(copy, **{"copy_s": time.monotonic() - began, **done})

    def _end(self, copy: _Carriage, **done: Any) -> None:
        with self._lock:
            self._copies.pop(copy.order["copy"], None)
        if not copy.is_told:
            copy.is_told = True
            self._tell({"event": "copied", "copy": copy.order["copy"], "error": "", "newest": None, **done})

    def _carry(self, copy: _Carriage, source: CheckpointPlace, target: CheckpointPlace) -> Message:
        order = copy.order
        about = {name: order[name] for name in ("copy", "home", "trial", "folder", "target")}
        if order["what"] == "forget":
            target.ask({"what": "forget", **about})
            return {}
        log = order["log"]
        known = target.ask({"what": "has", **about})["known"]
        offer = source.ask({"what": "offer", **about, "known": known, "with_live": order["with_live"], "log": log})
        needed = target.ask({"what": "begin", **about, "bill": offer["bill"], "log": log})
        sizes = {int(index): int(size) for index, size in needed["needed"]}
        num_bytes = sum(sizes.values())
        groups = self._groups(sizes, 0 if log is None else needed["log"], 0 if log is None else offer["log"])
        read: deque[tuple[list[Piece], Any]] = deque()
        written: deque[Any] = deque()
        for group in groups:
            if copy.is_cancelled:
                raise OSError("it was given up")
            read.append((group, source.read(order["copy"], group)))
            if len(read) >= _WINDOW:
                self._write(order["copy"], target, read, written)
        while read:
            self._write(order["copy"], target, read, written)
        while written:
            target.wait(written.popleft())
        with copy.lock:
            if copy.is_cancelled:
                raise OSError("it was given up")
            copy.is_put = True
        return {**target.ask({"what": "commit", **about}), "num_bytes": num_bytes}

    def _write(
        self, number: int, target: CheckpointPlace, read: deque[tuple[list[Piece], Any]], written: deque[Any]
    ) -> None:
        group, data = read.popleft()
        written.append(target.write(number, group, data))
        if len(written) >= _WINDOW:
            target.wait(written.popleft())

    def _groups(self, sizes: dict[int, int], log_here: int, log_there: int) -> Iterator[list[Piece]]:
        """The log first: the checkpoints may contain epochs that are reported in it."""
        for offset in range(log_here, log_there, CHUNK):
            yield [(LOG, offset, min(CHUNK, log_there - offset))]
        yield from pieces(sizes, CHUNK)
