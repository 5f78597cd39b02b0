"""Reads ``events.jsonl``, of a finished run or of a run that still writes to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syne_hypersched import checks
from syne_hypersched._terminal_text import shown

_OWN_FIELDS = ("time_s", "event", "trial_id", "devices", "num_devices", "launch", "reason")


@dataclass(frozen=True)
class Event:
    """One line of ``events.jsonl``: something that happened to a trial's processes.

    >>> line = '{"time_s": 1.5, "event": "launch", "trial_id": 3, "devices": ["cpu:0"], "launch": 0}'
    >>> event = Event.from_line(line)
    >>> event.event, event.trial_id, event.devices
    ('launch', 3, ('cpu:0',))

    Attributes
    ----------
    time_s
        Seconds since the tuning started.
    event
        The kind of the event: ``launch``, ``exit``, ``resize``...; ``decision`` explains a decision of the scheduler.
    trial_id
        The trial; None for an event of the whole run.
    devices
        Names of the devices that the trial holds.
    launch
        Index of the launch, counted from 0 for each trial.
    reason
        Why the event happened.
    details
        All other entries of the line: ``how`` of an ``exit``, ``what`` and ``numbers`` of a ``decision``...
    """

    time_s: float
    event: str
    trial_id: int | None = None
    devices: tuple[str, ...] = ()
    launch: int | None = None
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_line(cls, line: str) -> Event:
        """Reads one line.

        Raises
        ------
        ValueError
            The line is not a JSON object with a number ``time_s`` and a string ``event``, or another entry has the
            wrong type, as in a damaged file.
        """
        try:
            values = json.loads(line)
            _check_types(values)
            return cls(
                time_s=float(values["time_s"]),
                event=str(values["event"]),
                trial_id=values.get("trial_id"),
                devices=tuple(values.get("devices", ())),
                launch=values.get("launch"),
                reason=values.get("reason", ""),
                details={name: value for name, value in values.items() if name not in _OWN_FIELDS},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                "a line must be a JSON object with a number 'time_s' and a string 'event', and may have integers "
                f"'trial_id' and 'launch', strings 'devices' and a string 'reason', but is {line!r}"
            ) from error


def _check_types(values: Any) -> None:
    for name in ("trial_id", "launch"):
        if type(values.get(name, 0)) not in (int, type(None)):
            raise TypeError(name)
    if not isinstance(values.get("reason", ""), str):
        raise TypeError("reason")
    devices = values.get("devices", ())
    if isinstance(devices, str) or not all(isinstance(device, str) for device in devices):
        raise TypeError("devices")


def describe_decision(event: Event) -> str:
    """A decision of the scheduler in one line: what, about which trial, and why.

    Parameters
    ----------
    event
        An event ``decision``.
    """
    what = event.details.get("what", "")
    whom = "admission" if what == "close" else f"trial {event.trial_id}"
    return f"{shown(what)} {whom}: {shown(event.reason)}"


class EventReader:
    """Reads events as they are written. Each call reads only the new lines, and not the whole file.

    .. code-block:: python

        reader = EventReader(tuner.tuner_path / "events.jsonl")
        for event in reader.read_new():  # call it again for what was written since
            print(event.time_s, event.event, event.trial_id)

    Parameters
    ----------
    path
        The file, which need not exist yet.
    strict
        Whether a line that is not an event is an error. Otherwise it is skipped, as after a crash or on a full disk.

    Attributes
    ----------
    num_left_out
        Number of lines skipped so far.
    """

    def __init__(self, path: Path | str, strict: bool = True) -> None:
        self.path = checks.path("path", path)
        self.strict = strict
        self.num_left_out = 0
        self._offset = 0
        self._num_lines = 0

    def read_new(self) -> tuple[Event, ...]:
        """The events written since the last call.

        A last line without a newline is being written, or was cut off when the writer died. The next call reads it.

        Raises
        ------
        ValueError
            With ``strict``, a whole line is not an event; the message has the file, the line number and the text.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return ()
        events = []
        for line in whole.decode("utf-8", errors="replace").split("\n") if newline else ():
            self._num_lines += 1
            try:
                events.append(Event.from_line(line))
            except ValueError as error:
                if not self.strict:
                    self.num_left_out += 1
                    continue
                raise ValueError(f"{self.path}, line {self._num_lines}: {error}") from error
        self._offset += len(whole) + len(newline)
        return tuple(events)


def read_events(path: Path | str) -> tuple[Event, ...]:
    """All events in a file, in the order in which they happened.

    Parameters
    ----------
    path
        The file ``events.jsonl``.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        A line is not an event, except for an unfinished last line.
    """
    path = checks.path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    return EventReader(path).read_new()
