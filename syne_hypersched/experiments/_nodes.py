"""Devices by node, as their names say, and when they were there.

A device of a cluster is called ``NODE/NAME``. Devices of one machine have no node in their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from syne_hypersched._terminal_text import shown
from syne_hypersched._wording import counted, seconds_text
from syne_hypersched.backends.shared.pool_changes import FREED, JOIN, LOSE, RETIRE
from syne_hypersched.records.events import Event

SETUP = "setup"
"""The event with the devices at the start."""

NEW, RETIRED, DRAINED, LOST = "not there yet", "given back", "drained", "lost"
"""Why a device is away: it has not joined yet, it was given back, its node will leave, or it was lost."""

_NEIGHBOURS = 3
"""Least number of neighbours whose names are shortened to the first and the last one."""


def node_of(device: str) -> str:
    """The node of a device, empty if its name has none."""
    node, mark, _ = device.partition("/")
    return node if mark and not node.startswith("MIG-") else ""  # an instance of a GPU may have such a name


def natural(name: str) -> tuple[str | int, ...]:
    """A key that sorts names as people do: ``node2`` before ``node10``."""
    return tuple(int(part) if index % 2 else part for index, part in enumerate(re.split(r"(\d{1,18})", name)))


def by_node(devices: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The devices of each node, nodes and devices sorted by name; without nodes, as they come, under an empty name."""
    found: dict[str, list[str]] = {}
    for device in dict.fromkeys(devices):
        found.setdefault(node_of(device), []).append(device)
    return {
        node: tuple(sorted(found[node], key=natural) if node else found[node]) for node in sorted(found, key=natural)
    }


def in_order(devices: Iterable[str]) -> tuple[str, ...]:
    """The devices, those of a node together."""
    return tuple(device for of_node in by_node(devices).values() for device in of_node)


def num_nodes(devices: Iterable[str]) -> int:
    """How many nodes have some of the devices; 0 if they have no nodes."""
    return len({node_of(device) for device in devices} - {""})


def count_devices(devices: Sequence[str]) -> str:
    """Counts devices and their nodes, in words."""
    nodes, number = num_nodes(devices), len(devices)
    return counted(number, "device") + (f" on {counted(nodes, 'node')}" if nodes else "")


def ranges(devices: Iterable[str], everything: Iterable[str]) -> str:
    """Short text for names of devices.

    Parameters
    ----------
    devices
        The devices to name. Three and more neighbours are named by the first and the last one.
    everything
        All devices, in whose order they are neighbours. A node all of whose devices are to be named is named alone.
    """
    wanted, nodes = set(devices), by_node(everything)
    unknown = by_node(wanted.difference(*nodes.values()))
    nodes |= {node: (*nodes.get(node, ()), *names) for node, names in unknown.items()}
    is_whole = {node: node not in unknown and wanted.issuperset(names) for node, names in nodes.items() if node}
    names_of_nodes, parts = list(nodes), []
    for stretch in _stretches([index for index, node in enumerate(nodes) if is_whole.get(node)]):
        parts.append(_first_to_last([names_of_nodes[index] for index in stretch]))
    for node, names in nodes.items():
        if not is_whole.get(node):
            held = [index for index, device in enumerate(names) if device in wanted]
            parts += [_first_to_last([names[index] for index in stretch]) for stretch in _stretches(held)]
    return shown(", ".join(parts))


