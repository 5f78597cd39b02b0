"""A signal that arrives in a destructor ends the program all the same."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from syne_hypersched._resent_signals import ResentSignal

SCRIPT = """
import gc, os, signal, sys, time, weakref
from syne_hypersched._resent_signals import ResentSignal

NAME, WHERE = sys.argv[1:]
number, exception = getattr(signal, NAME), {"SIGINT": KeyboardInterrupt, "SIGTERM": SystemExit}[NAME]

def leave(*_):
    signal.signal(number, signal.SIG_IGN)
    raise exception(7)

signal.signal(number, leave)
resent = ResentSignal(number, exception, lambda: signal.signal(number, leave))
resent.begin()
resent.begin()

def interrupt(*_):
    os.kill(os.getpid(), number)
    for _ in range(1000):
        pass
    raise ValueError("it was not raised here")

class Dying:
    __del__ = interrupt if WHERE == "destructor" else lambda self: None

dying = Dying()
if WHERE == "weak reference":
    reference = weakref.ref(dying, interrupt)
elif WHERE == "collector":
    gc.callbacks.append(interrupt)
try:
    del dying
    gc.collect()
    gc.callbacks.clear()
    while True:
        time.sleep(60)
except exception:
    print("interrupted")
resent.end()
print(sys.unraisablehook is sys.__unraisablehook__)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("where", ["destructor", "weak reference", "collector"])
def test_an_exception_that_was_swallowed_is_raised_later(name, where):
    process = subprocess.run([sys.executable, "-c", SCRIPT, name, where], capture_output=True, text=True)
    assert (process.stdout, process.stderr) == ("interrupted\nTrue\n", "")


BUSY = """
import gc, os, signal, sys, threading, time
from syne_hypersched._resent_signals import ResentSignal

start = threading.Thread.start

def start_slowly(thread):
    start(thread)
    time.sleep(0.1)  # as on a busy machine
    if sys.argv[1] == "again":
        sys.argv[1] = ""
        os.kill(os.getpid(), signal.SIGINT)

threading.Thread.start = start_slowly
resent = ResentSignal(signal.SIGINT, KeyboardInterrupt)
resent.begin()

class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)

try:
    Dying()
    while True:
        time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
    resent.end()
    os._exit(0)
"""


@pytest.mark.parametrize("then", ["once", "again"])
def test_the_hook_has_returned_before_the_signal_is_sent_again(then):
    """One that comes in the hook is not lost, either."""
    process = subprocess.run([sys.executable, "-c", BUSY, then], capture_output=True, text=True)
    assert ("interrupted" in process.stdout, process.stderr) == (True, "")


def test_other_exceptions_are_told_as_before_and_other_threads_change_nothing(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    resent = ResentSignal(signal.SIGINT, KeyboardInterrupt)
    thread = threading.Thread(target=resent.begin)
    thread.start()
    thread.join()
    assert sys.unraisablehook == told.append
    resent.begin()
    assert sys.unraisablehook != told.append

    class Dying:
        def __del__(self):
            raise ValueError("as always")

    Dying()
    assert [str(each.exc_value) for each in told] == ["as always"]
    told.clear()
    resent.end()
    resent.end()
    assert sys.unraisablehook == told.append
