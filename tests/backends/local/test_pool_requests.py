"""Requests for devices: what a file may say, and what signals mean."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from syne_hypersched.backends.local._pool_requests import PoolRequest, PoolSignals, RequestFile, parse_request

pytestmark = pytest.mark.usefixtures("signals_of_nobody")


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("2", PoolRequest(2)),
        (" 0\n", PoolRequest(0)),
        ('{"num_devices": 3, "reason": "night", "request": 7}', PoolRequest(3, "night", "7")),
        ('{"devices": ["0", "1"]}', PoolRequest(("0", "1"))),
        ('{"devices": []}', PoolRequest(())),
    ],
)
def test_what_a_file_may_say(text, request_):
    assert parse_request(text) == request_


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("two", "the file must be a number .* but is 'two'"),
        ("{}", "the file must be"),
        (100_000 * "[", "the file must be"),
        ('{"devices": ["0"], "num_devices": 1}', "the file must be"),
        ("true", "the file must be"),
        ("1.5", "the file must be"),
        ('{"num_devices": true}', "num_devices must be an integer, but got True"),
        ('{"num_devices": "2"}', "num_devices must be an integer"),
        ('{"devices": "0"}', "devices must be a list"),
        ('{"devices": [0]}', "devices must be a list"),
    ],
)
def test_what_it_may_not_say(text, message):
    with pytest.raises(ValueError, match=message):
        parse_request(text)


def test_each_version_of_a_file_is_read_once(tmp_path):
    file = RequestFile(tmp_path / "pool.json")
    assert file.read_new() is None
    file.path.write_text("")
    assert file.read_new() is None, "it is being written"
    file.path.write_text("2")
    assert (file.read_new(), file.read_new()) == ("2", None)
    (tmp_path / "new").write_text("2")
    os.replace(tmp_path / "new", file.path)
    assert (file.read_new(), file.read_new()) == ("2", None)
    file.path.unlink()
    assert file.read_new() is None


@pytest.fixture
def own_handler():
    before = signal.getsignal(signal.SIGUSR2)
    signal.signal(signal.SIGUSR2, lambda *_: None)
    yield signal.getsignal(signal.SIGUSR2)
    signal.signal(signal.SIGUSR2, before)


def test_signals_ask_for_devices_and_take_no_handler_away(own_handler):
    signals = PoolSignals()
    signals.begin(), signals.begin()
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert signals.total() == -1
        assert signal.getsignal(signal.SIGUSR2) is own_handler
    finally:
        signals.end()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR2) is own_handler


def test_who_takes_a_signal_over_keeps_it():
    signals = PoolSignals()
    signals.begin()
    try:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signals.end()
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def test_outside_the_main_thread_there_are_no_signals():
    signals = PoolSignals()
    thread = threading.Thread(target=lambda: (signals.begin(), signals.end()))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_a_child_has_no_handler_of_ours():
    signals = PoolSignals()
    signals.begin()
    try:
        code = "import signal; print(signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL)"
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    finally:
        signals.end()
    assert child.stdout == "True\n"
