"""Checkpoints of a run. A complete and recent one always exists, even if a process or the machine dies.

A checkpoint is a folder ``checkpoint-000000042`` with any files, and with a ``manifest.json`` that holds the size and
the checksum of each file. It is written aside, synced, and put in place by one rename. The last ``keep`` checkpoints
are kept. A reader takes the newest one whose files match its manifest, and warns if this is not the newest of all.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path, PurePosixPath

from syne_hypersched import checks
from syne_hypersched._disk import Disk
from syne_hypersched.filenames import MANIFEST_FILENAME

_NAME = re.compile(r"checkpoint-(\d{9})")
_ASIDE = ".aside"
_REPORTED = "reported"
_FORMAT = 1
_CHUNK = 1 << 20


class CheckpointError(RuntimeError):
    """There are checkpoints, but none can be loaded.

    .. code-block:: python

        try:
            path = CheckpointFolder("checkpoints").newest()
        except CheckpointError:
            path = None  # starts from the beginning, and abandons checkpoints that could perhaps be repaired
    """


@dataclass(frozen=True)
class _Fingerprint:
    size: int
    checksum: str


class CheckpointFolder:
    """The checkpoints of one training run.

    .. code-block:: python

        folder = CheckpointFolder(args.st_checkpoint_dir)
        path = folder.newest()
        if path is not None:
            model.load_state_dict(torch.load(f"{path}/model.pt"))
        ...
        aside = folder.begin()
        torch.save(model.state_dict(), f"{aside}/model.pt")
        folder.commit(aside)

    One process writes. Other processes may read at the same time.

    Parameters
    ----------
    path
        The folder. It is made when the first checkpoint is written.
    keep
        Number of checkpoints to keep, at least 1. With two, the run survives damage to the newest one.
    disk
        The disk of the folder; by default that of this machine. Tests use another one.

    Raises
    ------
    ValueError
        ``keep`` is below 1, or ``path`` is empty.
    TypeError
        ``keep`` is not an integer, or ``path`` is not a path.
    """

    def __init__(self, path: str | Path, keep: int = 2, disk: Disk | None = None) -> None:
        given: object = keep
        if isinstance(given, bool) or not isinstance(given, Integral):
            raise TypeError(f"keep must be an integer, but got {keep!r}")
        if keep < 1:
            raise ValueError(f"keep must be at least 1, but got {keep!r}")
        self.path = str(checks.path("path", path, "the path of a folder"))
        self.keep = int(keep)
        self._disk = disk or Disk()
        #: Whether this process has made the folder durable.
        self._has_folder = False

    def begin(self) -> str:
        """Makes an empty folder for the files of the next checkpoint. Returns its path."""
        disk = self._disk
        disk.create_folder(self.path, durably=not self._has_folder)
        self._has_folder = True
        for name in disk.list_folder(self.path):
            if name.endswith(_ASIDE):  # left by a process that was killed during a save
                disk.remove(f"{self.path}/{name}")
        numbers = self._numbers()
        aside = f"{self.path}/checkpoint-{(numbers[-1] + 1 if numbers else 1):09d}{_ASIDE}"
        disk.create_folder(aside)
        return aside

    def commit(self, aside: str) -> str:
        """Puts a written checkpoint in place durably, and removes the oldest ones.

        Parameters
        ----------
        aside
            The folder from :meth:`begin`.

        Returns
        -------
        str
            Path of the checkpoint.
        """
        disk = self._disk
        files = {}
        for name in disk.list_files(aside):
            disk.sync_file(f"{aside}/{name}")
            files[name] = self._fingerprint(f"{aside}/{name}").__dict__
        with disk.create(f"{aside}/{MANIFEST_FILENAME}") as file:
            file.write(json.dumps({"format": _FORMAT, "files": files}).encode())
        disk.sync_file(f"{aside}/{MANIFEST_FILENAME}")
        folders = {f"{aside}/{parent}" for name in files for parent in PurePosixPath(name).parents}
        for folder in sorted(folders, reverse=True):  # the innermost first; the last one is the checkpoint's
            disk.sync_folder(folder.removesuffix("/."))
        path = aside.removesuffix(_ASIDE)
        disk.rename(aside, path)
        disk.sync_folder(self.path)
        # Not earlier: until the new name is durable, only the old checkpoints are safe.
        for number in self._numbers()[: -self.keep]:
            disk.remove(f"{self.path}/checkpoint-{number:09d}")
        return path

    def newest(self) -> str | None:
        """Path of the newest whole checkpoint; None if there is no checkpoint.

        Raises
        ------
        CheckpointError
            There are checkpoints, but each of them is torn or corrupt. The user must decide: the files may be
            repairable. If the folder is removed, the run starts from the beginning.
        """
        numbers = self._numbers()
        for number in reversed(numbers):
            path = f"{self.path}/checkpoint-{number:09d}"
            fault = self._fault(path)
            if fault is None:
                # A process that was killed after its rename may have left a name that is not durable yet.
                self._disk.sync_folder(self.path)
                return path
            warnings.warn(f"{path} is skipped, since {fault}; the previous checkpoint is tried.", stacklevel=2)
        if numbers:
            raise CheckpointError(
                f"None of the {len(numbers)} checkpoints in {self.path} is whole; remove the folder to start again."
            )
        return None

    def mark_reported(self, path: str) -> None:
        """Records in the checkpoint at ``path`` that its report was delivered."""
        if not self.is_reported(path):
            self._disk.create(f"{path}/{_REPORTED}").close()

    def is_reported(self, path: str) -> bool:
        """Whether :meth:`mark_reported` was called for the checkpoint at ``path``."""
        return _REPORTED in self._disk.list_folder(path)

    def _numbers(self) -> list[int]:
        found = (_NAME.fullmatch(name) for name in self._disk.list_folder(self.path))
        return sorted(int(match[1]) for match in found if match is not None)

    def _fault(self, path: str) -> str | None:
        try:
            with self._disk.open(f"{path}/{MANIFEST_FILENAME}") as file:
                manifest = json.loads(file.read())
            if manifest["format"] != _FORMAT:
                return f"its format is {manifest['format']!r}, and this version reads {_FORMAT}"
            files = {name: _Fingerprint(**entry) for name, entry in manifest["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return f"its {MANIFEST_FILENAME} is missing or torn"
        for name, expected in files.items():
            try:
                found = self._fingerprint(f"{path}/{name}")
            except OSError:
                return f"its {name} is missing"
            if found != expected:
                return f"its {name} is not what was written"
        return None

    def _fingerprint(self, path: str) -> _Fingerprint:
        digest, size = hashlib.blake2b(digest_size=16), 0
        with self._disk.open(path) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return _Fingerprint(size, digest.hexdigest())


def is_report_mark(path: str) -> bool:
    """Whether a path is the mark of :meth:`CheckpointFolder.mark_reported`, which does not change a checkpoint."""
    folder, _, name = path.rpartition("/")
    return name == _REPORTED and _NAME.fullmatch(folder.rpartition("/")[2]) is not None
