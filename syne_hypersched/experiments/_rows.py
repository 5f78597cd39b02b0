"""Who holds which devices, as rows that fit a height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    """The rows that fit, and what is left in a line."""

    rows: tuple[TrialRow, ...]
    rest: str
    """The trials that have no row; empty if all have one."""

    free: str
    """The devices that nobody holds; empty if there are none."""


def fold(progress: Progress, most_rows: int) -> FoldedRows:
    """The trials that hold devices, those with most of them first, in at most so many rows.

    Parameters
    ----------
    progress
        The state of the experiment.
    most_rows
        Rows that there is room for, at least 1; the line about the rest counts as one of them.
    """
    order = {device: index for index, device in enumerate(progress.devices)}
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
                devices=ranges(trial.devices, order),
                resource=f"{report.resource:g}" if report else "-",
                value=f"{report.value:.4f}" if report else "-",
                launch=trial.launch,
                note=note,
                is_best=best is not None and best.trial_id == trial_id,
            )
        )
    left = live[num_shown:]
    held = sum(len(trial.devices) for _, trial in left)
    holders = progress.holders
    unused = [device for device in progress.devices if device not in holders]
    away = [device for device in unused if device in progress.away]
    free = [device for device in unused if device not in progress.away]
    return FoldedRows(
        rows=tuple(rows),
        rest=f"and {len(left)} more trials on {held} devices" if left else "",
        free=", ".join(
            f"{len(devices)} {what}: {ranges(devices, order)}"
            for what, devices in (("free", free), ("away", away))
            if devices
        ),
    )


def ranges(devices: Sequence[str], order: dict[str, int]) -> str:
    """Names of devices; three and more neighbours, in the order given, as the first and the last one."""
    found: list[list[str]] = []
    for device in sorted(devices, key=lambda device: (order.get(device, len(order)), device)):
        is_next = bool(found) and order.get(device, -2) == order.get(found[-1][-1], -2) + 1
        if is_next:
            found[-1].append(device)
        else:
            found.append([device])
    return ", ".join(f"{part[0]} to {part[-1]}" if len(part) > 2 else ", ".join(part) for part in found)
