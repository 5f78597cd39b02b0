"""``events.jsonl``: one line for everything that happens to a trial's processes, the same for every elastic backend."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

EVENTS_FILENAME = "events.jsonl"
"""Name of the file, beside the tuner's results."""


class EventLog:
    """Appends events to a file; every line is written whole and at once.

    Parameters
    ----------
    path
        The file; created with its folder at the first event.
    clock
        Seconds since the tuning started, the ``time_s`` of an event.
    timestamp
        Seconds since the epoch, or ``None`` where there is no real time (a simulation).
    """

    def __init__(self, path: Path, clock: Callable[[], float], timestamp: Callable[[], float] | None = None) -> None:
        self.path = path
        self._clock = clock
        self._timestamp = timestamp
        self._file: TextIO | None = None
        self._lock = threading.Lock()

    def write(
        self,
        event: str,
        trial_id: int | None = None,
        devices: tuple[str, ...] = (),
        launch: int | None = None,
        reason: str = "",
        **details: Any,
    ) -> None:
        """Writes one event.

        Parameters
        ----------
        event
            What happened: ``setup``, ``start``, ``resume``, ``launch`` (the devices are held from here),
            ``first_report``, ``resize`` (a wish), ``drain``, ``exit`` (every process is reaped, the devices are free),
            ``pause``, ``stop``, ``complete``, ``fail`` or ``best``.
        trial_id, devices, launch
            Whom it concerns, the devices held, and the index of the launch.
        reason
            Why, in words.
        details
            Anything else; durations in seconds have the suffix ``_s``.
        """
        line: dict[str, Any] = {"time_s": round(self._clock(), 6)}
        if self._timestamp is not None:
            line["timestamp"] = self._timestamp()
        line |= {"trial_id": trial_id, "event": event, "num_devices": len(devices), "devices": list(devices)}
        line |= {"launch": launch, "reason": reason} | details
        with self._lock:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open(self.path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
            self._file.write(json.dumps(line, default=str) + "\n")

    def close(self) -> None:
        """Closes the file; a later event opens it again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_file", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._file = None
        self._lock = threading.Lock()
