"""Starts, drains and reaps launches on the nodes of a cluster, as the launcher of one machine does on it."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from syne_hypersched.backends.ray._cluster import Cluster
from syne_hypersched.backends.ray._messages import Message, bytes_of
from syne_hypersched.backends.ray._parts import ClusterSpec, NodePart, has_failed, lost_part, merged, parts_of
from syne_hypersched.backends.ray._rank_log import append_rest, end_line, rank_log
from syne_hypersched.backends.ray._streams import CheckpointStreams
from syne_hypersched.checkpoints import Beginning, Matched
from syne_hypersched.launch import LaunchExit

logger = logging.getLogger(__name__)

#: When one part has failed or is lost, the ranks of the others wait for it for ever: they get this long to end too.
PEER_GRACE_S = 2.0
#: Seconds between two attempts to write a log where there is no room.
_FULL_S = 0.5


@dataclass
class _SpreadLaunch:
    """A launch that has not ended."""

    spec: ClusterSpec
    parts: tuple[NodePart, ...]
    master: tuple[str, int] | None
    log: Path | None = None
    """Where rank 0 prints, in the shared folder; or where what it prints is copied to."""
    started: set[int] = field(default_factory=set)
    launched: set[int] = field(default_factory=set)
    exits: dict[int, LaunchExit] = field(default_factory=dict)
    first_failed: int | None = None
    is_ending: bool = False
    """Whether no further part will be started."""
    logs: dict[str, BinaryIO] = field(default_factory=dict)
    is_gone: bool = False
    """Whether the node of rank 0 is lost."""
    was_lost: str = ""
    """Why it begins from an older checkpoint, without a shared folder."""

    @property
    def folder(self) -> str:
        """The trial's checkpoint folder, as the tuner sees it; empty if checkpoints are not watched."""
        return "" if self.spec.checkpoints is None else self.spec.checkpoints.folder

    def position(self, node: str) -> int | None:
        """Position of the part on a node."""
        return next((i for i, part in enumerate(self.parts) if part.node == node), None)


