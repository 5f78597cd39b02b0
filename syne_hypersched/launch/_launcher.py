"""The tuner's side of launching: starts the preloading server, sends it commands, and receives how launches ended."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syne_hypersched.checkpoints import Beginning, Matched
from syne_hypersched.launch._identity import is_same, start_ticks
from syne_hypersched.launch._spec import LaunchExit, LaunchSpec, LineBuffer, encode
from syne_hypersched.launch._trial_import import FAILS

logger = logging.getLogger(__name__)

#: Runs the server from the same files as this process, installed or not, and leaves ``sys.path`` as a script finds it,
#: without the script's folder. Until the server has its modules, Python's own library comes first: modules in the
#: working directory, which ``-c`` adds, or in a folder of ``PYTHONPATH`` must not replace the server's own.
_BOOT = """\
import os, sys
own = set(sys.modules)
if not getattr(sys.flags, "safe_path", False):
    del sys.path[0]
path, library = sys.path[:], os.path.dirname(os.__file__)
first = [library, os.path.join(library, "lib-dynload"), {root!r}]
sys.path[:] = [*first, *(entry for entry in path if entry not in first)]
from syne_hypersched.launch._script import run_script
from syne_hypersched.launch._server import main
sys.path[:] = path
script = main(sys.argv[1:], own)
if script:
    run_script(script)
