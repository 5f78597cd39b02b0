"""File operations in one class, so that tests can simulate a crash between any two of them."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO


class Disk:
    """Files of this machine.

    Paths are strings. After a crash of the machine, only synced data certainly exist: the content of files after
    :meth:`sync_file`, and the names in folders after :meth:`sync_folder`.
    """

    def list_folder(self, path: str) -> list[str]:
        """Names in a folder, in no particular order; none if the folder does not exist."""
        try:
            return os.listdir(path)
        except FileNotFoundError:
            return []

    def list_files(self, path: str) -> list[str]:
        """Files below a folder, as sorted relative paths with ``/`` between their parts."""
        found = []
        for folder, _, names in os.walk(path):
            found += [os.path.relpath(os.path.join(folder, name), path).replace(os.sep, "/") for name in names]
        return sorted(found)

    def create_folder(self, path: str, durably: bool = False) -> None:
        """Makes a folder and its parents, unless they exist.

        With ``durably``, all of them survive a crash of the machine, even those that already exist: the process that
        created them may have been killed before they were durable.
        """
        os.makedirs(path, exist_ok=True)
        if durably:
            for above in Path(path).resolve().parents:
                with contextlib.suppress(PermissionError):  # then this user has not created it
                    self.sync_folder(str(above))

    def create(self, path: str) -> BinaryIO:
        """Opens a new file for writing."""
        return open(path, "xb")

    def open(self, path: str) -> BinaryIO:
        """Opens a file for reading."""
        return open(path, "rb")

    def sync_file(self, path: str) -> None:
        """Waits until the content of a file is durable: it survives a crash of the machine."""
        self._sync(path)

    def sync_folder(self, path: str) -> None:
        """Waits until the names in a folder are durable: they survive a crash of the machine."""
        self._sync(path)

    def rename(self, source: str, target: str) -> None:
        """Renames a file or folder atomically."""
        os.rename(source, target)

    def remove(self, path: str) -> None:
        """Removes a file, or a folder with its content, if it exists."""
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
            return
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)

    def _sync(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
