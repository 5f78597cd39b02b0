"""The generations that a launch finds, takes and keeps on the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from syne_hypersched.checkpoints._files import Tree
from syne_hypersched.checkpoints._generation import Generation, Notes
from syne_hypersched.checkpoints._leases import Leases
from syne_hypersched.checkpoints._numbers import pattern_of
from syne_hypersched.checkpoints._spec import Beginning, CheckpointSpec
from syne_hypersched.checkpoints._store import GenerationStore, torn_folder


class NoRoomError(Exception):
    """The disk has too little room for a generation."""


class Shelf:
    """Keeps the generations of one trial during a launch.

    Parameters
    ----------
    spec
        How the launch handles checkpoints.
    store
        The generations on the disk.
    notes
        Records of earlier launches.

    Attributes
    ----------
    number
        The highest number of a generation so far.
    num_taken, bytes_copied
        Number of generations that the launch has taken, and number of bytes copied for them.
    """

    def __init__(self, spec: CheckpointSpec, store: GenerationStore, notes: Notes) -> None:
        self._spec = spec
        self._store = store
        self._before = notes
        self._kept = [found for found in store.generations() if store.is_sound(found)]
        self.number = max((notes.num_generations, *store.numbers()))
        self.num_taken = self.bytes_copied = 0
        #: A copy of the folder that the launch tries to load, until the folder is known to be whole or not.
        self._held: Generation | None = None
        store.drop_held()  # left by a supervisor that was killed
        for number in set(store.numbers()) - {found.number for found in self._kept}:
            store.remove(number)

    @property
    def newest(self) -> Generation | None:
        """The newest generation."""
        return self._kept[-1] if self._kept else None

    def begin(self, live: Tree) -> tuple[Beginning, bool]:
        """Restores the checkpoint folder from a generation if it is not whole.

        Parameters
        ----------
        live
            The present folder.

        Returns
        -------
        Beginning and bool
            The generation from which the launch begins, and whether the folder is known to be whole.
        """
        spec, newest = self._spec, self.newest
        older = [found for found in self._kept if spec.go_back_from is not None and found.number < spec.go_back_from]
        if older:
            newest, reason = older[-1], f"the previous launch could not continue from generation {spec.go_back_from}"
        elif newest is not None and live == newest.live:
            return Beginning(newest.number, go_back_from=newest.number), True
        elif newest is not None and self._is_empty_since(newest, live):
            reason = "the process was killed before it wrote to a new, still empty file"
        elif newest is None and live and self._before.is_torn:
            return self._begin_anew("its only checkpoint was being written when the process was killed"), False
        elif newest is None and live and spec.go_back_from is not None and not self._before.is_whole:
            return self._begin_anew(
                "the previous launch could not continue from its only checkpoint, which may be torn"
            ), False
        elif (self._before.left is not None and live == self._before.left) or newest is None:
            # The folder may not be whole: a script may end while it saves.
            has_older = newest is not None or (bool(live) and not self._before.is_whole)  # or there is none at all
            return Beginning(go_back_from=self.number + 1 if has_older else None), self._before.left is not None
        else:
            reason = "the checkpoint folder is not known to be whole"
        try:
            restored = self._store.restore(newest)
        except OSError as error:
            return Beginning(error=f"generation {newest.number} cannot be put back: {error}"), False
        self._kept = [restored if found.number == restored.number else found for found in self._kept]
        self._remove_if(lambda found: bool(older) and found.number > restored.number)
        return Beginning(restored.number, restored.number, reason), True

    def _is_empty_since(self, generation: Generation, live: Tree) -> bool:
        """Whether a process, which may have died, has only opened the next files since a generation."""
        if self._before.is_whole or live != self._before.left:
            return False
        same = {path: state for path, state in live.items() if path in generation.live}
        more = {path: state for path, state in live.items() if path not in generation.live}
        names = {pattern_of(path) for path, state in generation.live.items() if state.kind == "file" and state.size}
        # Files with other names may be markers, which are meant to be empty.
        are_next = all(
            state.kind == "file" and not state.size and pattern_of(path) in names for path, state in more.items()
        )
        return same == generation.live and are_next

    def is_whole(self, live: Tree) -> bool:
        """Whether the folder is as the launch before left it, and is certainly whole."""
        return self._before.is_whole_in(live)

    def _begin_anew(self, reason: str) -> Beginning:
        """Moves the only checkpoint aside, so that the launch begins from scratch."""
        folder = os.path.realpath(self._spec.folder)
        aside = torn_folder(Path(folder))
        try:
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(folder, aside)
            if os.path.islink(self._spec.folder):
                os.mkdir(folder)
        except OSError as error:
            return Beginning(error=f"its checkpoint is torn, and cannot be moved aside: {error}")
        return Beginning(restored=f"{reason} ({aside})")

    def find(self, number: int) -> Generation | None:
        """The generation with a number, if it is kept."""
        return next((found for found in self._kept if found.number == number), None)

    def paths_to_copy(self, generation: Generation) -> list[str]:
        """Files that a new generation must copy, because a hard link is not safe."""
        older = self.newest
        return [
            path
            for path, state in generation.live.items()
            if state.kind == "file"
            and not generation.is_final(path)
            and (older is None or older.live.get(path) != state)
        ]

    def take(
        self,
        generation: Generation,
        is_changing: Callable[[], bool] = lambda: False,
        only_links: bool = False,
        leases: Leases | None = None,
    ) -> Generation:
        """Takes a generation, unless a process writes to the folder, and keeps it.

        Raises
        ------
        NoRoomError
            There is no room for a copy.
        OSError
            A file is gone or was changed, or cannot be copied.
        GivenUpError
            A process waits for a lease, and would have to wait too long.
        """
        self._check_room(generation, only_links)
        taken = self._store.take(generation, self.newest, is_changing, only_links, leases=leases)
        self._keep(taken)
        return taken

    def hold(
        self, generation: Generation, is_changing: Callable[[], bool] = lambda: False, leases: Leases | None = None
    ) -> None:
        """Copies a folder that may not be whole, like :meth:`take`. The copy is no generation until proven whole."""
        self._check_room(generation)
        self._held = self._store.take(generation, self.newest, is_changing, is_held=True, leases=leases)

    def end_hold(self, is_whole: bool) -> None:
        """Makes the held copy a generation if it has proved to be whole, unless there is a newer generation.

        Raises
        ------
        OSError
            The disk has no room.
        """
        held, self._held = self._held, None
        if held is not None and is_whole and not self.num_taken:
            self._store.put_held(held)
            self._keep(held)
        elif held is not None:
            self._store.drop_held()

    def put_back_held(self) -> Tree:
        """Replaces the folder by the held copy, unless there is a generation. The copy does not become a generation.

        Returns
        -------
        Tree
            The folder; empty if it was not replaced.

        Raises
        ------
        OSError
            The disk has no room.
        """
        held, self._held = self._held, None
        if held is None or self._kept:
            self._store.drop_held()
            return {}
        self._store.put_held(held)
        try:
            return self._store.restore(held).live
        finally:
            self._store.remove(held.number)

    def _check_room(self, generation: Generation, only_links: bool = False) -> None:
        copied = 0 if only_links else sum(generation.live[path].size for path in self.paths_to_copy(generation))
        if copied:
            status = os.statvfs(os.path.dirname(self._spec.folder))
            if status.f_bavail * status.f_frsize < copied + self._spec.min_free_bytes:
                raise NoRoomError("the disk has no room for a generation of the checkpoint")

    def _keep(self, taken: Generation) -> None:
        self.number = taken.number
        self._kept.append(taken)
        self.num_taken += 1
        self.bytes_copied += taken.bytes_copied

    def prune(self, needed: Collection[int]) -> None:
        """Removes all generations except the last ones and those that are needed."""
        last = {found.number for found in self._kept[-self._spec.keep :]}
        self._remove_if(lambda found: found.number not in last and found.number not in needed)

    def discard(self, numbers: list[int]) -> None:
        """Removes generations of checkpoints that have more files, and empties the list of their numbers."""
        self._remove_if(lambda found: found.number in numbers)
        numbers.clear()

    def remove_unsound(self) -> None:
        """Removes generations whose files were written to through another hard link."""
        self._remove_if(lambda found: not self._store.is_sound(found))

    def _remove_if(self, condition: Callable[[Generation], bool]) -> None:
        for found in [found for found in self._kept if condition(found)]:
            self._kept.remove(found)
            self._store.remove(found.number)
