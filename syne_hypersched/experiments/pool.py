"""Gives devices of a running experiment back, or lets it have them again, and waits until it has been done."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from syne_hypersched._console import cannot
from syne_hypersched._terminal_text import shown, shown_lines
from syne_hypersched._wording import counted
from syne_hypersched.backends.shared.pool_changes import FREED, JOIN, LOSE, RETIRE
from syne_hypersched.experiments._alive import tuner_is_alive
from syne_hypersched.experiments._nodes import SETUP, num_nodes, ranges
from syne_hypersched.filenames import EVENTS_FILENAME, POOL_FILENAME
from syne_hypersched.records.events import Event, EventReader
from syne_hypersched.records.find import find_run

_PAUSE_S = 0.05

ENDED = "the run has ended, or its tuner was killed: it will have all devices if it is resumed"
SIMULATED = "the run was simulated, and has ended: its devices are those of the simulator"


@dataclass
class PoolState:
    """The devices of a run, from its events.

    Example
    -------
    >>> state = PoolState()
    >>> state.add(Event(0.0, "setup", devices=("cpu0", "cpu1")))
    >>> state.add(Event(9.0, "retire", devices=("cpu1",)))
    >>> state.describe()
    '1 of 2 devices are there: cpu0; 1 is to go as soon as its trial has ended: cpu1'
    """

    devices: dict[str, None] = field(default_factory=dict)
    """All that were ever there."""
    away: dict[str, None] = field(default_factory=dict)
    """Those that are not to be used now."""
    going: dict[str, None] = field(default_factory=dict)
    """Those among them that trials hold still."""
    answers: dict[str, Event] = field(default_factory=dict)
    """The answers to requests, by name of the request."""
    is_simulated: bool = False
    """Whether the run is simulated."""

    def add(self, event: Event) -> None:
        """Adds an event."""
        if event.trial_id is not None:
            return
        if event.event in (SETUP, JOIN):
            self.is_simulated = self.is_simulated or event.details.get("mode") == "simulated"
            self.devices |= dict.fromkeys(event.devices)
            for device in event.devices if event.event == JOIN else ():
                self.away.pop(device, None)
                self.going.pop(device, None)
        elif event.event in (RETIRE, LOSE):
            self.away |= dict.fromkeys(event.devices)
            if event.event == RETIRE:
                self.going |= dict.fromkeys(event.devices)
        elif event.event == FREED:
            for device in event.devices:
                self.going.pop(device, None)
        elif event.event == "pool" and event.details.get("request") is not None:
            self.answers[str(event.details["request"])] = event

    def describe(self) -> str:
        """The state in words."""
        there = [device for device in self.devices if device not in self.away]
        text = f"{len(there)} of {counted(len(self.devices), 'device')} present"
        text += f": {self.names(there)}" if there else ""
        if self.going:
            are, its = ("is", "its trial has") if len(self.going) == 1 else ("are", "their trials have")
            text += f"; {len(self.going)} {are} to go as soon as {its} ended: {self.names(self.going)}"
        return text

    def names(self, devices: Iterable[str]) -> str:
        """Names of devices; those of a cluster in few words."""
        return ranges(devices, self.devices) if num_nodes(self.devices) else ", ".join(devices)


def write_request(folder: Path, wanted: int | Sequence[str], reason: str = "hypersched pool") -> str:
    """Asks a run for a number of devices, or for certain ones; returns the name of the request.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    request = uuid.uuid4().hex
    what = {"num_devices": wanted} if isinstance(wanted, int) else {"devices": list(wanted)}
    aside = folder / f".{POOL_FILENAME}.{request}"
    aside.write_text(json.dumps({**what, "reason": reason, "request": request}), encoding="utf-8")
    os.replace(aside, folder / POOL_FILENAME)
    return request


def wait_until_done(
    reader: EventReader,
    state: PoolState,
    request: str,
    timeout_s: float,
    pause: Callable[[float], None] = time.sleep,
    has_ended: Callable[[], bool] = lambda: False,
) -> str:
    """Waits until a run has carried out a request; returns an error, or an empty text.

    Parameters
    ----------
    reader, state
        The events of the run, and what those that were read have told.
    request
        The name of the request.
    timeout_s
        Seconds to wait at most.
    pause
        Waits for some seconds.
    has_ended
        Whether the run is known to have ended.
    """
    give_up_at = time.monotonic() + timeout_s
    while True:
        is_over = has_ended()  # asked first: an answer from before is read below
        for event in reader.read_new():
            state.add(event)
        answer = state.answers.get(request)
        if answer is not None and not answer.details.get("is_done"):
            return answer.reason
        if answer is not None and not state.going:
            return ""
        if is_over:
            return ENDED
        if time.monotonic() >= give_up_at:
            break
        pause(_PAUSE_S)
    if answer is None:
        return (
            f"the run has not answered within {timeout_s:g} s: it does not run, or its backend has no devices to give "
            f"back. It will do so when it is resumed, unless {POOL_FILENAME} is removed from its folder"
        )
    return f"after {timeout_s:g} s trials still hold devices that will leave: {state.names(state.going)}"


def change_and_print(path: Path | str, wanted: int | Sequence[str] | None, timeout_s: float) -> int:
    """Changes the devices of a run, or only lists them; prints the result.

    Parameters
    ----------
    path
        The experiment's folder or name.
    wanted
        Number or names of the wanted devices; None: no change.
    timeout_s
        Seconds to wait for the run at most.

    Returns
    -------
    int
        0; 1 if the run has not carried out the request; 2 if there is no such run, or it accepts no requests.
    """
    try:
        folder = find_run(path, "run")
        reader, state = EventReader(folder / EVENTS_FILENAME, strict=False), PoolState()
        for event in reader.read_new():
            state.add(event)
        if not state.devices:
            raise ValueError(f"{folder} has no record of its devices: it has not started yet, or has another backend")
        ended, problem = _why_ended(folder, state), ""
        if wanted is not None:
            problem = ended or _ask(folder, reader, state, wanted, timeout_s)
    except (OSError, ValueError) as error:
        print(cannot("change the devices of", path, error, run="RUN"), file=sys.stderr)
        return 2
    if problem:
        print(f"{shown(path)}: {shown_lines(problem)}", file=sys.stderr)
        return 1
    print(f"{shown(path)}: {f'{ended}. At its end, ' if ended else ''}{shown_lines(state.describe())}")
    return 0


def _why_ended(folder: Path, state: PoolState) -> str:
    """Why a run has no devices to change; empty if it runs, or that cannot be known."""
    if state.is_simulated:
        return SIMULATED
    return ENDED if tuner_is_alive(folder) is False else ""


def _ask(folder: Path, reader: EventReader, state: PoolState, wanted: int | Sequence[str], timeout_s: float) -> str:
    request = write_request(folder, wanted)
    problem = wait_until_done(reader, state, request, timeout_s, time.sleep, lambda: tuner_is_alive(folder) is False)
    if problem == ENDED:
        _withdraw(folder / POOL_FILENAME, request)
    return problem


def _withdraw(path: Path, request: str) -> None:
    """Removes an unanswered request, so that a resumed run does not find it."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads(path.read_text(encoding="utf-8")).get("request") == request:
            path.unlink()
