"""What somebody outside asks of the devices of a run: a file in its folder, and two signals."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PoolRequest:
    """How many devices are to be there, or which."""

    wanted: int | tuple[str, ...]
    reason: str = ""
    """Why, in words."""
    request: str | None = None
    """A name for it, which the answer in ``events.jsonl`` repeats."""


def parse_request(text: str) -> PoolRequest:
    """Reads a request: a number, as in ``2``, or an object with ``num_devices`` or ``devices``.

    Example
    -------
    >>> parse_request('{"devices": ["cpu0"], "reason": "maintenance"}')
    PoolRequest(wanted=('cpu0',), reason='maintenance', request=None)

    Raises
    ------
    ValueError
        It is none; the message says what it must be.
    """
    rule = 'the file must be a number of devices or {"num_devices": 2} or {"devices": ["0", "1"]}'
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError) as error:  # the latter for a thousand brackets
        raise ValueError(f"{rule}, but is {text.strip()[:100]!r}") from error
    if isinstance(values, int) and not isinstance(values, bool):
        return PoolRequest(values)
    if not isinstance(values, Mapping) or ("num_devices" in values) == ("devices" in values):
        raise ValueError(f"{rule}, but is {text.strip()[:100]!r}")
    wanted: Any = values.get("num_devices", values.get("devices"))
    if "devices" in values:
        if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
            raise ValueError(f"devices must be a list of names, but got {wanted!r}")
        wanted = tuple(wanted)
    elif isinstance(wanted, bool) or not isinstance(wanted, int):
        raise ValueError(f"num_devices must be an integer, but got {wanted!r}")
    request = values.get("request")
    return PoolRequest(wanted, str(values.get("reason", "")), None if request is None else str(request))


class RequestFile:
    """A file that may be written at any time; each version of it is one request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] | None = None

    def read_new(self) -> str | None:
        """The text of the file, if it is new; None if there is nothing new."""
        try:
            status = os.stat(self.path)
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
            if version == self._seen:
                return None
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        if not text.strip():
            return None  # it is being written
        self._seen = version
        return text


class PoolSignals:
    """SIGUSR1 asks for one device back, SIGUSR2 lets the run have one again.

    A signal is used only if nobody else handles or ignores it, and only by a tuner in the main thread. When the tuning
    ends, it has its default meaning again, unless somebody has taken it over meanwhile.
    """

    _MEANING = (("SIGUSR1", -1), ("SIGUSR2", 1))

    def __init__(self) -> None:
        self._change = 0
        self._taken: dict[int, Any] = {}

    def begin(self) -> None:
        """Begins to listen, where that takes nothing away from anybody."""
        if threading.current_thread() is not threading.main_thread():
            return
        for name, step in self._MEANING:
            number = getattr(signal, name)
            if number not in self._taken and signal.getsignal(number) is signal.SIG_DFL:
                handler = self._handler(step)
                signal.signal(number, handler)
                self._taken[number] = handler

    def end(self) -> None:
        """Listens no longer."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in self._taken.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, signal.SIG_DFL)
        self._taken.clear()

    def total(self) -> int:
        """Devices that were asked for less those that were given, by all signals so far; negative: to give back."""
        return self._change

    def _handler(self, step: int) -> Any:
        def handle(number: int, frame: FrameType | None) -> None:
            self._change += step  # nothing that could wait: it interrupts whatever the main thread does

        return handle

    def __getstate__(self) -> dict[str, Any]:
        return {"_change": 0, "_taken": {}}
