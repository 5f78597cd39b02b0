"""Signal handlers of real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from syne_hypersched._signal_handlers import has_handler
from tests.checkpoints.obedient import Child

pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.fixture
def child():
    child = Child()
    yield child
    child.close()


def test_which_signals_a_process_handles():
    code = "import signal; signal.signal(signal.SIGTERM, print); print(); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as process:
        process.stdout.readline()
        assert has_handler(process.pid, [signal.SIGTERM])
        assert not has_handler(process.pid, [signal.SIGHUP])
        process.communicate(b"\n")
    assert not has_handler(process.pid, [signal.SIGTERM])
    assert has_handler(os.getpid(), [signal.SIGINT])


def test_a_handler_of_a_process_is_seen(child):
    assert not has_handler(child.pid, [signal.SIGALRM, signal.SIGTERM])
    child.do("import signal; signal.signal(signal.SIGALRM, lambda *_: None)")
    assert has_handler(child.pid, [signal.SIGTERM, signal.SIGALRM])
    assert not has_handler(child.pid, [signal.SIGTERM])
    child.do("import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN)")
    assert not has_handler(child.pid, [signal.SIGALRM])


def test_a_process_that_has_ended_has_no_handler(child):
    child.close()
    assert not has_handler(child.pid, [signal.SIGTERM])
