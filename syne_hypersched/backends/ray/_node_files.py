"""An agent's checkpoints outside a shared folder: their places, new ones, and the free space of the disk."""

from __future__ import annotations

import contextlib
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syne_hypersched.backends.ray._depot import Depot
from syne_hypersched.backends.ray._disks import DiskWatch
from syne_hypersched.backends.ray._homes import Homes
from syne_hypersched.backends.ray._messages import Message, pack, unpack
from syne_hypersched.backends.ray._rank_log import left_behind
from syne_hypersched.backends.ray._whereabouts import TUNER
from syne_hypersched.checkpoints import GenerationStore
from syne_hypersched.checkpoints.room import NO_ROOM, free_mb


@dataclass(frozen=True)
class Moved:
    """What a launch order becomes on a node that has the checkpoints on its own disk."""

    argv: list[str]
    log: str | None
    checkpoints: dict[str, Any] | None


class NodeFiles:
    """See the module. Any thread may call.

    Parameters
    ----------
    root
        Folder for checkpoints, see :class:`~syne_hypersched.backends.ray._homes.Homes`.
    min_free_mb
        Megabytes that must be free there for a launch.

    Attributes
    ----------
    is_streaming
        Whether checkpoints are there, and not in a shared folder.
    """

    def __init__(self, root: str | None, min_free_mb: float) -> None:
        self.homes = Homes(root)
        self._depot = Depot(self._checkpoints_of)
        self._disk = DiskWatch(min_free_mb)
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[Path, int]] = {}
        self.is_streaming = False

    def _checkpoints_of(self, question: Message) -> Path:
        trial = question["trial"]
        if not (isinstance(trial, str) and trial.isdigit()):
            raise ValueError(f"trial must be digits, but got {trial!r}")
        return self.homes.of(question["home"]) / trial / "checkpoints"

    # What the gateway asks.

    def answer(self, question: bytes) -> bytes:
        """Answers a question about checkpoints, or executes a command; an error is an answer, too."""
        try:
            asked = unpack(question)
            answer = self._depot.answer(asked)
            if asked["what"] == "offer" and asked["target"] == TUNER and asked["log"] is None:
                self._require_rest(self._checkpoints_of(asked))
            return pack(answer)
        except (OSError, ValueError, KeyError) as error:
            return pack({"error": f"{error}"})

    def _require_rest(self, checkpoints: Path) -> None:
        """Checks that no launch has begun before checkpoints were offered without its log, in which its reports are."""
        with self._lock:
            if any(folder == checkpoints for folder, _ in self._watched.values()):
                raise OSError(f"{checkpoints} belongs to a launch that runs")

    def read(self, question: bytes) -> bytes:
        """Bytes of checkpoints."""
        asked = unpack(question)
        return self._depot.read(asked["copy"], asked["pieces"])

    def write(self, question: bytes, data: bytes) -> bytes:
        """Writes bytes of checkpoints."""
        asked = unpack(question)
        self._depot.write(asked["copy"], asked["pieces"], bytes(data))
        return b""

    # Launches.

    def move(self, order: Message) -> Moved:
        """A launch order with this node's paths in place of the tuner's."""
        if order.get("home") is None:
            return Moved(order["argv"], order["log"], order["checkpoints"])
        there, here = order["folder"], self._checkpoints_of(order)
        here.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        argv = [argument.replace(there, str(here)) for argument in order["argv"]]
        log, spec = order["log"], order["checkpoints"]
        if log is None:  # another node has rank 0, and the trial's log
            return Moved(argv, None, None)
        for old in left_behind(here.parent):
            old.unlink(missing_ok=True)
        return Moved(argv, str(here.parent / Path(log).name), {**spec, "folder": str(here)})

    def watch(self, launch: int, folder: str) -> None:
        """A launch has its checkpoints in a folder."""
        with self._lock:
            self._watched[launch] = (Path(folder), max(GenerationStore(Path(folder)).numbers(), default=0))

    def leave(self, launch: int) -> list[Message]:
        """Records the end of a launch; returns news about its checkpoints."""
        news = self._news(launch)
        with self._lock:
            self._watched.pop(launch, None)
        return news

    def look(self) -> list[Message]:
        """Which launches have new generations."""
        with self._lock:
            launches = list(self._watched)
        return [message for launch in launches for message in self._news(launch)]

    def _news(self, launch: int) -> list[Message]:
        with self._lock:
            if launch not in self._watched:
                return []
            folder, last = self._watched[launch]
            newest = max(GenerationStore(folder).numbers(), default=0)
            if newest <= last:
                return []
            self._watched[launch] = (folder, newest)
        return [{"event": "taken", "launch": launch, "number": newest}]

    # The disk.

    def why_not_writable(self) -> str:
        """Why the folder for checkpoints can never be used; empty if it can, or once there is room."""
        if not self.is_streaming:
            return ""
        try:
            self.homes.check()
        except OSError as error:
            if error.errno not in NO_ROOM:
                return f"it cannot write to {self.homes.root} ({error.strerror or error})"
        return ""

    def look_at_disk(self) -> list[Message]:
        """The message about free space for checkpoints, if they are not in a shared folder."""
        if not self.is_streaming:
            return []
        root, total_mb = self.homes.root, float("inf")
        with contextlib.suppress(OSError):
            total_mb = shutil.disk_usage(next(path for path in (root, *root.parents) if path.exists())).total / 1e6
        with self._lock:
            told = self._disk.look(free_mb(root), total_mb)
        return [] if told is None else [{"event": "disk", "folder": str(root), **told}]

    def remove(self) -> None:
        """Removes everything: needed files exist elsewhere."""
        self.homes.remove()
