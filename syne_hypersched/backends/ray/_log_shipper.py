"""Sends the output of a node's ranks to the tuner at once."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from syne_hypersched.backends.ray._messages import text_of
from syne_hypersched.backends.ray._unacknowledged import Unacknowledged
from syne_hypersched.backends.shared.growth import GrowthWatch

#: Bytes of one message.
_CHUNK = 1 << 16
#: Seconds between two looks while logs grow, and without inotify; and between two at all logs, grown or not.
_GAP_S, _LOOK_S, _ALL_S = 0.003, 0.05, 1.0


@dataclass
class _Log:
    launch: int
    name: str
    path: Path
    fd: int
    is_kept: bool = False
    position: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class LogShipper:
    """See the module.

    Parameters
    ----------
    outbox
        Where messages ``{"event": "log", "launch": ..., "name": ..., "data": ...}`` go.
    """

    def __init__(self, outbox: Unacknowledged) -> None:
        self._outbox = outbox
        self._lock = threading.Lock()
        self._logs: dict[int, list[_Log]] = {}
        self._by_path: dict[Path, _Log] = {}
        #: Those that were not looked at yet.
        self._new: list[_Log] = []
        #: Launches that have ended before all their output could be sent, and the callback for the time after it.
        self._ending: dict[int, tuple[list[_Log], Callable[[], object]]] = {}
        self._num_rounds = 0
        self._growth: GrowthWatch | None = None
        with contextlib.suppress(OSError):
            self._growth = GrowthWatch()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="syne-hypersched-logs", daemon=True)
        self._thread.start()

    def add(self, launch: int, paths: dict[str, Path], kept: Collection[str] = ()) -> None:
        """Has the logs of a launch, by the name under which they are sent, created and sent from now on.

        Those that are ``kept`` are not removed at the end.
        """
        logs = []
        for name, path in paths.items():
            fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            logs.append(_Log(launch, name, path, fd, name in kept))
        with self._lock:
            self._logs[launch] = logs
            self._by_path |= {log.path: log for log in logs}
            self._new += logs
            for log in logs:
                self._watch(log)
        os.eventfd_write(self._bell, 1)

    def _watch(self, log: _Log) -> None:
        if self._growth is None:
            return
        try:
            self._growth.watch(log.path)
        except OSError:  # the user may watch no more files: they are looked at now and then
            self._growth = None  # and not closed: the thread may be about to read it

    def finish(self, launch: int, when_sent: Callable[[], object] = lambda: None) -> None:
        """Sends the rest of the logs of a launch that has ended, and removes them.

        ``when_sent`` is called when everything is on its way: at once if there is room, else later, in a thread of the
        shipper. What is printed faster than it can be sent stays in its file, and not in this process.
        """
        with self._lock:
            logs = self._logs.pop(launch, [])
            for log in logs:
                self._by_path.pop(log.path, None)
                if self._growth is not None:
                    self._growth.leave(log.path)
        if self._send_in_turn(logs):
            self._ending[launch] = (logs, when_sent)
            os.eventfd_write(self._bell, 1)
            return
        self._remove(logs)
        when_sent()

    def _remove(self, logs: Iterable[_Log]) -> None:
        for log in logs:
            with log.lock:
                os.close(log.fd)
                log.fd = -1
            if not log.is_kept:
                log.path.unlink(missing_ok=True)

    def _end(self, by_force: bool = False) -> None:
        """Goes on with launches that have ended."""
        for launch, (logs, when_sent) in list(self._ending.items()):
            if not self._send_in_turn(logs, by_force):
                del self._ending[launch]
                self._remove(logs)
                when_sent()

    def close(self, may_wait: Callable[[], bool] = lambda: False) -> None:
        """Ends the thread, when everything is on its way or ``may_wait`` is false."""
        while self._ending and may_wait():
            time.sleep(_LOOK_S)
        self._closing.set()
        os.eventfd_write(self._bell, 1)
        self._thread.join()
        self._end(by_force=True)

    def _run(self) -> None:
        all_at = 0.0
        while not self._closing.is_set():
            poll = select.poll()
            poll.register(self._bell, select.POLLIN)
            growth = self._growth
            if growth is not None:
                poll.register(growth.fileno(), select.POLLIN)
            poll.poll(1000 * (_ALL_S if growth is not None else _LOOK_S))
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._bell)
            grown = None if growth is None else growth.take()
            if (now := time.monotonic()) >= all_at:
                grown, all_at = None, now + _ALL_S
            with self._lock:
                new, self._new = self._new, []
                if grown is None:
                    logs = list(self._by_path.values())
                else:
                    logs = [*new, *(self._by_path[path] for path in grown if path in self._by_path)]
            self._send_in_turn(logs)
            self._end()
            if self._outbox.is_full:
                os.eventfd_write(self._bell, 1)  # the rest of the files is sent later
                all_at = 0.0
            self._closing.wait(_GAP_S)

    def _send_in_turn(self, logs: Sequence[_Log], by_force: bool = False) -> list[_Log]:
        """Sends a piece of each log in turn, so that no log waits for a long one; returns the logs without room."""
        self._num_rounds += 1
        first = self._num_rounds % len(logs) if logs else 0
        left = [*logs[first:], *logs[:first]]
        while left and (by_force or not self._outbox.is_full):
            left = [log for log in left if self._send_piece(log, by_force)]
        return left

    def _send_piece(self, log: _Log, by_force: bool) -> bool:
        with log.lock:
            return log.fd >= 0 and ((not by_force and self._outbox.is_full) or self._send(log))

    def _send(self, log: _Log) -> bool:
        """Sends a piece of a log; returns whether there may be more."""
        data = os.pread(log.fd, _CHUNK, log.position)
        if data:
            log.position += len(data)
            message = {"event": "log", "launch": log.launch, "name": log.name, "data": text_of(data)}
            self._outbox.put(message, len(data))
        return len(data) == _CHUNK
