"""The generations of one trial's checkpoint folder on the disk. Each is the folder at a moment when it was whole.

The folder ``.checkpoints-generations`` is beside a trial's ``checkpoints``. It contains one folder for each generation,
put in place by one rename: ``files/`` holds its files, ``generation.json`` describes them. ``notes.json`` records which
generation belongs to which report, and how the last launch left the checkpoint folder. Only one process writes: the
supervisor of the trial's launch or, between launches, the tuner. Any process may read.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from syne_hypersched.checkpoints._files import are_links_replaced, place_tree, read_tree
from syne_hypersched.checkpoints._generation import Generation, Notes, generation_of, notes_of, values_of
from syne_hypersched.checkpoints._leases import Leases

_GENERATION = "generation.json"
_NOTES = "notes.json"
_FILES = "files"
_HELD = ".held"


class GenerationStore:
    """The generations of one trial.

    Parameters
    ----------
    checkpoints
        The trial's checkpoint folder.
    """

    def __init__(self, checkpoints: Path) -> None:
        self.checkpoints = Path(checkpoints)
        self.folder = generations_folder(self.checkpoints)

    def numbers(self) -> list[int]:
        """Numbers of the generations, ascending."""
        try:
            return sorted(int(name) for name in os.listdir(self.folder) if name.isdigit())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def files(self, number: int) -> Path:
        """The folder with the files of a generation."""
        return self._path(number) / _FILES

    def read(self, number: int) -> Generation | None:
        """The description of a generation; None if it is gone or cannot be read."""
        try:
            return generation_of(json.loads((self._path(number) / _GENERATION).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def generations(self) -> list[Generation]:
        """All generations that can be read, the oldest first."""
        return [found for number in self.numbers() if (found := self.read(number)) is not None]

    def take(
        self,
        generation: Generation,
        older: Generation | None,
        is_changing: Callable[[], bool] = lambda: False,
        only_links: bool = False,
        is_held: bool = False,
        leases: Leases | None = None,
    ) -> Generation:
        """Takes the present checkpoint folder as a generation.

        Parameters
        ----------
        generation
            The description of the new generation. Its ``live`` lists the entries.
        older
            A generation from which unchanged files are taken.
        is_changing
            Called after all files are copied. Returns whether a process has written to the folder since then, or still
            writes.
        only_links
            Whether to use hard links for all files where possible, since no process will write to them.
        is_held
            Whether the generation is held back for :meth:`put_held`, because the folder may not be whole.
        leases
            Leases that keep files unchanged until they are copied.

        Returns
        -------
        Generation
            The same generation, with the number of bytes copied.

        Raises
        ------
        OSError
            A file is gone because the script goes on writing, or the disk has no room.
        GivenUpError
            A process waits for a lease, and would have to wait too long.
        """
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        aside = self.folder / (f".{generation.number}" if not is_held else _HELD)
        shutil.rmtree(aside, ignore_errors=True)
        try:
            copied = self._place(generation, older, aside / _FILES, only_links, leases or Leases("", {}))
            is_replaced = are_links_replaced(self.checkpoints, generation.live)
            if is_changing() or is_replaced or not self._is_sound(generation, aside / _FILES):
                raise OSError(f"{self.checkpoints} changed while a generation was taken")
            taken = replace(generation, bytes_copied=copied)
            if not is_held:
                self.put(taken, aside)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)  # an incomplete copy would fill a full disk at every attempt
            raise
        return taken

    def put_held(self, generation: Generation) -> None:
        """Makes the held copy a generation; see :meth:`put`."""
        self.put(generation, self.folder / _HELD)

    def drop_held(self) -> None:
        """Removes the held copy."""
        shutil.rmtree(self.folder / _HELD, ignore_errors=True)

    def put(self, generation: Generation, aside: Path) -> None:
        """Moves a folder that holds the files of a generation into its place.

        Raises
        ------
        OSError
            A generation with that number exists, or the disk has no room.
        """
        _write_json(aside / _GENERATION, values_of(generation))
        os.rename(aside, self._path(generation.number))

    def _place(
        self, generation: Generation, older: Generation | None, target: Path, only_links: bool, leases: Leases
    ) -> int:
        def source(path: str) -> str:
            if is_unchanged(path) and older is not None:
                return os.path.join(self.files(older.number), path)
            return leases.place(path) or os.path.join(self.checkpoints, path)

        def is_unchanged(path: str) -> bool:
            return older is not None and older.live.get(path) == generation.live[path]

        def is_linked(path: str) -> bool:
            return only_links or is_unchanged(path) or generation.is_final(path)

        return place_tree(generation.live, target, source, is_linked, leases.go_on)

    def is_sound(self, generation: Generation) -> bool:
        """Whether a generation is unchanged: no process has written to its files through another hard link."""
        return self._is_sound(generation, self.files(generation.number))

    def _is_sound(self, generation: Generation, files: Path) -> bool:
        there = read_tree(files)
        if there.keys() != generation.live.keys():
            return False
        return all(
            (mine.size, mine.mtime_ns) == (state.size, state.mtime_ns)
            for path, state in generation.live.items()
            if (mine := there[path]).kind == "file"
        )

    def newest(self, before: int | None = None) -> Generation | None:
        """The newest sound generation, or the newest one with a smaller number than ``before``."""
        looked_at: list[int] | None = None
        while (numbers := self.numbers()) != looked_at:  # meanwhile, new ones may come and these may be removed
            looked_at = numbers
            for number in reversed(numbers):
                if before is None or number < before:
                    found = self.read(number)
                    if found is not None and self.is_sound(found):
                        return found
        return None

    def remove(self, number: int) -> None:
        """Removes a generation. Other processes see it vanish in one step."""
        aside = self.folder / f".{number}-removed"
        with contextlib.suppress(OSError):
            os.rename(self._path(number), aside)
        shutil.rmtree(aside, ignore_errors=True)

    def restore(self, generation: Generation) -> Generation:
        """Replaces the checkpoint folder with a generation.

        If the folder is a symbolic link, the link stays, and the folder that it points to is replaced.

        Returns
        -------
        Generation
            The generation, with the present state of the folder.

        Raises
        ------
        OSError
            The disk has no room; the folder stays as it was.
        """
        place, aside, old = self.checkpoints, self.folder / ".restored", self.folder / ".replaced"
        if place.is_symlink():
            place = Path(os.path.realpath(place))
            aside, old = (place.with_name(f".{place.name}{path.name}") for path in (aside, old))
        for left in (aside, old):
            shutil.rmtree(left, ignore_errors=True)
        files = self.files(generation.number)
        # Files that the script will write to are copied.
        place_tree(generation.live, aside, lambda path: os.path.join(files, path), generation.is_final)
        with contextlib.suppress(FileNotFoundError):
            os.rename(place, old)
        os.rename(aside, place)
        shutil.rmtree(old, ignore_errors=True)
        now = replace(generation, live=read_tree(self.checkpoints))
        _write_json(self._path(now.number) / _GENERATION, values_of(now))
        return now

    def publish(self, generation: Generation, target: Path) -> None:
        """Makes a folder with the files of a generation.

        Raises
        ------
        OSError
            The generation is gone, or the disk has no room.
        """
        files = self.files(generation.number)
        # No process writes to a file that was copied here, and none will write to a file that was moved into place.
        place_tree(
            generation.live,
            target,
            lambda path: os.path.join(files, path),
            lambda path: generation.kept.get(path) != "new",
        )
        if not self.is_sound(generation):
            raise OSError(f"generation {generation.number} of {self.checkpoints} has changed")

    def notes(self) -> Notes:
        """The last notes; empty ones if they cannot be read."""
        try:
            return notes_of(json.loads((self.folder / _NOTES).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Notes()

    def write_notes(self, notes: Notes) -> None:
        """Replaces the notes.

        Raises
        ------
        OSError
            The notes cannot be written.
        """
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        _write_json(self.folder / _NOTES, asdict(notes))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}"


def generations_folder(checkpoints: Path) -> Path:
    """The folder with the generations of a checkpoint folder."""
    return checkpoints.with_name(f".{checkpoints.name}-generations")


def torn_folder(checkpoints: Path) -> Path:
    """The place to which a checkpoint folder is moved if it may be torn and has no generation."""
    return checkpoints.with_name(f"{checkpoints.name}-torn")


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    aside = path.with_name(f".{path.name}.new")
    with open(aside, "w", encoding="utf-8") as file:
        json.dump(data, file, default=str)
    os.replace(aside, path)
