"""The control groups of this process, with which containers and batch systems limit what it may use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def control_groups(controller: str, root: Path = Path("/")) -> Iterator[Path]:
    """Folders of the groups of this process that may limit a resource, and of those around them.

    A group is never granted more than those around it.

    Parameters
    ----------
    controller
        The resource, as the kernel names it: ``"cpu"`` or ``"memory"``.
    root
        Folder with ``proc`` and with what is mounted.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return
    # 4:cpu,cpuacct:/path; of the second version 0::/path
    paths = {name: path for _, names, path in (line.split(":", 2) for line in groups) for name in names.split(",")}
    for mount in mounts:
        fields, _, more = mount.partition(" - ")
        kind, _, options = more.split(" ", 2)
        of_kind = "" if kind == "cgroup2" else controller
        if of_kind in paths and (kind == "cgroup2" or (kind == "cgroup" and controller in options.split(","))):
            mounted, point = (_unescaped(field) for field in fields.split(" ")[3:5])
            folder = root / point.lstrip("/")
            for part in _below(paths[of_kind], mounted):
                yield folder
                folder /= part
            yield folder


def _below(path: str, mounted: str) -> tuple[str, ...]:
    """The way from the group that is mounted to another one; none if it cannot be seen from here, as in a container."""
    try:
        return PurePosixPath(path).relative_to(mounted).parts
    except ValueError:
        return ()


def _unescaped(field: str) -> str:
    """A path as the kernel writes it, with blanks and the like in octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda digits: chr(int(digits[1], 8)), field)
