"""Which trial held which devices, with start and end times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from syne_hypersched import checks
from syne_hypersched.backends.shared.events import DEVICE_CHANGES
from syne_hypersched.backends.shared.pool_changes import JOIN, LOSE, RETIRE
from syne_hypersched.experiments._nodes import SETUP
from syne_hypersched.records.events import Event

#: What functions take that are about events, in words.
SEVERAL_EVENTS = 'events, such as load_run("NAME").events'


@dataclass(frozen=True)
class Holding:
    """Devices held by one launch of a trial, from the first of its processes to the last.

    .. code-block:: python

        for holding in holdings(load_run("my-experiment").events):
            print(holding.trial_id, holding.devices, holding.start_s, holding.end_s)

    Attributes
    ----------
    trial_id
        The trial.
    launch
        Index of its launch, counted from 0.
    devices
        Names of the devices.
    start_s
        When it got them: seconds from the start of the tuning.
    end_s
        When every process had gone (s); None if the launch still runs or the record ends before.
    how
        How it ended: ``drained``, ``killed``, ``completed``, ``failed`` or ``lost``; ``changed`` if the launch went on
        on other devices.
    reason
        Why it ended: ``resize``, ``pause``, ``stop``, ``deadline``... as far as the backend said.
    """

    trial_id: int
    launch: int
    devices: tuple[str, ...]
    start_s: float
    end_s: float | None
    how: str = ""
    reason: str = ""

    @property
    def num_devices(self) -> int:
        """Number of devices held."""
        return len(self.devices)


def holdings(events: Iterable[Event]) -> tuple[Holding, ...]:
    """Every launch with the devices that it held, in order of launching; a part for each set of devices that it held.

    Parameters
    ----------
    events
        Events in the order in which they happened.

    Raises
    ------
    TypeError
        They are no events, but for example the name of an experiment.
    """
    events = checks.instances("events", events, Event, SEVERAL_EVENTS)
    found: dict[tuple[int, int], Holding] = {}
    earlier: list[Holding] = []
    for event in events:
        if event.trial_id is None or event.launch is None:
            continue
        key = (event.trial_id, event.launch)
        if event.event == "launch":
            found[key] = Holding(event.trial_id, event.launch, event.devices, event.time_s, None)
        elif event.event == "exit" and key in found:
            begun = found[key]
            found[key] = replace(begun, end_s=event.time_s, how=str(event.details.get("how", "")), reason=event.reason)
        elif event.event in DEVICE_CHANGES and key in found and set(event.devices) != set(found[key].devices):
            earlier.append(replace(found[key], end_s=event.time_s, how="changed", reason=event.event))
            found[key] = Holding(event.trial_id, event.launch, event.devices, event.time_s, None)
    held = [*earlier, *found.values()]
    return tuple(sorted(held, key=lambda holding: holding.start_s) if earlier else held)


def all_devices(events: Iterable[Event]) -> tuple[str, ...]:
    """Names of the devices of the start, and of those that have joined later; empty before the tuning has started."""
    devices: dict[str, None] = {}
    for event in events:
        if event.trial_id is None and (event.event == JOIN or (event.event == SETUP and not devices)):
            devices |= dict.fromkeys(event.devices)
    return tuple(devices)


def devices_over_time(events: Iterable[Event]) -> tuple[tuple[float, int], ...]:
    """Pairs of a time and the number of devices available from then on; retiring devices do not count."""
    numbers: list[tuple[float, int]] = []
    for event in events:
        if event.trial_id is not None:
            continue
        if event.event == SETUP and not numbers:
            numbers.append((event.time_s, int(event.details.get("present", len(event.devices)))))
        elif event.event in (JOIN, RETIRE, LOSE) and "present" in event.details:
            numbers.append((event.time_s, int(event.details["present"])))
    return tuple(numbers)


def last_moment_s(events: Iterable[Event]) -> float:
    """Time of the last event, 0 without events."""
    return max((event.time_s for event in events), default=0.0)
