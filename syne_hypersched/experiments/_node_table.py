"""The table of nodes of a run: their devices, the share of time that trials held them, and their changes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from syne_hypersched._terminal_text import left, right, shown, width
from syne_hypersched._wording import counted, seconds_text
from syne_hypersched.experiments._nodes import (
    NEW,
    Attendance,
    attendance_of,
    by_node,
    count_devices,
    node_of,
    why,
)
from syne_hypersched.experiments._run import Run
from syne_hypersched.experiments._timeline import holdings, last_moment_s

#: Most nodes that have a row: those with changes first.
_MOST_NODES = 16
#: Most changes that are told of a node: the last ones.
_MOST_CHANGES = 4


@dataclass(frozen=True)
class NodeSummary:
    """A node of a cluster, as it was during a run."""

    name: str
    num_devices: int
    held: float
    """Share of the time that its devices were there in which trials held them."""
    num_trials: int
    """Trials that held some of them."""
    changes: tuple[str, ...]
    """What happened to it, such as ``lost at 12 s: its link is cut``."""


def summarise_nodes(run: Run) -> tuple[NodeSummary, ...]:
    """All nodes of a run, sorted by name; none if its devices have no nodes."""
    attendance, until_s = attendance_of(run.events), last_moment_s(run.events)
    changes = changes_of(attendance)
    there_s: dict[str, float] = defaultdict(float)
    for device in attendance.devices:
        there_s[node_of(device)] += until_s
    for absence in attendance.absences():
        for device in absence.devices:
            there_s[node_of(device)] -= (until_s if absence.end_s is None else absence.end_s) - absence.start_s
    held_s: dict[str, float] = defaultdict(float)
    trials: dict[str, set[int]] = defaultdict(set)
    for holding in holdings(run.events):
        for device in holding.devices:
            held_s[node_of(device)] += (until_s if holding.end_s is None else holding.end_s) - holding.start_s
            trials[node_of(device)].add(holding.trial_id)
    return tuple(
        NodeSummary(
            node, len(devices), min(1.0, held_s[node] / there_s[node]) if there_s[node] > 0 else 0.0,
            len(trials[node]), changes.get(node, ()),
        )
        for node, devices in by_node(attendance.devices).items() if node
    )  # fmt: skip


def changes_of(attendance: Attendance) -> dict[str, tuple[str, ...]]:
    """What happened to each node, in the order in which it happened; nodes to which nothing did are left out.

    Parameters
    ----------
    attendance
        Which devices were there when.
    """
    absences, nodes = attendance.absences(), by_node(attendance.devices)
    # A node may die while it retires; it has not come back in between.
    begins = {(device, absence.start_s) for absence in absences for device in absence.devices}
    told: dict[str, list[tuple[float, str, str]]] = defaultdict(list)
    for absence in absences:
        for node, some in by_node(absence.devices).items():
            share = "" if len(some) == len(nodes[node]) else f"{len(some)} of {len(nodes[node])} "
            if absence.how != NEW:
                said = f"{share}{absence.how} at {seconds_text(absence.start_s)} s"
                told[node].append((absence.start_s, said, why(absence.reason, node)))
            if absence.end_s is not None and (some[0], absence.end_s) not in begins:
                again = "joined" if absence.how == NEW else "back"
                told[node].append((absence.end_s, f"{share}{again} at {seconds_text(absence.end_s)} s", ""))
    return {
        node: tuple(f"{text}: {reason}" if reason else text for _, text, reason in sorted(of_node))
        for node, of_node in told.items()
    }


def describe_nodes(run: Run) -> str:
    """The table of nodes in words; empty if a run has no two nodes."""
    nodes = summarise_nodes(run)
    if len(nodes) < 2:
        return ""
    ranked = sorted(nodes, key=lambda node: not node.changes)
    listed = nodes if len(nodes) <= _MOST_NODES else [node for node in nodes if node in ranked[:_MOST_NODES]]
    rows = [("node", "devices", "held", "trials", "what happened")]
    for node in listed:
        earlier = ["..."] if len(node.changes) > _MOST_CHANGES else []
        happened = "; ".join([*earlier, *node.changes[-_MOST_CHANGES:]])
        rows.append(
            (shown(node.name), str(node.num_devices), f"{node.held:.0%}", str(node.num_trials), shown(happened))
        )
    widths = [max(width(row[column]) for row in rows) for column in range(4)]
    lines = [f"{count_devices(run.devices)}; held: share of the time that they were there"]
    for row in rows:
        cells = [left(row[0], widths[0]), *(right(row[column], widths[column]) for column in (1, 2, 3)), row[4]]
        lines.append("  ".join(cells).rstrip())
    others = [node for node in nodes if node not in listed]
    if others:
        devices = sum(node.num_devices for node in others)
        held = sum(node.held * node.num_devices for node in others) / devices
        what = "more changed" if any(node.changes for node in others) else "to which nothing happened"
        lines.append(
            f"... and {counted(len(others), 'node')} with {counted(devices, 'device')} {what}, held {held:.0%}"
        )
    return "\n".join(lines)
