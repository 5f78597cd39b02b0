"""The folder of an agent on its node's own disk, and the processes that a dead agent has left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from syne_hypersched.launch import identify, is_here, is_same

#: File in a folder that names its process.
OWNER = "owner.json"
_PAUSE_S = 0.02


class Scratch:
    """See the module.

    Parameters
    ----------
    root
        Where the folders of all agents of this user are; by default in the system's folder for temporary files.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or Path(tempfile.gettempdir()) / f"syne-hypersched-{os.getuid()}"
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._root.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._root} belongs to another user: set TMPDIR")
        self.folder = self._root / uuid.uuid4().hex
        self.folder.mkdir(mode=0o700)
        (self.folder / OWNER).write_text(json.dumps(identify([os.getpid()])))

    def end_orphans(self, grace_s: float) -> None:
        """Waits until nothing writes to the folders of agents that have died, and removes these.

        What is there after ``grace_s`` seconds is killed: it was told to checkpoint and exit when its agent died.
        """
        dead = [folder for folder in self._root.iterdir() if folder != self.folder and is_dead(folder)]
        kill_at = time.monotonic() + grace_s
        while pids := [pid for pid, path in _outputs() if any(folder in path.parents for folder in dead)]:
            if time.monotonic() >= kill_at:
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(_PAUSE_S)
        for folder in dead:
            shutil.rmtree(folder, ignore_errors=True)

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def is_dead(folder: Path) -> bool:
    """Whether the owner of a folder is known not to exist any more."""
    try:
        owner = json.loads((folder / OWNER).read_text())
        ((pid, started),) = zip(owner["pids"], owner["start_ticks"], strict=True)
    except (OSError, ValueError, KeyError, TypeError):
        return False  # it is being made, or does not belong to us
    return is_here(owner) and not is_same(pid, started)


def _outputs() -> Iterator[tuple[int, Path]]:
    """All processes of this user, and where each one's standard output and error go."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            for descriptor in (1, 2):
                with contextlib.suppress(OSError):
                    yield int(name), Path(os.readlink(f"/proc/{name}/fd/{descriptor}"))
