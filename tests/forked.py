"""Python programs as forks of a process that has imported the heavy libraries already.

``python PROGRAM`` spends most of its time on the import of pandas, which hundreds of tests would wait for. A fork has
the folder, environment, arguments, streams and exit code of a program of its own; its modules are loaded already.
Programs that are about their own imports start an interpreter instead.

This file is also the program of the process that forks: ``python forked.py DESCRIPTOR MODULES``.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

#: What most programs import, this package included.
PRELOADED = (
    "numpy", "pandas", "pyarrow", "syne_tune", "syne_tune.optimizer.baselines", "psutil", "dill", "cyclopts",
    "matplotlib.backends.backend_agg", "matplotlib.pyplot", "syne_hypersched.*", "syne_hypersched.cli",
)  # fmt: skip
_MOST_BYTES = 1 << 20


class ForkedProgram:
    """A program that runs, with the methods of ``subprocess.Popen`` that tests need.

    The process that has forked it waits for it, and writes its exit code into a pipe.
    """

    def __init__(self, status_fd: int, argv: list[str]) -> None:
        self._status = os.fdopen(status_fd, "rb", buffering=0)
        self.args = argv
        self.returncode: int | None = None
        self.pid = self._number()

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout_s: float | None = None) -> int:
        """Waits for its end, and returns its exit code."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout_s)[0]:
                raise TimeoutError(f"{self.args} has run for {timeout_s} s")
            self._end()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kills it, if it runs."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Asks it to end, if it runs."""
        self.send_signal(signal.SIGTERM)

    def _end(self) -> None:
        self.returncode = self._number()
        self._status.close()

    def _number(self) -> int:
        return int(self._status.readline())


class ForkedPython:
    """See the module.

    Parameters
    ----------
    modules
        What is imported already: a module, or with ``.*`` all public names of a package.
    env
        Environment in which it is imported; by default that of this process.
    """

    def __init__(self, modules: Sequence[str] = PRELOADED, env: Mapping[str, str] | None = None) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, __file__, str(theirs.fileno()), ",".join(modules)]
        self._server = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=env)
        theirs.close()

    def start(
        self,
        arguments: Sequence[object],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        *,
        stdout: IO[bytes],
        stderr: IO[bytes],
        new_session: bool = False,
    ) -> ForkedProgram:
        """Starts a program, like ``subprocess.Popen``.

        Parameters
        ----------
        arguments
            What follows ``python``: a file, ``-m`` and a module, or ``-c`` and code; then arguments.
        cwd
            Its working directory; by default that of this process.
        env
            Its environment; by default that of this process.
        stdout, stderr
            Open files that it writes to.
        new_session
            Whether it has a session, and thus a process group, of its own.
        """
        order = {
            "argv": list(map(str, arguments)),
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "new_session": new_session,
        }
        status, theirs = os.pipe()
        try:
            fds = [stdout.fileno(), stderr.fileno(), theirs]
            socket.send_fds(self._socket, [json.dumps(order).encode()], fds)
        finally:
            os.close(theirs)
        return ForkedProgram(status, order["argv"])

    def run(
        self,
        arguments: Sequence[object],
        cwd: Path,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = 280.0,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end, like ``subprocess.run`` with captured text.

        Parameters
        ----------
        arguments, cwd, env
            As those of :meth:`start`.
        timeout_s
            Seconds after which it is killed, and an error is raised; None: it may take as long as the test.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            program = self.start(arguments, cwd, env, stdout=out, stderr=err)
            try:
                code = program.wait(timeout_s)
            except BaseException:
                program.kill()
                program.wait()
                raise
            texts = [stream.seek(0) or stream.read().decode() for stream in (out, err)]
        return subprocess.CompletedProcess(program.args, code, *texts)

    def close(self) -> None:
        """Ends the process that forks."""
        self._socket.close()
        self._server.wait()


def _next_program(control: socket.socket) -> list[str] | None:
    """Forks programs, each from a process that waits for it. In a program: what it is to run; None at the end."""
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        data, fds, _, _ = socket.recv_fds(control, _MOST_BYTES, 3)
        if not data:
            return None
        if os.fork() == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            order = json.loads(data)
            pid = os.fork()
            if pid == 0:
                _become(order, *fds)
                return list(order["argv"])
            _wait_for(pid, *fds)
        for fd in fds:
            os.close(fd)


def _reap(*_: object) -> None:
    """Collects those that have waited for a program, with the processor time of both."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(order: Mapping[str, Any], out: int, err: int, status: int) -> None:
    os.close(status)
    for number, fd in enumerate((out, err), start=1):
        os.dup2(fd, number)
        os.close(fd)
    if order["new_session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    tempfile.tempdir = None  # what was TMPDIR then


def _wait_for(pid: int, out: int, err: int, status: int) -> NoReturn:
    """Writes the number of a process, and its exit code when it has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal
    with contextlib.suppress(BrokenPipeError):
        os.close(out), os.close(err)
        os.write(status, b"%d\n" % pid)
        _, ended = os.waitpid(pid, 0)
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
    os._exit(0)


def _path(first: str) -> None:
    """``sys.path`` as an interpreter makes it, whose own entries are those of this process without the first."""
    added = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [first, *added, *(entry for entry in sys.path[1:] if entry not in added)]


def _serve() -> None:
    root = str(Path(__file__).parents[1])  # the package beside these tests, which may be a copy
    sys.path.insert(0, root)
    for name in sys.argv[2].split(","):
        module = importlib.import_module(name.removesuffix(".*"))
        for public in module.__all__ if name.endswith(".*") else ():
            getattr(module, public)
    sys.path.remove(root)
    gc.freeze()
    argv = _next_program(socket.socket(fileno=int(sys.argv[1])))
    if argv is None:
        return
    try:
        _run(argv)
        code = 0
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise
        code = ended.code or 0
    _end(code)


def _run(argv: list[str]) -> None:
    kind = argv[0]
    if kind == "-m":
        _path(os.getcwd())
        sys.argv[:] = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        _path("")
        sys.argv[:] = ["-c", *argv[2:]]
        _execute(compile(argv[1], "<string>", "exec"))
    else:
        _path(str(Path(kind).parent))
        sys.argv[:] = argv
        _execute(compile(Path(kind).read_bytes(), kind, "exec"), __file__=kind)


def _execute(code: types.CodeType, **names: object) -> None:
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    vars(main).update(names)
    exec(code, vars(main))


def _end(code: int) -> None:
    """Ends as an interpreter does, but does not take two thousand modules apart: five times the rest of the work."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if vars(sys.modules["__main__"]) is not globals():
        vars(sys.modules["__main__"]).clear()  # closes files
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except (OSError, ValueError):
        return  # the interpreter says so
    os._exit(code)


if __name__ == "__main__":
    _serve()
