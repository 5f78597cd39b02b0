"""How much CPU time the control groups of this process grant it, which containers and batch systems limit."""

from __future__ import annotations

import contextlib
from pathlib import Path

from syne_hypersched.backends.machine.control_groups import control_groups


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPU seconds that this process may use in a second; None: any.

    The least quota along the path of its group counts.

    Parameters
    ----------
    root
        Folder with ``proc`` and with what is mounted.
    """
    quotas = [quota for folder in control_groups("cpu", root) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _quota(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)  # "max" is no number
    with contextlib.suppress(OSError, ValueError):
        quota_us = int((folder / "cpu.cfs_quota_us").read_text())
        return quota_us / int((folder / "cpu.cfs_period_us").read_text()) if quota_us > 0 else None
    return None
