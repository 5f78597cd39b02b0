"""The supervisor of a launch when its server or its connection fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

pytestmark = pytest.mark.usefixtures("no_process_left")

#: Plays the server: forks a supervisor for the script ``train.py`` with two ranks.
_SERVER = """
import os, signal, socket, sys, time
from syne_hypersched.launch._spec import LaunchSpec, RankSpec
from syne_hypersched.launch._supervisor import supervise

ours, theirs = socket.socketpair()
ranks = tuple(RankSpec({**os.environ, "RANK": str(i)}, f"out{i}", f"err{i}") for i in range(2))
spec = LaunchSpec((sys.executable, "train.py"), ranks, False, 0.2, os.getcwd())
pid = os.fork()
if pid == 0:
    ours.close()
    in_supervisor()
    supervise(spec, theirs, None, os.getppid())
theirs.close()
"""


@pytest.fixture
def run_server(tmp_path):
    """Runs a process in the role of the server to its end, and returns its messages."""

    def run(train, in_supervisor, rest):
        (tmp_path / "train.py").write_text(textwrap.dedent(train))
        text = f"def in_supervisor():\n    {in_supervisor}\n" + _SERVER + textwrap.dedent(rest)
        env = {**os.environ, "PYTHONPATH": os.getcwd()}
        ran = subprocess.run(
            [sys.executable, "-c", text], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]

    return run


def test_a_server_that_dies_with_unread_messages_ends_the_launch(tmp_path, run_server, wait_for):
    train = """
        import os, signal, time
        if os.fork() == 0:
            os.setsid()       # a daemon, which no signal to its parent's group and no parent's death reaches
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        else:
            signal.signal(signal.SIGTERM, lambda *_: (open(f"drained{os.environ['RANK']}", "w").close(), os._exit(0)))
        with open("pids", "a") as file:
            file.write(f"{os.getpid()}\\n")
        time.sleep(600)
        """
    # The message that the launch exists lies unread in the socket when the server closes it.
    rest = """
        while not os.path.exists("pids") or open("pids").read().count("\\n") < 4:
            time.sleep(0.01)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ours.close()
        os.waitpid(pid, 0)
        """
    assert run_server(train, "pass", rest) == []
    assert (tmp_path / "drained0").exists()
    assert (tmp_path / "drained1").exists()
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 4
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_a_launch_of_which_one_process_cannot_be_started_has_failed(run_server):
    # The kernel cannot be made to refuse a second process, so os.fork does.
    in_supervisor = """fork, allowed = os.fork, [True]
    def refuse_the_second():
        if not allowed:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        allowed.clear()
        return fork()
    os.fork = refuse_the_second"""
    rest = """
        os.waitpid(pid, 0)
        while data := ours.recv(65536):
            sys.stdout.write(data.decode())
        """
    launched, exited = run_server("import time; time.sleep(600)", in_supervisor, rest)
    assert (launched["event"], len(launched["pids"])) == ("launched", 1)
    assert "cannot start a process" in exited["exit"]["error"]
    assert exited["exit"]["exit_codes"] == [-signal.SIGKILL, None]
