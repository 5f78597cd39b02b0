"""Information of the kernel about processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from syne_hypersched.launch._linux import handles

pytestmark = pytest.mark.usefixtures("no_process_left")


def test_which_signals_a_process_handles():
    code = "import signal; signal.signal(signal.SIGTERM, print); print(); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as process:
        process.stdout.readline()
        assert handles(process.pid, signal.SIGTERM)
        assert not handles(process.pid, signal.SIGHUP)
        process.communicate(b"\n")
    assert not handles(process.pid, signal.SIGTERM)
    assert handles(os.getpid(), signal.SIGINT)
