"""``events.jsonl``: one line for everything that happens to a trial's processes, the same for every elastic backend."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from syne_hypersched._wording import counted

logger = logging.getLogger(__name__)

DECISION = "decision"
"""The event with the reason for a decision of the scheduler: ``what`` was decided, the ``reason`` and the
``numbers``."""

DEVICE_CHANGES = ("prepare", "joined", "left", "abandon")
"""Events after which a trial that trains holds other devices than before, or the same."""

_MOST_KEPT = 100_000
"""Number of events for which there is no room that are kept in memory."""

REMOVE_CHECKPOINT = "remove_checkpoint"
"""The event for removed checkpoints of a trial, with ``bytes_freed``."""


class EventLog:
    """Appends events to a file; every line is written whole and at once, or not at all.

    If the file cannot be written, as on a full disk, a warning is logged once and the tuning goes on. Unwritten events
    are kept, and written before the next event once there is room. So no event in the file has an earlier event
    missing.

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
        self._fd: int | None = None
        self._warned = False
        #: Lines that could not be written yet.
        self._kept: deque[bytes] = deque()
        #: The line that was begun last, and the size of the file before it.
        self._begun: tuple[bytes, int] | None = None
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
            What happened: ``setup``, ``deadline`` (where it is known later than ``setup``), ``start``, ``resume``,
            ``launch`` (the devices are held from here), ``first_report``, ``resize`` (a wish), ``drain``, ``exit``
            (every process is reaped, the devices are free), ``retry`` (a launch has failed, another one follows),
            ``refuse`` (a wish for more devices than the trial can run on), ``wait`` (for room on the disk), ``pause``,
            ``stop``, ``complete``, ``fail``, ``best``, ``unpublished`` (a better report has no whole checkpoint),
            ``restore`` (an older checkpoint was put back), ``remove_checkpoint`` or :const:`DECISION`. While a trial
            trains: ``prepare`` (processes get ready to join it, and hold devices from here), ``ready``, ``joined``,
            ``left`` (processes have left, and their devices are free), ``withdraw`` (a newer order has come),
            ``abandon`` (those that got ready have ended, and their devices are free), ``unchanged`` (it has failed).
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
            if len(self._kept) < _MOST_KEPT:
                self._kept.append(json.dumps(line, default=str).encode() + b"\n")
            self._append_kept()

    def _append_kept(self) -> None:
        try:
            while self._kept:
                self._append(self._kept[0])
                self._kept.popleft()
        except OSError as error:
            if not self._warned:
                self._warned = True
                logger.warning(
                    "Cannot write %s: %s. Events are kept in memory until there is room, and missing there until then.",
                    self.path, error,
                )  # fmt: skip

    def _append(self, line: bytes) -> None:
        if self._fd is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._fd).st_size
        if self._begun is not None and self._begun[0] is line and size == self._begun[1] + len(line):
            return  # written already: Ctrl-C came before this was recorded
        self._begun = (line, size)
        written = os.write(self._fd, line)
        if written < len(line):
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Closes the file; a later event opens it again."""
        with self._lock:
            self._append_kept()
            if self._kept:
                logger.warning(
                    "%s lacks the last %s, for which there was no room: to readers, the run seems to go on.",
                    self.path, counted(len(self._kept), "event"),
                )  # fmt: skip
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def __getstate__(self) -> dict[str, Any]:
        own = ("_fd", "_kept", "_begun", "_lock")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._fd = None
        self._kept = deque()  # the other process writes the events that it has kept
        self._begun = None
        self._lock = threading.Lock()