"""


@dataclass
class _LiveLaunch:
    """A launch that has not ended."""

    supervisor: tuple[int, int] | None = None
    """Process id and start time (:func:`~syne_hypersched.launch.start_ticks`) of its supervisor, once known."""

    is_drained: bool = False
    """Whether its end was ordered."""


class Launcher:
    """Starts, drains and reaps the processes of trials.

    .. code-block:: python

        launcher = Launcher(on_launched, on_exit, preload=["torch"])
        rank = RankSpec(env=dict(os.environ), stdout="std.out", stderr="std.err")
        launch = launcher.launch(LaunchSpec(("train.py", "--lr", "0.1"), (rank,), warm=True, grace_s=10.0))
        launcher.drain(launch, grace_s=10.0)
        launcher.close()

    All methods but :meth:`close` return at once. Callbacks report what happens. They run in one thread of the launcher
    and must not block. The server process is started at the first launch and again if it was killed.

    Parameters
    ----------
    on_launched
        Called as ``on_launched(launch, pids, time)`` when the processes of a launch exist; ``time`` is in seconds, on
        the monotonic clock.
    on_exit
        Called as ``on_exit(launch, exit, time)`` exactly once for every launch, when its last process is reaped.
    preload
        Modules that the server imports before it forks.
    named
        Names of variables that the script may set. If given, slow modules that the first launches import are preloaded
        for later ones, unless they start threads, open a GPU or read such a variable when they are imported. None:
        nothing is learnt.
    log_path
        File for the server's output, such as warnings of preloaded modules; None: it is dropped.
    on_checkpoint
        Called as ``on_checkpoint(launch, news)`` with the checkpoint from which a launch begins, and with each report
        whose checkpoint has been found, for launches that name their checkpoint folder; None: not called.
    environment
        Returns the environment of the server when it is started; by default that of this process.
    on_left
        Called as ``on_left(launch, rank)`` when one of several processes of a launch has exited with code 0 and others
        are left; None: not called.
    """

    def __init__(
        self,
        on_launched: Callable[[int, list[int], float], None],
        on_exit: Callable[[int, LaunchExit, float], None],
        preload: Sequence[str] = (),
        log_path: Path | None = None,
        on_checkpoint: Callable[[int, Beginning | Matched], None] | None = None,
        environment: Callable[[], Mapping[str, str]] | None = None,
        named: Collection[str] | None = None,
        on_left: Callable[[int, int], None] | None = None,
    ) -> None:
        self._on_launched = on_launched
        self._on_checkpoint = on_checkpoint
        self._on_exit = on_exit
        self._on_left = on_left
        self._preload = tuple(preload)
        self._named = "-" if named is None else f"+{','.join(sorted(named))}"
        self._log_path = log_path
        self._environment = environment or (lambda: os.environ)
        #: The reasons, already logged, why launches were cold instead of warm.
        self._reasons: set[str] = set()
        self._lock = threading.Lock()
        self._ids = itertools.count()
        self._live: dict[int, _LiveLaunch] = {}
        self._deadline: dict[str, Any] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        #: The server that was killed before it had preloaded its modules, because all launches were drained.
        self._abandoned: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._base_env: dict[str, str] = {}
        #: Whether the server has preloaded its modules. A server that dies earlier would die again.
        self._ready = False
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def is_ready(self) -> bool:
        """Whether the server has imported what it preloads, so that a launch takes no longer than any later one."""
        return self._ready

    def warm_up(self) -> None:
        """Starts the server, so that it preloads before the first launch.

        Raises
        ------
        RuntimeError
            The launcher is closed.
        """
        with self._lock:
            self._ensure_server()

    def launch(self, spec: LaunchSpec) -> int:
        """Starts the processes of a launch.

        Parameters
        ----------
        spec
            What to start.

        Returns
        -------
        int
            The number of this launch, for callbacks and other methods.

        Raises
        ------
        RuntimeError
            The launcher is closed.
        """
        with self._lock:
            self._ensure_server()
            launch = next(self._ids)
            self._live[launch] = _LiveLaunch()
            self._send({"command": "launch", "launch": launch, "spec": spec.to_json(self._base_env)})
            return launch

    def drain(self, launch: int, grace_s: float) -> None:
        """Sends SIGTERM to the ranks of a launch, and SIGKILL to its whole process tree after a grace period.

        A second call can only shorten the time that is left. Nothing happens to a launch that has ended.

        Parameters
        ----------
        launch
            Number of the launch.
        grace_s
            Seconds from SIGTERM to SIGKILL.
        """
        with self._lock:
            live = self._live.get(launch)
            if live is None:
                return
            live.is_drained = True
            self._send({"command": "drain", "launch": launch, "grace_s": grace_s})
            if not self._ready and self._server is not None and all(other.is_drained for other in self._live.values()):
                # The server is still importing, which may never end, and no launch waits for it.
                self._abandoned = self._server
                self._server.kill()

    def follow(self, time_attr: str | None, metric: str | None, do_minimize: bool) -> None:
        """Tells all launches which entries of a report are the resource level and the metric.

        Parameters
        ----------
        time_attr
            Name of the resource level; None: not known.
        metric
            Name of the metric; None: not known.
        do_minimize
            Whether the metric is to be minimised.
        """
        with self._lock:
            entries = {"time_attr": time_attr, "metric": metric, "do_minimize": do_minimize}
            for launch in self._live:
                self._send({"command": "follow", "launch": launch, **entries})

    def set_deadline(self, drain_at: float, kill_at: float) -> None:
        """Sets the moments at which every launch, also a later one, is drained and killed.

        This happens on time even if the tuner's process is busy, stopped or gone.

        Parameters
        ----------
        drain_at
            When SIGTERM is sent, in seconds of the monotonic clock.
        kill_at
            When SIGKILL is sent to what is left, in seconds of the monotonic clock.
        """
        with self._lock:
            self._deadline = {"command": "deadline", "drain_at": drain_at, "kill_at": kill_at}
            if self._server is not None:
                self._send(self._deadline)

    def close(self, wait: bool = True) -> None:
        """Drains all launches and ends the server.

        Parameters
        ----------
        wait
            Whether to return only when no process is left and every callback has returned.
        """
        with self._lock:
            self._closed = True
            server, thread = self._server, self._thread
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_WR)
        if server is not None and wait:
            server.wait()
        if thread is not None and wait and thread is not threading.current_thread():
            thread.join()

    @property
    def server_pid(self) -> int | None:
        """Process id of the running server; None before the first launch."""
        return None if self._server is None else self._server.pid

    def _ensure_server(self) -> None:
        if self._closed:
            raise RuntimeError("the launcher is closed")
        if self._server is not None:
            return
        ours, theirs = socket.socketpair()
        self._ready = False
        self._base_env = dict(self._environment())
        argv = [sys.executable, "-c", _BOOT.format(root=str(Path(__file__).resolve().parents[2]))]
        argv += [str(theirs.fileno()), str(os.getpid()), self._named, ",".join(self._preload)]
        log = (
            subprocess.DEVNULL
            if self._log_path is None
            else os.open(self._log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        )
        try:
            self._server = subprocess.Popen(
                argv,
                env=self._base_env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C in the terminal is for the tuner alone
            )
        finally:
            theirs.close()
            if log != subprocess.DEVNULL:
                os.close(log)
        self._socket = ours
        if self._deadline is not None:
            self._send(self._deadline)
        self._thread = threading.Thread(
            target=self._listen, args=(ours, self._server), name="syne-hypersched-launcher", daemon=True
        )
        self._thread.start()

    def _send(self, message: dict[str, Any]) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # the server died: the listening thread notices and reports it
                self._socket.sendall(encode(message))

    def _listen(self, connection: socket.socket, server: subprocess.Popen[bytes]) -> None:
        messages = LineBuffer()
        while True:
            try:
                data = connection.recv(65536)
            except OSError:
                data = b""
            if not data:
                break
            for message in messages.feed(data):
                self._handle(message)
        connection.close()
        server.wait()
        with self._lock:
            ended = dict(self._live)
            self._live.clear()
            self._server = self._socket = None
            ready, preload, closed = self._ready, self._preload, self._closed
            is_abandoned = server is self._abandoned
            if not (ready or is_abandoned):
                self._preload = ()
        is_fine = ready or preload or is_abandoned
        error = "" if is_fine else f"the server of launches ended with code {server.returncode} at its start"
        if not (closed or is_abandoned):
            self._warn_of_the_end(server, len(ended), ready, preload)
        for launch, live in ended.items():
            _wait_until_gone(live)
            is_lost = not (error or is_abandoned)
            exit_ = LaunchExit((), first_failed=None, drained=not error, killed=False, lost=is_lost, error=error)
            self._on_exit(launch, exit_, time.monotonic())

    def _warn_of_the_end(
        self, server: subprocess.Popen[bytes], num_ended: int, ready: bool, preload: tuple[str, ...]
    ) -> None:
        if ready:
            what = "go on from their checkpoints, and a new server is started"
        elif preload:
            what = f"start again, without preloading: importing one of {', '.join(preload)} seems to end the process"
        else:
            what = "have failed"
        logger.warning(
            "The preloading server (pid %d) ended unexpectedly with code %s; %d running launches %s. Its output is in "
            "%s.", server.pid, server.returncode, num_ended, what, self._log_path,
        )  # fmt: skip

    def _handle(self, message: dict[str, Any]) -> None:
        event = message["event"]
        if event == "launched":
            started = start_ticks(message["supervisor"])
            with self._lock:
                live = self._live.get(message["launch"])
                if live is not None and started is not None:
                    live.supervisor = (message["supervisor"], started)
            self._on_launched(message["launch"], message["pids"], message["time"])
        elif event == "exit":
            with self._lock:
                known = self._live.pop(message["launch"], None) is not None
            if known:
                self._on_exit(message["launch"], LaunchExit.from_json(message["exit"]), message["time"])
        elif event in ("began", "matched"):
            if self._on_checkpoint is not None:
                news = Beginning(**message["began"]) if event == "began" else Matched(**message["matched"])
                self._on_checkpoint(message["launch"], news)
        elif event == "left":
            if self._on_left is not None:
                self._on_left(message["launch"], message["rank"])
        elif event == "ready":
            with self._lock:
                self._ready = True
        elif event == "cold":
            if message["reason"] not in self._reasons:
                self._reasons.add(message["reason"])
                logger.warning(
                    "%s is launched cold, with an interpreter of its own, which takes longer: %s.",
                    message["script"], message["reason"],
                )  # fmt: skip
        elif event == "preload_failed":
            # The import may be inside a try statement, or may need preparation by the script.
            logger.log(
                logging.WARNING if self._named == "-" else logging.DEBUG,
                "Module %s cannot be preloaded, trials import it themselves: %s", message["module"], message["error"],
            )  # fmt: skip
        elif event == "left_out":
            logger.log(
                logging.DEBUG if message["why"].startswith(FAILS) else logging.WARNING,
                "Module %s is not preloaded, since %s. Trials import it themselves.", message["module"], message["why"],
            )  # fmt: skip
        elif event == "learnt":
            logger.info(
                "From now on trials start with %s loaded, which a launch before has imported in %.1f s.",
                ", ".join(message["modules"]), message["seconds"],
            )  # fmt: skip


def _wait_until_gone(live: _LiveLaunch) -> None:
    """Waits for the end of a supervisor that outlived the server, which drains its launch by itself."""
    while live.supervisor is not None and is_same(*live.supervisor):
        time.sleep(0.02)
