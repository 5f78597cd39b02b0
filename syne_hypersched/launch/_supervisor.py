"""One process per launch that starts, watches, signals and reaps all processes of the launch.

The supervisor adopts orphans, so that all descendants of a training script stay in its tree. It exits only when every
process of the tree is reaped. Grace periods and the deadline are enforced here, on time, even while the tuner is busy.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
import traceback
from dataclasses import asdict
from typing import Any, NoReturn

from syne_hypersched._signal_handlers import has_handler
from syne_hypersched.checkpoints import Beginning, GenerationKeeper
from syne_hypersched.launch._linux import adopt_orphans, die_with_parent, kill_descendants
from syne_hypersched.launch._rank import RANK_SIGNALS, run_rank
from syne_hypersched.launch._script import ScriptStart
from syne_hypersched.launch._spec import LaunchExit, LaunchSpec, LineBuffer, encode

#: Seconds that the other ranks get to end after one has failed; they usually wait for it in a collective operation.
PEER_GRACE_S = 2.0
#: Share of the grace period for which SIGTERM is held back while a process saves; the rest is left for its exit.
_SAVING_SHARE = 0.8
#: Seconds between two checks while SIGTERM is held back.
_LOOK_S = 0.005


class Supervisor:
    """Runs one launch to its end; see the module.

    Parameters
    ----------
    spec
        What to launch.
    pipe
        Connection to the server, which sends ``drain`` and ``deadline`` messages and gets ``launched`` and ``exit``.
        Its end means that the server is gone: the launch is drained.
    deadline
        ``drain_at`` and ``kill_at`` on the monotonic clock (seconds), or ``None``.
    """

    def __init__(self, spec: LaunchSpec, pipe: socket.socket, deadline: tuple[float, float] | None) -> None:
        self._spec = spec
        self._pipe = pipe
        self._messages = LineBuffer()
        self._deadline = deadline
        self._rank_of: dict[int, int] = {}
        self._exit_codes: list[int | None] = [None] * len(spec.ranks)
        self._first_failed: int | None = None
        #: Whether the ranks must exit, and whether SIGTERM was sent.
        self._drained = self._terminated = False
        self._killed = self._lost = False
        #: Ranks that had a handler of SIGTERM when it was sent. If such a rank dies of SIGTERM later, it exited by
        #: itself.
        self._handled: set[int] = set()
        #: When the remaining processes are killed (monotonic seconds); None while no process has to exit.
        self._kill_at: float | None = None
        #: Latest time at which SIGTERM is sent (monotonic seconds); None if it was not requested, or was sent already.
        self._term_at: float | None = None
        self._send_lock = threading.Lock()
        self._keeper = None if spec.checkpoints is None else GenerationKeeper(spec.checkpoints, self._send)

    def run(self) -> NoReturn:
        """Starts the ranks, waits for all of them, ends what they left behind, reports, and exits."""
        wakeup_read, wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
        for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, lambda *_: None)
        error = ""
        beginning = Beginning()
        private_fds: tuple[int, ...] = (self._pipe.fileno(), wakeup_read, wakeup_write)
        if self._keeper is not None:
            beginning = self._keeper.prepare()
            private_fds += self._keeper.private_fds
        gate = os.pipe2(os.O_CLOEXEC)
        try:
            self._start_ranks((*private_fds, gate[1]), gate[0])
        except OSError as os_error:
            error = f"cannot start a process: {os_error}"
            self._kill_ranks()  # they would wait for the failed rank forever
        if self._keeper is not None:
            self._keeper.start(list(self._rank_of))
        self._send(
            {"event": "launched", "supervisor": os.getpid(), "pids": list(self._rank_of), "time": time.monotonic()}
        )
        if self._keeper is not None:
            self._send({"event": "began", "began": asdict(beginning)})
        # On a busy machine a short script could end before its saves are watched.
        for fd in gate:
            os.close(fd)
        while self._rank_of:
            sources = [wakeup_read] if self._lost else [wakeup_read, self._pipe.fileno()]
            ready, _, _ = select.select(sources, [], [], self._timeout())
            if wakeup_read in ready:
                with contextlib.suppress(BlockingIOError):
                    if set(os.read(wakeup_read, 4096)) & {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
                        self._drain(self._spec.grace_s)
            self._reap()  # before any command is read, which may have come too late
            if self._pipe.fileno() in ready:
                self._receive()
            self._keep_time()
        num_left = kill_descendants()
        ending = None if self._keeper is None else self._keeper.finish(self._exit_codes, self._handled)
        exit_ = LaunchExit(
            exit_codes=tuple(self._exit_codes),
            first_failed=self._first_failed,
            drained=self._terminated,
            killed=self._killed,
            lost=self._lost,
            error=error,
            checkpoints=ending,
            num_left=num_left,
        )
        self._send({"event": "exit", "exit": exit_.to_json(), "time": time.monotonic()})
        os._exit(0)  # closes the keeper, too

    def _start_ranks(self, own_fds: tuple[int, ...], gate: int) -> None:
        me = os.getpid()
        # A signal that reaches a rank before it has reset the handlers must wait, or it would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, RANK_SIGNALS)
        try:
            for index, rank in enumerate(self._spec.ranks):
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    for fd in own_fds:
                        os.close(fd)
                    run_rank(self._spec, rank, me, gate)
                self._rank_of[pid] = index
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, RANK_SIGNALS)

    def _timeout(self) -> float | None:
        moments = [self._kill_at] if self._kill_at is not None else []
        if self._term_at is not None:
            moments.append(time.monotonic() + _LOOK_S)
        if self._deadline is not None:
            moments += [moment for moment in self._deadline if moment > time.monotonic()]
            if not self._drained:
                moments.append(self._deadline[0])  # which may have passed before the processes were started
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _keep_time(self) -> None:
        now = time.monotonic()
        if self._deadline is not None:
            drain_at, kill_at = self._deadline
            if now >= drain_at:
                self._drain(kill_at - now)
        if self._term_at is not None and (now >= self._term_at or not self._is_saving()):
            self._terminate()
        if self._kill_at is not None and now >= self._kill_at and self._rank_of:
            self._kill_ranks()
            self._kill_at = None if self._deadline is None or now >= self._deadline[1] else self._deadline[1]

    def _kill_ranks(self) -> None:
        self._killed = True
        if self._keeper is not None:
            self._keeper.kill()
        for pid in self._rank_of:
            _kill(pid, signal.SIGKILL)

    def _drain(self, grace_s: float) -> None:
        """Asks every rank to checkpoint and exit. Children of a rank are not asked, and are ended with it."""
        if not self._rank_of:
            return  # they have ended by themselves
        kill_at = time.monotonic() + max(0.0, grace_s)
        if not self._drained:
            self._drained = True
            self._kill_at = kill_at if self._kill_at is None else min(kill_at, self._kill_at)
            # A process that is saving may finish first, because SIGTERM could end it at once.
            self._term_at = time.monotonic() + _SAVING_SHARE * max(0.0, grace_s)
            if not self._is_saving():
                self._terminate()
        elif self._kill_at is not None:
            self._kill_at = min(kill_at, self._kill_at)
            if self._term_at is not None:
                self._term_at = min(self._term_at, time.monotonic() + _SAVING_SHARE * max(0.0, grace_s))

    def _is_saving(self) -> bool:
        return self._keeper is not None and self._keeper.is_saving()

    def _terminate(self) -> None:
        may_wait = self._term_at is not None and time.monotonic() < self._term_at
        handled = {rank for pid, rank in self._rank_of.items() if has_handler(pid, [signal.SIGTERM])}
        # At once after this, the signals: a save that begins between the two may be cut off.
        if self._keeper is not None and not self._keeper.drain(may_wait):
            return  # this is checked again soon
        self._term_at, self._terminated, self._handled = None, True, handled
        for pid in self._rank_of:
            _kill(pid, signal.SIGTERM)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            rank = self._rank_of.pop(pid, None)
            if rank is None:
                continue  # an orphan that this process had adopted
            code = os.waitstatus_to_exitcode(status)
            self._exit_codes[rank] = code
            if self._keeper is not None and code == 0 and not self._terminated:
                self._keeper.forget(pid)
            if self._keeper is not None and code == -signal.SIGTERM and rank not in self._handled:
                self._keeper.strike()
            if code == 0 and self._rank_of and not self._drained:
                self._send({"event": "left", "rank": rank})  # its resources can be used again
            if code != 0 and not self._terminated and self._first_failed is None:
                self._first_failed = rank
                self._kill_at = time.monotonic() + PEER_GRACE_S

    def _receive(self) -> None:
        try:
            data = self._pipe.recv(65536)
        except ConnectionError:  # the server died before it had read what this process has sent
            data = b""
        if not data:
            self._lost = True
            self._drain(self._spec.grace_s)
            return
        for message in self._messages.feed(data):
            if message["command"] == "drain":
                self._drain(message["grace_s"])
            elif message["command"] == "deadline":
                self._deadline = (message["drain_at"], message["kill_at"])
            elif message["command"] == "follow" and self._keeper is not None:
                self._keeper.follow(message["time_attr"], message["metric"], message["do_minimize"])

    def _send(self, message: dict[str, Any]) -> None:
        with self._send_lock, contextlib.suppress(OSError):  # the server is gone: nobody listens
            self._pipe.sendall(encode(message))


def _kill(pid: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signum)


def supervise(spec: LaunchSpec, pipe: socket.socket, deadline: tuple[float, float] | None, server_pid: int) -> NoReturn:
    """Turns this freshly forked process into the supervisor of a launch. Never returns."""
    try:
        os.setsid()
        adopt_orphans()
        die_with_parent(server_pid, signal.SIGTERM)
        Supervisor(spec, pipe, deadline).run()
    except ScriptStart:
        raise  # in the process of a rank
    except BaseException:
        traceback.print_exc()  # to the server's log
        kill_descendants()
        os._exit(1)
