"""How much CPU time the control groups of this process grant it, which containers and batch systems limit."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPU seconds that this process may use in a second; None: any.

    A group is never granted more than those around it, so the least quota along its path counts.

    Parameters
    ----------
    root
        Folder with ``proc`` and with what is mounted.
    """
    quotas = [quota for folder in _cpu_groups(root) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _cpu_groups(root: Path) -> Iterator[Path]:
    """Folders of the groups of this process that may limit its CPU time, and of those around them."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return
    # 4:cpu,cpuacct:/path; of the second version 0::/path
    paths = {
        controller: path
        for _, names, path in (line.split(":", 2) for line in groups)
        for controller in names.split(",")
    }
    for mount in mounts:
        fields, _, more = mount.partition(" - ")
        kind, _, options = more.split(" ", 2)
        controller = "" if kind == "cgroup2" else "cpu"
        if controller in paths and (kind == "cgroup2" or (kind == "cgroup" and "cpu" in options.split(","))):
            mounted, point = (_unescaped(field) for field in fields.split(" ")[3:5])
            folder = root / point.lstrip("/")
            for part in _below(paths[controller], mounted):
                yield folder
                folder /= part
            yield folder


def _below(path: str, mounted: str) -> tuple[str, ...]:
    """The way from the group that is mounted to another one; none if it cannot be seen from here, as in a container."""
    try:
        return PurePosixPath(path).relative_to(mounted).parts
    except ValueError:
        return ()


def _quota(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)  # "max" is no number
    with contextlib.suppress(OSError, ValueError):
        quota_us = int((folder / "cpu.cfs_quota_us").read_text())
        return quota_us / int((folder / "cpu.cfs_period_us").read_text()) if quota_us > 0 else None
    return None


def _unescaped(field: str) -> str:
    """A path as the kernel writes it, with blanks and the like in octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda digits: chr(int(digits[1], 8)), field)
