"""Python programs as forks of a process that has imported the heavy libraries already.

``python PROGRAM`` spends most of its time on the import of pandas, which hundreds of tests would wait for. A fork has
the folder, environment, arguments, streams and exit code of a program of its own; its modules are loaded already.
Programs that are about their own imports or about being killed start an interpreter instead.

This file is also the program of the process that forks: ``python forked.py DESCRIPTOR MODULES``.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence
from pathlib import Path

PRELOADED = ("numpy", "pandas", "pyarrow", "syne_tune", "syne_tune.optimizer.baselines", "psutil", "dill")
_MOST_BYTES = 1 << 20


class ForkedPython:
    """See the module.

    Parameters
    ----------
    modules
        What is imported already.
    env
        Environment in which it is imported; by default that of this process.
    """

    def __init__(self, modules: Sequence[str] = PRELOADED, env: Mapping[str, str] | None = None) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, __file__, str(theirs.fileno()), ",".join(modules)]
        self._server = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=env)
        theirs.close()

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
        arguments
            What follows ``python``: a file, ``-m`` and a module, or ``-c`` and code; then arguments.
        cwd
            Its working directory.
        env
            Its environment; by default that of this process.
        timeout_s
            Seconds after which it is killed, and an error is raised; None: it may take as long as the test.
        """
        order = {"argv": list(map(str, arguments)), "cwd": str(cwd), "env": dict(os.environ if env is None else env)}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            socket.send_fds(self._socket, [json.dumps(order).encode()], [out.fileno(), err.fileno()])
            pid = int(self._socket.recv(64))
            self._socket.settimeout(timeout_s)
            try:
                code = int(self._socket.recv(64))
            except BaseException:
                os.kill(pid, 9)
                self._socket.settimeout(None)
                self._socket.recv(64)
                raise
            finally:
                self._socket.settimeout(None)
            texts = [stream.seek(0) or stream.read().decode() for stream in (out, err)]
        return subprocess.CompletedProcess(order["argv"], code, *texts)

    def close(self) -> None:
        """Ends the process that forks."""
        self._socket.close()
        self._server.wait()


def _next_program(control: socket.socket) -> list[str] | None:
    """Forks programs in turn, and waits for each. In a fork: what it is to run; None: there are no more."""
    while True:
        data, fds, _, _ = socket.recv_fds(control, _MOST_BYTES, 2)
        if not data:
            return None
        order = json.loads(data)
        pid = os.fork()
        if pid == 0:
            control.close()
            for number, fd in enumerate(fds, start=1):
                os.dup2(fd, number)
                os.close(fd)
            os.environ.clear()
            os.environ.update(order["env"])
            os.chdir(order["cwd"])
            return list(order["argv"])
        for fd in fds:
            os.close(fd)
        control.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        control.send(str(os.waitstatus_to_exitcode(status)).encode())


def _path(first: str) -> None:
    """``sys.path`` as an interpreter makes it, whose own entries are those of this process without the first."""
    added = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [first, *added, *(entry for entry in sys.path[1:] if entry not in added)]


def _serve() -> None:
    for name in sys.argv[2].split(","):
        importlib.import_module(name)
    gc.freeze()
    argv = _next_program(socket.socket(fileno=int(sys.argv[1])))
    if argv is None:
        return
    kind = argv[0]
    if kind == "-m":
        _path(os.getcwd())
        sys.argv[:] = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        _path("")
        sys.argv[:] = ["-c", *argv[2:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(argv[1], "<string>", "exec"), vars(main))
    else:
        _path(str(Path(kind).parent))
        sys.argv[:] = argv
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    _serve()
