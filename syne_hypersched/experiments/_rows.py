"""Trials and the devices that they hold, as rows that fit a height."""

from __future__ import annotations

from dataclasses import dataclass

from syne_hypersched._wording import counted, metric_text
from syne_hypersched.experiments._nodes import NodeState, num_nodes, ranges
from syne_hypersched.experiments._progress import Progress


@dataclass(frozen=True)
class TrialRow:
    """A trial that holds devices."""

    trial_id: int
    num_devices: int
    devices: str
    """Names of the devices, neighbouring ones as a range."""

    resource: str
    value: str
    launch: int
    note: str
    """``importing`` before the first report of a launch, ``draining`` after it was asked to exit, or empty."""

    is_best: bool


@dataclass(frozen=True)
class FoldedRows:
    """The rows that fit, and a line about the rest."""

    rows: tuple[TrialRow, ...]
    rest: str
    """The trials that have no row; empty if all have one."""

    free: str
    """The devices that no trial holds; empty if there are none."""

    nodes: tuple[NodeState, ...] = ()
    """Nodes of a cluster that have a row, sorted by name."""

    other_nodes: str = ""
    """The nodes that have no row; empty if all have one, or if there are no two nodes."""


def fold(progress: Progress, most_rows: int) -> FoldedRows:
    """The trials that hold devices, those with most of them first, and the nodes, in at most ``most_rows`` rows.

    If there is not room for all, nodes get up to half of the rows: those first that were lost or given back, then those
    with free devices, then those that have joined.

    Parameters
    ----------
    progress
        The state of the experiment.
    most_rows
        Rows that there is room for, at least 1; a line about the rest counts as one of them, and so does the header of
        the nodes.
    """
    nodes = progress.nodes if len(progress.nodes) > 1 else ()
    wanted = len(nodes) + 1 if nodes else 0
    most_of_nodes = min(wanted, max(most_rows // 2, most_rows - len(progress.live)))
    shown, other_nodes = _fold_nodes(nodes, most_of_nodes - 1)
    most_rows = max(1, most_rows - most_of_nodes)
    live = sorted(progress.live.items(), key=lambda item: (-len(item[1].devices), item[0]))
    num_shown = len(live) if len(live) <= most_rows else max(0, most_rows - 1)
    best = progress.incumbent
    rows = []
    for trial_id, trial in live[:num_shown]:
        report = progress.last_report.get(trial_id)
        note = "draining" if trial.draining else "importing" if not trial.has_reported else ""
        rows.append(
            TrialRow(
                trial_id=trial_id,
                num_devices=len(trial.devices),
                devices=_names(trial.devices, progress.devices),
                resource=f"{report.resource:g}" if report else "-",
                value=metric_text(report.value) if report else "-",
                launch=trial.launch,
                note=note,
                is_best=best is not None and best.trial_id == trial_id,
            )
        )
    left = live[num_shown:]
    held = sum(len(trial.devices) for _, trial in left)
    free, away = progress.unused
    return FoldedRows(
        rows=tuple(rows),
        rest=f"and {counted(len(left), 'more trial')} on {counted(held, 'device')}" if left else "",
        free=", ".join(
            f"{len(devices)} {what}: {ranges(devices, progress.devices)}"
            for what, devices in (("free", free), ("away", away))
            if devices
        ),
        nodes=shown,
        other_nodes=other_nodes,
    )


def _names(devices: tuple[str, ...], everything: tuple[str, ...]) -> str:
    number = num_nodes(devices)
    return f"{f'{number} nodes: ' if number > 1 else ''}{ranges(devices, everything)}"


def _fold_nodes(nodes: tuple[NodeState, ...], most_rows: int) -> tuple[tuple[NodeState, ...], str]:
    """The nodes that have a row, and a line about the others."""
    num_shown = len(nodes) if len(nodes) <= most_rows else max(0, most_rows - 1)
    ranked = sorted(nodes, key=lambda node: node.rank)  # stable: by name among equals
    shown, left = ranked[:num_shown], ranked[num_shown:]
    text = ""
    if left:
        counts = {
            "held": sum(node.num_held for node in left),
            "free": sum(node.num_free for node in left),
            "away": sum(node.num_away for node in left),
        }
        told = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
        text = f"{'and ' if shown else ''}{len(left)} {'more ' if shown else ''}nodes, devices: {told}"
    return tuple(node for node in nodes if node in shown), text