def _stretches(indices: Sequence[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for index in indices:
        if found and index == found[-1][-1] + 1:
            found[-1].append(index)
        else:
            found.append([index])
    return found


def _first_to_last(names: Sequence[str]) -> str:
    if len(names) < _NEIGHBOURS:
        return ", ".join(names)
    first, last = names[0], names[-1]
    node = node_of(first)
    return f"{first} to {last.removeprefix(f'{node}/') if node and node == node_of(last) else last}"


def why(reason: str, node: str) -> str:
    """A reason without the parts that the node's row already has."""
    for begin in (f"node {node} is lost", f"node {node} is to go", f"node {node} is there"):
        if reason.startswith(begin):
            return reason.removeprefix(begin).removeprefix(":").strip()
    return reason


@dataclass(frozen=True)
class Absence:
    """Devices that were unavailable for a while."""

    devices: tuple[str, ...]
    how: str
    """One of ``NEW``, ``RETIRED``, ``DRAINED`` and ``LOST``."""
    start_s: float
    end_s: float | None = None
    """When they joined; None: they have not."""
    reason: str = ""
    """Why they left, or why they joined if they were new."""


@dataclass
class Attendance:
    """Which devices there are, brought up to date with each event.

    Example
    -------
    >>> attendance = Attendance()
    >>> attendance.add(Event(0.0, "setup", devices=("a/0", "b/0")))
    >>> attendance.add(Event(9.0, "lose", devices=("b/0",), reason="node b is lost: its link is cut"))
    >>> attendance.absences()
    (Absence(devices=('b/0',), how='lost', start_s=9.0, end_s=None, reason='node b is lost: its link is cut'),)
    """

    devices: dict[str, None] = field(default_factory=dict)
    """All that were ever there, in the order in which they became known."""
    away: dict[str, Absence] = field(default_factory=dict)
    """Those that are not there now; a trial may hold them until its processes are gone."""
    going: set[str] = field(default_factory=set)
    """Those among them that are to go and are held still."""
    joined: dict[str, float] = field(default_factory=dict)
    """When those that were not there all the time have joined for the last time."""
    past: list[Absence] = field(default_factory=list)
    """Absences that are over."""

    def add(self, event: Event) -> None:
        """Adds an event; events of trials change nothing."""
        if event.trial_id is not None:
            return
        if event.event == SETUP:
            self.devices |= dict.fromkeys(event.devices)
        elif event.event == JOIN:
            self._join(event)
        elif event.event == LOSE:
            self._leave(event.devices, event.time_s, LOST, event.reason)
            self.going -= set(event.devices)
        elif event.event == RETIRE:
            for device in event.devices:
                how = DRAINED if event.reason == f"node {node_of(device)} is to go" else RETIRED
                self._leave((device,), event.time_s, how, event.reason)
            self.going |= set(event.devices)
        elif event.event == FREED:
            self.going -= set(event.devices)

    def _join(self, event: Event) -> None:
        if event.reason == "resume":  # these are all that there are
            gone = [device for device in self.devices if device not in (*event.devices, *self.away)]
            self._leave(gone, event.time_s, LOST, "not there when the run was resumed")
        for device in event.devices:
            before = self.away.pop(device, None)
            if before is not None:
                self.past.append(Absence((device,), before.how, before.start_s, event.time_s, before.reason))
            elif device not in self.devices and event.time_s > 0:
                self.past.append(Absence((device,), NEW, 0.0, event.time_s, event.reason))
            if before is not None or device not in self.devices:
                self.joined[device] = event.time_s
            self.devices[device] = None
        self.going -= set(event.devices)

    def _leave(self, devices: Iterable[str], time_s: float, how: str, reason: str) -> None:
        for device in devices:
            before = self.away.get(device)
            if before is not None and before.start_s < time_s:
                self.past.append(Absence((device,), before.how, before.start_s, time_s, before.reason))
            self.away[device] = Absence((device,), how, time_s, None, reason)

    def absences(self) -> tuple[Absence, ...]:
        """All absences, those of devices that came and went together as one."""
        found: dict[tuple[str, float, float | None, str], list[str]] = {}
        for one in (*self.past, *self.away.values()):
            found.setdefault((one.how, one.start_s, one.end_s, one.reason), []).extend(one.devices)
        made = [Absence(tuple(names), *key) for key, names in found.items()]
        return tuple(sorted(made, key=lambda one: one.start_s))


def attendance_of(events: Iterable[Event]) -> Attendance:
    """Which devices there are after all events."""
    attendance = Attendance()
    for event in events:
        attendance.add(event)
    return attendance


@dataclass(frozen=True)
class NodeState:
    """A node at a moment."""

    name: str
    num_devices: int
    num_held: int
    """Devices that trials hold."""
    num_free: int
    num_away: int
    """Devices that are away or leaving."""
    trials: str
    """Who holds how many, such as ``3 ×4, 5``."""
    story: str
    """When it joined, was lost or given back, and why; empty if it was there all the time."""

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """Sorts the important ones first: away, then with free devices, then newly joined."""
        return not self.num_away, not self.num_free, not self.story


def node_states(attendance: Attendance, holders: Mapping[str, int]) -> tuple[NodeState, ...]:
    """All nodes, sorted by name; none if devices have no nodes.

    Parameters
    ----------
    attendance
        Which devices there are.
    holders
        The trial that holds each device, free devices left out.
    """
    found = []
    for node, devices in by_node(attendance.devices).items():
        if not node:
            continue
        counts: dict[int, int] = {}
        for device in devices:
            if device in holders:
                counts[holders[device]] = counts.get(holders[device], 0) + 1
        away = [device for device in devices if device in attendance.away]
        held = sum(counts.values())
        free = sum(device not in holders and device not in attendance.away for device in devices)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        trials = ", ".join(f"{trial_id} ×{number}" if number > 1 else str(trial_id) for trial_id, number in ranked)
        found.append(NodeState(node, len(devices), held, free, len(away), trials, _story(node, devices, attendance)))
    return tuple(found)


def _story(node: str, devices: Sequence[str], attendance: Attendance) -> str:
    """The state of a node in a few words."""
    parts = []
    reasons: dict[tuple[str, float, str], list[str]] = {}
    for device in devices:
        gone = attendance.away.get(device)
        if gone is not None:
            how = "to go" if device in attendance.going else gone.how
            reasons.setdefault((how, gone.start_s, why(gone.reason, node)), []).append(device)
    for (how, start_s, reason), gone_devices in reasons.items():
        share = "" if len(gone_devices) == len(devices) else f"{len(gone_devices)} of {len(devices)} "
        since = "since" if how == "to go" else "at"
        parts.append(f"{share}{how} {since} {seconds_text(start_s)} s{f': {reason}' if reason else ''}")
    times = [attendance.joined[device] for device in devices if device in attendance.joined]
    if not parts and times:
        share = "" if len(times) == len(devices) else f"{len(times)} of {len(devices)} "
        was_away = any(past.how != NEW and not set(devices).isdisjoint(past.devices) for past in attendance.past)
        parts.append(f"{share}{'back' if was_away else 'joined'} at {seconds_text(max(times))} s")
    return "; ".join(parts)
