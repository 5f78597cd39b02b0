"""Native threads have their turn before the interpreter ends; each test is a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Threads that the interpreter has not started and that call it. ``PyDLL`` sleeps without giving the interpreter to
#: others, and the interval is too long for a thread to get it by itself.
NATIVE = """
import ctypes, hashlib, os, sys, threading, time
from syne_hypersched.launch import _native_threads
from syne_hypersched.launch._native_threads import let_native_threads_finish
c = ctypes.PyDLL(None)
c.PyInterpreterState_Get.restype = c.PyThreadState_New.restype = ctypes.c_void_p
c.PyThreadState_New.argtypes = [ctypes.c_void_p]
calls = []
def append(name):
    calls.append(threading.get_native_id())
def compute(name):
    if name:
        c.prctl(15, name, 0, 0, 0)  # PR_SET_NAME
    calls.append("begun")
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000 if name == b"own" else 10**9)  # without the interpreter
    calls.append("done")
functions = [ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(each) for each in (append, compute)]
sys.setswitchinterval(100.0)
def start(function, name=None):
    assert c.pthread_create(ctypes.byref(ctypes.c_ulong()), None, functions[function], name) == 0
def wait_until(condition):
    while not condition():
        c.usleep(1000)
"""


def run(script: str) -> None:
    ended = subprocess.run([sys.executable, "-c", NATIVE + script], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("num", [1, 5])
def test_threads_that_wait_for_the_interpreter_have_their_turn(num):
    run(
        f"""
for _ in range({num}):
    start(0)
wait_until(lambda: c.usleep(20_000) or _native_threads._has_state_of_native_thread())
assert not calls
let_native_threads_finish(50)
assert len(set(calls)) == {num}
"""
    )


def test_a_state_of_a_thread_that_waits_for_something_else_does_not_hold_the_end():
    """CUDA's threads in PyTorch, for instance, have one for ever."""
    run(
        """
c.PyThreadState_New(c.PyInterpreterState_Get())
assert _native_threads._has_state_of_native_thread()
let_native_threads_finish(1e9)
os._exit(0)
"""
    )


def test_what_a_script_has_replaced_does_not_hold_the_end():
    """As libraries do that freeze the time or pretend to have a file system."""
    run(
        """
import builtins
start(1, b"another")
while calls != ["begun"]:
    time.sleep(0.001)
time.monotonic, time.sleep = lambda: 0.0, None
builtins.open = os.listdir = os.open = None
let_native_threads_finish()
os._exit(0)
"""
    )


@pytest.mark.parametrize(("name", "expected"), [("b'own'", ["begun", "done"]), (None, ["begun"])])
def test_a_thread_that_computes_is_waited_for_if_it_has_a_name(name, expected):
    """Gloo's, for instance, may want the interpreter when it has done; a thread of OpenMP spins for a while."""
    run(
        f"""
start(1, {name})
wait_until(lambda: time.sleep(0.001) or calls)
let_native_threads_finish(1e9)
time.sleep(0.2)
assert calls == {expected}, calls
os._exit(0)
"""
    )


def test_threads_that_end_while_they_are_counted_do_no_harm():
    run(
        """
def start_many():
    free, thread = ctypes.CDLL(None), ctypes.c_ulong()
    while True:
        free.pthread_create(ctypes.byref(thread), None, functions[0], None)
        free.pthread_join(thread, None)
for _ in range(6):
    threading.Thread(target=start_many, daemon=True).start()
sys.setswitchinterval(1e-6)
for _ in range(50_000):
    _native_threads._has_state_of_native_thread()
os._exit(0)
"""
    )


def test_without_proc_nothing_is_waited_for():
    run(
        """
c.PyThreadState_New(c.PyInterpreterState_Get())
_native_threads._THREADS = "/proc/self/no-task"
let_native_threads_finish(1e9)
os._exit(0)
"""
    )
