"""Where an agent keeps the checkpoints of trials if nodes share no folder: under the same path on all nodes.

Scripts may write the path of their checkpoints into these. So the path depends on the experiment alone, unless
another agent on the same machine uses it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import tempfile
import threading
from pathlib import Path

from syne_hypersched.backends.ray._scratch import OWNER, is_dead
from syne_hypersched.launch import identify

_NAME = re.compile(r"[0-9a-f]{1,64}")


class Homes:
    """See the module. Any thread may call.

    Parameters
    ----------
    root
        Folder on the node's disk for all experiments; by default the system's folder for temporary files.

    Attributes
    ----------
    root
        The folder of this user in it.
    """

    def __init__(self, root: str | None = None) -> None:
        self.root = Path(root or tempfile.gettempdir()) / f"syne-hypersched-{os.getuid()}"
        self._lock = threading.Lock()
        self._claimed: dict[str, Path] = {}

    def of(self, name: str) -> Path:
        """The folder of an experiment, which is empty at first, and removed at the end.

        Raises
        ------
        OSError
            It cannot be made.
        ValueError
            The name is not one of an experiment.
        """
        with self._lock:
            if name not in self._claimed:
                if not _NAME.fullmatch(name):
                    raise ValueError(f"home must be hexadecimal digits, but got {name!r}")
                self._claimed[name] = self._claim(name)
            return self._claimed[name]

    def check(self) -> None:
        """Checks that folders can be made.

        Raises
        ------
        OSError
            They cannot.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.root.stat().st_uid != os.getuid():
            raise PermissionError(f"{self.root} belongs to another user: set node_path")
        os.rmdir(tempfile.mkdtemp(prefix=".probe-", dir=self.root))

    def _claim(self, name: str) -> Path:
        self.check()
        for number in itertools.count(1):
            folder = self.root / (name if number == 1 else f"{name}-{number}")
            if is_dead(folder):
                shutil.rmtree(folder, ignore_errors=True)
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                continue
            (folder / OWNER).write_text(json.dumps(identify([os.getpid()])))
            return folder
        raise AssertionError  # there is always a free number

    def clean(self) -> None:
        """Removes the files of dead agents, to which no process writes any more."""
        if self.root.is_dir():
            for folder in self.root.iterdir():
                if is_dead(folder):
                    shutil.rmtree(folder, ignore_errors=True)

    def remove(self) -> None:
        """Removes all folders."""
        with self._lock:
            for folder in self._claimed.values():
                shutil.rmtree(folder, ignore_errors=True)
            self._claimed.clear()
