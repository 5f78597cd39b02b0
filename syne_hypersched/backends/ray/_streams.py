"""Checkpoints of nodes that share no folder: to the tuner's disk as they are made, and to where a launch begins."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from syne_hypersched.backends.ray._messages import Message
from syne_hypersched.backends.ray._whereabouts import TUNER, Whereabouts
from syne_hypersched.checkpoints import GenerationStore

logger = logging.getLogger(__name__)

#: Copies to the tuner's disk that are under way at a time.
_MOST_COPIES = 4
#: Seconds until a copy that has failed is tried again.
_RETRY_S = 1.0
#: Number of failures after which a copy is given up when nothing trains any more.
_MOST_TRIES = 5
#: How long the first generation of a trial that trains is waited for (s), and how often it is looked for.
_FIRST_S, _LOOK_S = 10.0, 0.1
#: Seconds after which waiting for copies is told.
_TELL_S = 5.0


@dataclass
class _OrderedCopy:
    trial: str
    source: str
    target: str
    with_live: bool
    beginning: _PendingLaunch | None = None
    """For which launch it is made."""
    is_old: bool = False
    """Whether a launch has begun since it was ordered."""
    log: str | None = None
    """Name of the log that is copied as well."""
    is_cancelled: bool = False
    """Whether it is given up, because a node is lost."""


@dataclass
class _PendingLaunch:
    """A launch whose nodes do not have the checkpoints yet."""

    nodes: tuple[str, ...]
    log: str
    is_ready: Callable[[str], object]
    source: str
    begins: bool
    """Whether the launch begins then; it has begun on the first node else."""
    there: set[str] = field(default_factory=set)


class CheckpointStreams:
    """See the module. Any thread may call; callbacks are called in a thread of its own, without a lock.

    Parameters
    ----------
    send
        Sends a command to the gateway.
    on_settled
        Called with the trial when checkpoints have arrived on the tuner's disk.
    """

    def __init__(self, send: Callable[[Message], object], on_settled: Callable[[str], object]) -> None:
        self._send, self._on_settled = send, on_settled
        self._changed = threading.Condition()
        self._numbers = itertools.count(1)
        self._known = Whereabouts()
        self._folders: dict[str, str] = {}
        self._logs: dict[str, str] = {}
        self._copies: dict[int, _OrderedCopy] = {}
        self._beginnings: dict[str, _PendingLaunch] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._not_before: dict[tuple[str, str], float] = {}
        #: Number of the last order for each trial's checkpoints that was carried out, and after which one must come.
        self._done: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._calls: list[Callable[[], object]] = []
        self._has_warned = self._is_closing = self._is_done = False
        self._thread: threading.Thread | None = None
        self.home = ""

    # What the launcher tells.

    def prepare(
        self, folder: str, nodes: Sequence[str], log: str, is_ready: Callable[[str], object], begins: bool = True
    ) -> str | None:
        """Begins a launch as soon as the newest checkpoints of its trial are on its nodes.

        Parameters
        ----------
        folder
            The checkpoint folder on the tuner's disk.
        nodes
            The nodes, that of rank 0 first.
        log
            Name of the file beside the checkpoints that rank 0 prints to.
        is_ready
            Called when they are there and the launch has begun, with what was lost since the last launch or an empty
            text, unless :meth:`end` is called before.
        begins
            False if it has begun on the first node already, which has put an older checkpoint back.

        Returns
        -------
        str or None
            What ``is_ready`` would be called with, if they are there already; it is not called then.
        """
        with self._changed:
            trial = self._trial(folder)
            source = self._known.node(trial)
            is_new = source == TUNER and not self._known.is_known(trial) and not _has_checkpoints(folder)
            if is_new or set(nodes) == {source}:
                return self._begin(trial, nodes[0], log)
            self._beginnings[trial] = _PendingLaunch(tuple(nodes), log, is_ready, source, begins)
            self._wake()
        return None

    def _begin(self, trial: str, node: str, log: str) -> str:
        self._logs[trial] = log
        for copy in self._copies.values():
            copy.is_old = copy.is_old or copy.trial == trial
        return self._known.begin(trial, node)

    def take(self, folder: str, number: int) -> None:
        """A launch has a new generation."""
        with self._changed:
            self._known.take(self._trial(folder), number)
            self._wake()

    def end(self, folder: str, log: str, is_lost: bool) -> None:
        """A launch has ended, with the node of rank 0 or not, or does not begin after all."""
        with self._changed:
            trial = self._trial(folder)
            if trial in self._beginnings and self._beginnings[trial].log == log:
                del self._beginnings[trial]
            if self._logs.get(trial) == log:
                self._known.end(trial, is_lost)
                self._cancel(lambda copy: is_lost and copy.trial == trial and copy.source != TUNER)
            self._wake()

    def _trial(self, folder: str) -> str:
        trial = Path(folder).parent.name
        self._folders[trial] = folder
        return trial

    # What the cluster tells.

    def lose(self, node: str) -> None:
        """A node is gone, with all that is on it."""
        with self._changed:
            self._known.lose(node)
            self._cancel(lambda copy: node in (copy.source, copy.target))
            self._wake()

    def lose_gateway(self) -> None:
        """The gateway has died, and with it all copies that were under way."""
        with self._changed:
            self._copies.clear()
            self._wake()

    def spare(self, node: str) -> None:
        """Removes checkpoints from a node's disk that are also on the tuner's and are not needed on the node."""
        with self._changed:
            for trial in self._known.spare(node):
                self._order(_OrderedCopy(trial, node, node, False), what="forget")

    def hear(self, message: Message) -> None:
        """A copy has ended."""
        with self._changed:
            copy = self._copies.pop(message["copy"], None)
            if copy is None:
                return
            self._remove_log(copy)
            key = (copy.trial, copy.target)
            if message["error"]:
                if not copy.is_cancelled:
                    self._fail(copy, key, message["error"])
            else:
                self._failures.pop(key, None)
                if copy.target == TUNER:
                    is_all = copy.with_live and not copy.is_old
                    self._known.copied(copy.trial, copy.source, message["newest"], is_all)
                    self._done[copy.trial] = message["copy"]
                    if self._asked.get(copy.trial, 0) > message["copy"]:
                        self._known.ask(copy.trial)  # it was under way when it was asked for
                    self._calls.append(partial(self._on_settled, copy.trial))
                elif copy.beginning is not None and copy.beginning.source == copy.source:
                    copy.beginning.there.add(copy.target)
            self._wake()

    def _remove_log(self, copy: _OrderedCopy) -> None:
        """Removes a copy of a log that was read to its end before the copy was made."""
        is_read = not self._known.trains(copy.trial) or self._logs.get(copy.trial) != copy.log
        if copy.log is not None and is_read:
            with contextlib.suppress(OSError):
                Path(self._folders[copy.trial]).with_name(copy.log).unlink()

    def _fail(self, copy: _OrderedCopy, key: tuple[str, str], error: str) -> None:
        self._not_before[key] = time.monotonic() + _RETRY_S
        self._failures[key] = self._failures.get(key, 0) + 1
        if self._failures[key] >= _MOST_TRIES and not self._has_warned:
            self._has_warned = True
            where = f"to node {copy.target}" if copy.target else "to the tuner's disk"
            logger.warning(
                "The checkpoints of trial %s cannot be copied %s: %s. The copy is retried; until it succeeds, they are "
                "lost if their node is lost.", copy.trial, where, error,
            )  # fmt: skip
        if self._is_closing and copy.target == TUNER and self._failures[key] >= _MOST_TRIES:
            logger.warning("The last checkpoints of trial %s stay on node %s: %s.", copy.trial, copy.source, error)
            self._known.give_up(copy.trial)

    # What others ask.

    def is_settled(self, trial: str) -> bool:
        """Whether the checkpoints of a trial that does not train are on the tuner's disk."""
        with self._changed:
            return self._known.is_settled(trial) and not self._is_copied(trial, TUNER)

    def fetch(self, folder: str, timeout_s: float) -> bool:
        """Waits until the newest checkpoints of a trial are on the tuner's disk; returns whether they are.

        For a running trial, these are all checkpoints on its node now, reported or not.
        """
        now = time.monotonic()
        give_up_at, first_by = now + timeout_s, now + min(timeout_s, _FIRST_S)
        with self._changed:
            trial = self._trial(folder)
            while self._known.trains(trial) and self._known.node(trial) != TUNER:
                asked = self._asked[trial] = next(self._numbers)
                self._known.ask(trial)
                self._wake()
                is_done = partial(self._is_done_since, trial, asked)
                if not self._changed.wait_for(is_done, max(0.0, give_up_at - time.monotonic())):
                    return False
                if self._known.is_safe(trial) or time.monotonic() >= first_by:
                    return self._known.is_safe(trial)
                self._changed.wait_for(lambda: self._known.is_safe(trial) or not self._known.trains(trial), _LOOK_S)
                if self._known.is_safe(trial) and self._known.trains(trial):
                    return True  # a reported one has arrived in the meantime
            return self._changed.wait_for(
                lambda: self._known.is_settled(trial), max(0.0, give_up_at - time.monotonic())
            )

    def _is_done_since(self, trial: str, number: int) -> bool:
        return self._done.get(trial, 0) > number or not self._known.trains(trial)

    def close(self, wait: bool = True) -> None:
        """Waits until all checkpoints are on the tuner's disk, since nothing trains any more, unless told otherwise."""
        with self._changed:
            self._is_closing = True
            self._beginnings.clear()
            self._failures.clear()
            self._wake()
            if wait and not self._changed.wait_for(self._is_idle, _TELL_S):
                logger.warning("The last checkpoints are being copied to %s.", self._where())
                self._changed.wait_for(self._is_idle)
            self._is_done = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _where(self) -> str:
        return str(Path(next(iter(self._folders.values()), ".")).parent.parent)

    def _is_idle(self) -> bool:
        return not self._known.due([]) and not any(copy.target == TUNER for copy in self._copies.values())

    # Ordering copies, in a thread of its own.

    def _wake(self) -> None:
        if self._thread is None and not self._is_done:
            self._thread = threading.Thread(target=self._run, name="syne-hypersched-copies", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                wait_s = self._order_all()
                calls, self._calls = self._calls, []
                if not calls:
                    if self._is_done:
                        return
                    self._changed.wait(wait_s)
            for call in calls:
                call()

    def _order_all(self) -> float | None:
        """Sends all possible orders; returns the seconds until the next ones, None if they depend on news."""
        soonest: list[float] = []
        for trial, beginning in list(self._beginnings.items()):
            soonest += self._order_beginning(trial, beginning)
        under_way = [copy.trial for copy in self._copies.values() if copy.target == TUNER]
        for trial, node, with_live in self._known.due(under_way):
            if len(under_way) >= _MOST_COPIES:
                break
            wait_s = self._not_before.get((trial, TUNER), 0.0) - time.monotonic()
            if wait_s > 0:
                soonest.append(wait_s)
            else:
                self._order(_OrderedCopy(trial, node, TUNER, with_live))
                under_way.append(trial)
        return min(soonest, default=None)

    def _order_beginning(self, trial: str, beginning: _PendingLaunch) -> list[float]:
        source = self._known.node(trial)
        if source != beginning.source:  # its node was lost: data from there may be newer than the present ones
            beginning.source, beginning.there = source, set()
        if source == TUNER and self._is_copied(trial, TUNER):
            return []  # the abandoned copy is being put in place
        soonest = []
        for node in beginning.nodes:
            if node == source or node in beginning.there or self._is_copied(trial, node):
                continue
            wait_s = self._not_before.get((trial, node), 0.0) - time.monotonic()
            if wait_s > 0:
                soonest.append(wait_s)
            else:
                self._order(_OrderedCopy(trial, source, node, True, beginning))
        if beginning.there | {source} >= set(beginning.nodes):
            del self._beginnings[trial]
            lost = self._begin(trial, beginning.nodes[0], beginning.log) if beginning.begins else ""
            self._calls.append(partial(beginning.is_ready, lost))
        return soonest

    def _is_copied(self, trial: str, target: str) -> bool:
        return any((copy.trial, copy.target) == (trial, target) for copy in self._copies.values())

    def _order(self, copy: _OrderedCopy, what: str = "copy") -> None:
        number = next(self._numbers)
        self._copies[number] = copy
        if copy.target == TUNER and self._known.trains(copy.trial):
            copy.log = self._logs.get(copy.trial)
        self._send({
            "command": "copy", "copy": number, "what": what, "home": self.home, "trial": copy.trial,
            "folder": self._folders[copy.trial], "source": copy.source, "target": copy.target,
            "with_live": copy.with_live, "log": copy.log,
        })  # fmt: skip

    def _cancel(self, condition: Callable[[_OrderedCopy], bool]) -> None:
        for number, copy in list(self._copies.items()):  # one may end at once
            if condition(copy):
                copy.is_cancelled = True
                self._send({"command": "cancel", "copy": number})


def _has_checkpoints(folder: str) -> bool:
    return os.path.isdir(folder) or bool(GenerationStore(Path(folder)).numbers())
