"""A signal that arrives in a destructor ends the program all the same."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import dill
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


LOST_TWICE = """
import os, signal, sys, threading
from syne_hypersched._resent_signals import ResentSignal

run, start = threading.Thread.run, threading.Thread.start
may_run, started = threading.Event(), []

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass

def run_late(thread):  # as on a busy machine
    may_run.wait()
    run(thread)

def start_and_note(thread):
    start(thread)
    started.append(thread)
    if sys.argv[1] == "in the hook" and len(started) == 1:
        interrupt()

threading.Thread.run, threading.Thread.start = run_late, start_and_note
resent = ResentSignal(signal.SIGINT, KeyboardInterrupt)
resent.begin()

class Dying:
    def __del__(self):
        interrupt()

Dying()
if sys.argv[1] == "in another destructor":
    Dying()
num_raised = 0
for wait in (threading.Event().wait, *(thread.join for thread in started)):
    try:
        may_run.set()
        wait()
    except KeyboardInterrupt:
        num_raised += 1
print(len(started), num_raised)
"""


@pytest.mark.parametrize("where", ["in the hook", "in another destructor"])
def test_of_two_signals_that_are_lost_one_is_sent_again(where):
    """A second one would disturb the orderly end that the first one has begun."""
    process = subprocess.run([sys.executable, "-c", LOST_TWICE, where], capture_output=True, text=True)
    assert (process.stdout, process.stderr) == ("2 1\n", "")


def assert_others_are_told(told):
    """The hook that was there before is called once for another exception in a destructor."""

    class Dying:
        def __del__(self):
            raise ValueError("as always")

    Dying()
    assert [str(each.exc_value) for each in told] == ["as always"]
    told.clear()


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
    assert_others_are_told(told)
    resent.end()
    resent.end()
    assert sys.unraisablehook == told.append


def test_several_may_end_in_any_order(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    first, second, third = (ResentSignal(signal.SIGINT, KeyboardInterrupt) for _ in range(3))
    for each in (first, second, third):
        each.begin()
    second.end()
    first.end()
    assert_others_are_told(told)
    third.end()
    assert sys.unraisablehook == told.append


def test_those_that_have_ended_under_another_one_leave_no_hook(monkeypatch):
    """Tuners that follow each other begin before the one before has ended."""
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    last = ResentSignal(signal.SIGINT, KeyboardInterrupt)
    last.begin()
    for _ in range(2000):
        following = ResentSignal(signal.SIGINT, KeyboardInterrupt)
        following.begin()
        last.end()
        last = following
    sys.unraisablehook(SimpleNamespace(exc_type=ValueError))
    assert len(heard) == 1
    last.end()
    assert sys.unraisablehook == heard.append


def test_one_that_has_ended_under_another_one_hears_nothing(monkeypatch):
    told, prepared = [], []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    ended = ResentSignal(signal.SIGINT, KeyboardInterrupt, lambda: prepared.append("SIGINT"))
    other = ResentSignal(signal.SIGTERM, SystemExit, lambda: prepared.append("SIGTERM"))
    ended.begin()
    other.begin()
    ended.end()

    class Dying:
        def __del__(self):
            raise KeyboardInterrupt

    Dying()
    assert ([each.exc_type for each in told], prepared) == ([KeyboardInterrupt], [])
    told.clear()
    other.end()
    assert sys.unraisablehook == told.append


def test_a_stored_one_has_no_hook():
    resent = ResentSignal(signal.SIGINT, KeyboardInterrupt, print)
    before = sys.unraisablehook
    resent.begin()
    stored = dill.dumps(resent)
    resent.end()
    loaded = dill.loads(stored)
    loaded.end()
    assert sys.unraisablehook == before
    loaded.begin()
    loaded.begin()
    assert sys.unraisablehook == loaded._hear
    loaded.end()
    assert sys.unraisablehook == before
