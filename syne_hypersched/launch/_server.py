"""The preloading server: a process that has imported what training scripts import, and forks them.

:class:`~syne_hypersched.launch.Launcher` starts it once per backend. It reads commands from one socket and answers on
it, one JSON object a line. For each launch it forks a supervisor (``_supervisor.py``), which forks the ranks. It never
runs user code itself and never initialises CUDA, which does not work in a fork.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from syne_hypersched.launch._end import register_end, spare_loaded_modules
from syne_hypersched.launch._learning import record_imports
from syne_hypersched.launch._linux import adopt_orphans, children, use_huge_pages
from syne_hypersched.launch._nursery import Nursery
from syne_hypersched.launch._postponed import postpone_effects, watch_postponed
from syne_hypersched.launch._rank import before_the_script
from syne_hypersched.launch._script import ScriptStart
from syne_hypersched.launch._spec import LaunchExit, LaunchSpec, LineBuffer, encode
from syne_hypersched.launch._supervisor import supervise
from syne_hypersched.launch._threads import watch_thread_variables
from syne_hypersched.launch._trial_import import ThreadsHere, uses_gpu
from syne_hypersched.launch._warmth import PRELOADABLE, searched_first, why_cold

#: Seconds between two checks whether the tuner still lives (another process may have inherited its socket).
PARENT_CHECK_S = 1.0


@dataclass
class _Supervised:
    launch: int
    pid: int
    grace_s: float
    pipe: socket.socket
    messages: LineBuffer


class Server:
    """See the module.

    Parameters
    ----------
    control
        Socket to the tuner's process.
    tuner_pid
        Its process id.
    own_modules
        Names of the modules that every interpreter has loaded when it starts.
    named
        Variables that the script names, if slow imports are to be learnt from its launches; None: nothing is learnt.
    """

    def __init__(
        self, control: socket.socket, tuner_pid: int, own_modules: Collection[str], named: Collection[str] | None = None
    ) -> None:
        self._control = control
        self._tuner_pid = tuner_pid
        self._own_modules = frozenset(own_modules)
        self._commands = LineBuffer()
        self._base_env = dict(os.environ)
        self._supervised: dict[int, _Supervised] = {}
        self._deadline: tuple[float, float] | None = None
        #: Launches whose supervisor was killed; they end when the processes that it left behind are gone.
        self._orphaned: list[int] = []
        #: The same for launches of the second server, whose processes leave by themselves.
        self._bereaved: list[int] = []
        self._closing = False
        self._nursery = None if named is None else Nursery(self._tell, self._base_env, named, self._serve_as_second)
        self._selector = selectors.DefaultSelector()
        #: File descriptors that a supervisor must not inherit, beside those of the selector.
        self._private_fds: tuple[int, ...] = ()

    def preload(self, modules: list[str]) -> None:
        """Imports ``modules``; tells the tuner which ones cannot be imported, which is left to the script."""
        started = time.monotonic()
        register_end()
        if modules:
            postpone_effects()
        for module in modules:
            threads, before = ThreadsHere.look(), len(sys.modules)
            try:
                importlib.import_module(module)
            except Exception as error:
                self._tell({"event": "preload_failed", "module": module, "error": f"{type(error).__name__}: {error}"})
                # What it had imported is left without its package: a script that imports it again finds half of it.
                if len(sys.modules) > before:
                    self._start_over(modules, module)
            why = "it opens a GPU when it is imported" if uses_gpu() else ""
            if not why and module.partition(".")[0] not in PRELOADABLE:
                why = ThreadsHere.look().why_not(threads)
            if why:
                self._tell({"event": "left_out", "module": module, "why": why})
                self._start_over(modules, module)
        use_huge_pages()
        self._tell({"event": "ready", "preload_s": time.monotonic() - started})

    def _start_over(self, modules: list[str], left_out: str) -> NoReturn:
        """Preloads again without one of the modules. The new image reads on where this one stopped."""
        os.set_inheritable(self._control.fileno(), True)
        rest = ",".join(module for module in modules if module != left_out)
        os.execv(sys.executable, [*sys.orig_argv[:-1], rest])

    def serve(self) -> None:
        """Serves until the tuner closes the socket or dies, then drains all launches and returns."""
        watch_thread_variables()
        watch_postponed()
        spare_loaded_modules()
        gc.collect()
        gc.freeze()  # children share the memory of objects that the collector does not touch
        adopt_orphans()
        wakeup_read, wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._private_fds = (wakeup_write,)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
        for signum in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(signum, lambda *_: None)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(wakeup_read, selectors.EVENT_READ)
        while not self._closing or self._supervised or self._orphaned or self._bereaved or self._has_second:
            for key, _ in self._selector.select(PARENT_CHECK_S):
                if key.fileobj is self._control:
                    self._read_control()
                elif key.fileobj == wakeup_read:
                    with contextlib.suppress(BlockingIOError):
                        if signal.SIGTERM in os.read(wakeup_read, 4096):
                            self._close()
                elif key.data is None:
                    self._read_second()
                else:
                    self._read_supervisor(key.data)
            self._reap()
            if self._nursery is not None and not self._closing:
                self._nursery.look(self._supervised, self._fork_second)
                self._listen_to_second()
            if os.getppid() != self._tuner_pid:
                self._close()

    def _read_control(self) -> None:
        try:
            data = self._control.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._close()
        for command in self._commands.feed(data):
            if command["command"] == "launch":
                self._launch(command["launch"], LaunchSpec.from_json(command["spec"], self._base_env))
            elif command["command"] == "deadline":
                self._deadline = (command["drain_at"], command["kill_at"])
                for supervised in list(self._supervised.values()):
                    self._order(supervised, command)
                if self._nursery is not None:
                    self._nursery.send(command)
            elif self._nursery is not None and command["launch"] in self._nursery.launches:
                self._nursery.send(command)
            elif command["launch"] in self._supervised:
                self._order(self._supervised[command["launch"]], command)

    def _launch(self, launch: int, spec: LaunchSpec) -> None:
        if spec.warm and self._nursery is not None and self._nursery.is_ready:
            self._nursery.take(launch, spec)
            return
        if spec.warm:
            spec = self._cold_if_needed(spec)
        record = None if self._nursery is None else self._nursery.record_for(launch, spec)
        ours, theirs = socket.socketpair()
        me = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            ours.close()
            theirs.close()
            self._tell_exit(launch, error=f"cannot fork: {error}", lost=False)
            return
        if pid == 0:
            self._leave()
            ours.close()
            if record is not None:
                before_the_script(functools.partial(record_imports, record))
            supervise(spec, theirs, self._deadline, me)
        theirs.close()
        supervised = _Supervised(launch, pid, spec.grace_s, ours, LineBuffer())
        self._supervised[launch] = supervised
        self._selector.register(ours, selectors.EVENT_READ, supervised)

    def _leave(self) -> None:
        """Releases the server's resources in a fork."""
        signal.set_wakeup_fd(-1)
        for fd in {*(key.fd for key in self._selector.get_map().values()), *self._private_fds}:
            os.close(fd)
        self._selector.close()

    # The second server.

    @property
    def _has_second(self) -> bool:
        return self._nursery is not None and self._nursery.pid is not None

    def _fork_second(self) -> int:
        pid = os.fork()
        if pid == 0:
            self._leave()
        return pid

    def _serve_as_second(self, control: socket.socket) -> None:
        """Runs the second server, in its process."""
        server = Server(control, os.getppid(), self._own_modules)
        server._base_env, server._deadline = self._base_env, self._deadline
        if self._nursery is not None:
            server._nursery = self._nursery.heir(server._tell, server._serve_as_second)
        server.serve()

    def _read_second(self) -> None:
        assert self._nursery is not None
        lost = self._nursery.read(self._fork_second, self._selector.unregister)
        self._bereaved += sorted(lost)
        self._listen_to_second()

    def _listen_to_second(self) -> None:
        pipe = None if self._nursery is None else self._nursery.pipe
        if pipe is not None and pipe.fileno() not in self._selector.get_map():
            self._selector.register(pipe, selectors.EVENT_READ)

    def _cold_if_needed(self, spec: LaunchSpec) -> LaunchSpec:
        """Makes a launch cold, with its own interpreter, if a fork would not behave as the script expects."""
        for rank in spec.ranks:
            folders = searched_first(spec.argv[0], rank.env, spec.cwd)
            reason = why_cold(rank.env, self._base_env, folders, sys.modules, self._own_modules)
            if reason:
                self._tell({"event": "cold", "script": spec.argv[0], "reason": reason})
                return replace(spec, warm=False, argv=(sys.executable, *spec.argv))
        return spec

    def _order(self, supervised: _Supervised, command: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the server is ending
            supervised.pipe.sendall(encode(command))

    def _read_supervisor(self, supervised: _Supervised) -> None:
        try:
            data = supervised.pipe.recv(65536)
        except ConnectionError:
            data = b""
        for message in supervised.messages.feed(data):
            self._tell({**message, "launch": supervised.launch})
            if message["event"] == "exit":
                self._forget(supervised)
                return
        if not data:  # the supervisor died without reporting an exit; its ranks died with it
            self._forget(supervised)
            self._orphaned.append(supervised.launch)

    def _forget(self, supervised: _Supervised) -> None:
        if self._supervised.pop(supervised.launch, None) is not None:
            self._selector.unregister(supervised.pipe)
            supervised.pipe.close()

    def _reap(self) -> None:
        """Reaps supervisors, and kills the processes that a killed supervisor has left behind."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        if self._orphaned:
            strays = self._strays()
            for stray in strays:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stray, signal.SIGKILL)
            if not strays:
                for launch in self._orphaned:
                    self._tell_exit(launch, error="the supervisor of the launch was killed", lost=True)
                self._orphaned.clear()
        if self._bereaved and not self._strays():
            for launch in self._bereaved:
                self._tell_exit(launch, error="", lost=True)
            self._bereaved.clear()

    def _strays(self) -> list[int]:
        """Children of this server whose supervisors are gone."""
        known: set[int | None] = {supervised.pid for supervised in self._supervised.values()}
        known.add(None if self._nursery is None else self._nursery.pid)
        return [child for child in children() if child not in known]

    def _close(self) -> None:
        """Drains all launches; the server leaves when the last one has ended."""
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(KeyError):
            self._selector.unregister(self._control)
        for supervised in list(self._supervised.values()):
            # Not by a signal: a newly forked supervisor could not handle it yet.
            self._order(supervised, {"command": "drain", "grace_s": supervised.grace_s})
        if self._nursery is not None:
            self._nursery.close()

    def _tell_exit(self, launch: int, error: str, lost: bool) -> None:
        exit_ = LaunchExit(exit_codes=(), first_failed=None, drained=False, killed=lost, lost=lost, error=error)
        self._tell({"event": "exit", "launch": launch, "exit": exit_.__dict__, "time": time.monotonic()})

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the tuner is gone
            self._control.sendall(encode(message))


def main(argv: list[str], own_modules: Collection[str]) -> tuple[str, ...] | None:
    """Runs the server. Returns in its forks as well, with the script to run there and its arguments.

    Parameters
    ----------
    argv
        File descriptor of the socket, the tuner's process id, the variables that the script names (with commas, after
        a plus sign; without it nothing is learnt), and the preload list (with commas).
    own_modules
        Names of the modules that every interpreter has loaded when it starts.
    """
    control = socket.socket(fileno=int(argv[0]))
    control.set_inheritable(False)
    named = argv[2][1:].split(",") if argv[2].startswith("+") else None
    server = Server(control, int(argv[1]), own_modules, named)
    server.preload([module for module in argv[3].split(",") if module])
    try:
        server.serve()
    except ScriptStart as start:  # in the process of a rank
        return start.argv
    control.close()
    return None