class ClusterLauncher:
    """See the module, and :class:`~syne_hypersched.launch.Launcher` for what the methods do.

    Parameters
    ----------
    cluster
        The nodes.
    on_launched, on_exit, on_checkpoint
        As in :class:`~syne_hypersched.launch.Launcher`; called in the thread of the cluster.
    streams
        Copies checkpoints to the nodes of a launch; None if they are in a shared folder.
    """

    def __init__(
        self,
        cluster: Cluster,
        on_launched: Callable[[int, list[int], float], None],
        on_exit: Callable[[int, LaunchExit, float], None],
        on_checkpoint: Callable[[int, Beginning | Matched], None],
        streams: CheckpointStreams | None = None,
    ) -> None:
        self._cluster = cluster
        self._streams = streams
        self._on_launched, self._on_exit, self._on_checkpoint = on_launched, on_exit, on_checkpoint
        self._lock = threading.Lock()
        self._ids = itertools.count()
        self._live: dict[int, _SpreadLaunch] = {}
        #: Checkpoint folders that are complete after the last launch was drained; launches that end by themselves need
        #: none.
        self._whole: set[str] = set()
        cluster.on_message = self._hear

    @property
    def is_ready(self) -> bool:
        """Devices join when the server of their node is ready, so that a launch never waits for it."""
        return True

    def launch(self, spec: ClusterSpec) -> int:
        """Starts the processes of a launch.

        Those of rank 0's node are started first if they may have to put an older checkpoint back for all.
        """
        parts = parts_of(spec.devices, spec.per_device)
        master = None
        if len(parts) > 1:
            node = self._cluster.nodes.get(parts[0].node)
            master = ("" if node is None else node.ip, self._cluster.take_port(parts[0].node))
        with self._lock:
            handle = next(self._ids)
            live = self._live[handle] = _SpreadLaunch(spec, parts, master)
            known = spec.checkpoints
            if known is not None:
                live.log = rank_log(Path(known.folder).parent, known.launch, Path(spec.ranks[0].stdout))
            is_whole = (
                known is None or known.launch == 0 or (known.folder in self._whole and known.go_back_from is None)
            )
            first = range(len(parts)) if is_whole else range(1)
            if self._prepare(handle, live, first):
                for position in first:
                    self._start(handle, live, position)
        return handle

    def _prepare(self, handle: int, live: _SpreadLaunch, positions: Sequence[int]) -> bool:
        """Has the checkpoints on the nodes of some parts; returns whether they are there, or these start later."""
        if self._streams is None or not live.folder or live.log is None:
            return True
        nodes = [live.parts[0].node, *(live.parts[position].node for position in positions if position)]
        go, begins = partial(self._go, handle, live, positions), 0 not in live.started
        lost = self._streams.prepare(live.folder, nodes, live.log.name, go, begins)
        if lost is None:
            return False
        live.was_lost = live.was_lost or lost
        return True

    def _go(self, handle: int, live: _SpreadLaunch, positions: Sequence[int], lost: str) -> None:
        """The checkpoints are there."""
        with self._lock:
            if self._live.get(handle) is live and not live.is_ending and not live.exits:
                live.was_lost = live.was_lost or lost
                for position in positions:
                    self._start(handle, live, position)
                return
        self._end_stream(live)

    def _end_stream(self, live: _SpreadLaunch) -> None:
        if self._streams is not None and live.log is not None:
            self._streams.end(live.folder, live.log.name, live.is_gone)

    def drain(self, launch: int, grace_s: float) -> None:
        """Sends SIGTERM to all ranks of a launch, and SIGKILL after a grace period."""
        with self._lock:
            live = self._live.get(launch)
            if live is not None:
                self._drain(launch, live, grace_s)

    def follow(self, time_attr: str | None, metric: str | None, do_minimize: bool) -> None:
        """Tells all launches which entries of a report are the resource level and the metric."""
        self._cluster.order_all(
            {"order": "follow", "time_attr": time_attr, "metric": metric, "do_minimize": do_minimize}
        )

    def set_deadline(self, drain_at: float, kill_at: float) -> None:
        """Sets the moments at which every launch, also a later one, is drained and killed."""
        self._cluster.order_all({"order": "deadline", "drain_at": drain_at, "kill_at": kill_at}, stands=True)

    def close(self, wait: bool = True) -> None:
        """Ends the agents, and the connection to the cluster, when all checkpoints are on the tuner's disk."""
        if self._streams is not None:
            self._streams.close(wait)
        self._cluster.close(wait)

    def _start(self, handle: int, live: _SpreadLaunch, position: int) -> None:
        part, spec = live.parts[position], live.spec
        live.started.add(position)
        world = {
            "size": sum(part.num_ranks for part in live.parts), "first_rank": part.first_rank, "node_rank": position,
            "num_nodes": len(live.parts), "master": live.master,
        }  # fmt: skip
        watches = position == 0 and spec.checkpoints is not None
        order = {
            "order": "launch", "launch": handle, "argv": list(spec.argv), "warm": spec.warm, "grace_s": spec.grace_s,
            "cwd": spec.cwd or "", "python": sys.executable, "devices": list(part.devices),
            "per_device": spec.per_device, "world": world,
            "log": str(live.log) if position == 0 and live.log is not None else None,
            "checkpoints": asdict(spec.checkpoints) if watches and spec.checkpoints is not None else None,
        }  # fmt: skip
        if self._streams is not None and live.folder:
            order |= {"home": self._streams.home, "trial": Path(live.folder).parent.name, "folder": live.folder}
        self._cluster.order(part.node, order)

    def _drain(self, handle: int, live: _SpreadLaunch, grace_s: float) -> None:
        live.is_ending = True
        if not live.started:
            threading.Thread(target=self._end_unstarted, args=(handle, live), daemon=True).start()
        for position in live.started - live.exits.keys():
            self._cluster.order(live.parts[position].node, {"order": "drain", "launch": handle, "grace_s": grace_s})

    def _end_unstarted(self, handle: int, live: _SpreadLaunch) -> None:
        """A launch is drained whose checkpoints are under way."""
        with self._lock:
            if live.started or self._live.pop(handle, None) is None:
                return
        self._end_stream(live)
        codes = (None,) * sum(part.num_ranks for part in live.parts)
        self._on_exit(handle, LaunchExit(codes, None, drained=True, killed=False), time.monotonic())

    # What the cluster tells, in its thread.

    def _hear(self, node: str, message: Message, moment: float) -> None:
        event = message["event"]
        if event == "silent":
            if self._streams is not None:
                self._streams.lose(node)
            with self._lock:
                for handle, live in list(self._live.items()):
                    if live.position(node) is not None:
                        self._drain(handle, live, PEER_GRACE_S)
            return
        if event == "gone":
            with self._lock:
                there = {handle: live.position(node) for handle, live in self._live.items()}
            for handle, position in there.items():
                if position is not None:
                    self._end_part(handle, position, None, moment)
            return
        launch = message.get("launch")
        with self._lock:
            known = self._live.get(launch) if isinstance(launch, int) else None
            place = None if known is None else known.position(node)
        if known is None or place is None or not isinstance(launch, int):
            return
        handle = launch
        if event == "log":
            self._write(known, message)
        elif event == "launched":
            self._tell_launched(handle, known, place, moment)
        elif event == "began":
            beginning = Beginning(**message["news"])
            if known.was_lost and not beginning.restored:
                beginning = replace(beginning, restored=known.was_lost)
            self._on_checkpoint(handle, beginning)
        elif event == "taken":
            if self._streams is not None:
                self._streams.take(known.folder, int(message["number"]))
        elif event == "matched":
            self._on_checkpoint(handle, Matched(**message["news"]))
        elif event == "exit":
            self._end_part(handle, place, LaunchExit.from_json(message["exit"]), moment)
        elif event == "refused":
            self._end_part(handle, place, None, moment)

    def _tell_launched(self, handle: int, live: _SpreadLaunch, position: int, moment: float) -> None:
        with self._lock:
            live.launched.add(position)
            if not live.is_ending and not live.exits:
                others = [position for position in range(len(live.parts)) if position not in live.started]
                if others and self._prepare(handle, live, others):
                    for other in others:
                        self._start(handle, live, other)
            is_complete = len(live.launched) == len(live.parts)
        if is_complete:
            self._on_launched(handle, [], moment)  # pids mean nothing on this machine

    def _end_part(self, handle: int, position: int, exit_: LaunchExit | None, moment: float) -> None:
        """A part has ended; None: its node is lost."""
        with self._lock:
            live = self._live.get(handle)
            if live is None or position in live.exits:
                return
            if exit_ is None:
                live.is_gone = live.is_gone or position == 0
                exit_ = lost_part(live.parts[position])
            live.exits[position] = exit_
            if has_failed(exit_) and live.first_failed is None and not live.is_ending:
                live.first_failed = position
            others_wait = exit_.lost or has_failed(exit_)
            if position not in live.started or (position == 0 and 0 not in live.launched):
                live.is_ending = True
            if others_wait and not live.is_ending:
                self._drain(handle, live, PEER_GRACE_S)
            if not (live.started <= live.exits.keys()):
                return
            if len(live.started) < len(live.parts):
                live.is_ending = True
            del self._live[handle]
            self._remember_whether_whole(live)
        self._end_stream(live)
        for file in live.logs.values():
            file.close()
        if live.log is not None:
            self._append_rest(live.log, Path(live.spec.ranks[0].stdout), live.is_gone)
        self._on_exit(handle, merged(live.parts, live.exits, live.first_failed), moment)

    def _append_rest(self, printed: Path, log: Path, is_gone: bool) -> None:
        try:
            append_rest(printed, log)
            if is_gone:
                end_line(log)
        except OSError as error:
            logger.warning("The last output of a trial cannot be read from %s: %s", printed, error)

    def _remember_whether_whole(self, live: _SpreadLaunch) -> None:
        known, exit_ = live.spec.checkpoints, live.exits.get(0)
        if known is None:
            return
        self._whole.discard(known.folder)
        ending = None if exit_ is None or exit_.lost or not exit_.drained else exit_.checkpoints
        if ending is not None and ending.is_whole and live.first_failed is None:
            self._whole.add(known.folder)

    def _write(self, live: _SpreadLaunch, message: Message) -> None:
        """Appends a rank's output to its log on the tuner's disk."""
        name = message["name"]
        try:
            file = live.logs.get(name)
            if file is None:
                rank, _, stream = name.partition(".")
                logs = live.spec.ranks[int(rank)]
                path = logs.stdout if stream == "out" else logs.stderr
                descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
                file = live.logs[name] = open(descriptor, "wb", buffering=0)  # noqa: SIM115
        except OSError as error:
            logger.warning("The log of a trial cannot be written, so its output is lost: %s", error)
            return
        data = bytes_of(message["data"])
        has_told = False
        while data:
            try:
                data = data[file.write(data) or 0 :]
            except OSError as error:
                if not has_told:
                    logger.warning("The log of a trial cannot be written now: %s", error)
                has_told = True
                time.sleep(_FULL_S)
