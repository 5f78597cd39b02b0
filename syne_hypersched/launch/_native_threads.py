"""Native threads, which a library has started and not Python: for instance those of Gloo in PyTorch.

When the interpreter ends, a thread that waits for it (for the global interpreter lock) is removed in the middle of its
work (``pthread_exit`` in ``take_gil``, until Python 3.13). In C++ code this aborts the process: "terminate called
without an active exception". A thread of Gloo, for instance, needs the interpreter once more after an all-reduce, to
drop what it kept. In a new process such a thread nearly always has its turn in time: the interpreter hands over its
lock after the switch interval, which is shorter than the teardown of a large library. A warm launch skips that
teardown.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time
from itertools import accumulate, chain, repeat, takewhile

#: Not ``ctypes.pythonapi``, whose functions a script may use with other types.
_python = ctypes.PyDLL(None)
_python.PyInterpreterState_Get.restype = ctypes.c_void_p
for _step in (_python.PyInterpreterState_ThreadHead, _python.PyThreadState_Next):
    _step.argtypes, _step.restype = [ctypes.c_void_p], ctypes.c_void_p

_THREADS = "/proc/self/task"
#: A script may have replaced these: a clock that stands still, for instance, or a file system that is not real.
_list, _open, _sleep, _now = os.listdir, open, time.sleep, time.monotonic
#: How long the end waits at most, if a thread computes all the time.
_LIMIT_S = 0.2
_LOOK_S = 0.0005
#: At least the size of the interpreter's global state, in bytes; its lock lies there (Python 3.10 to 3.13).
_STATE_SIZE = 1 << 19


def let_native_threads_finish(limit_s: float = _LIMIT_S) -> None:
    """Gives the interpreter to native threads that wait for it or may do so soon, for ``limit_s`` seconds at most.

    Some ten microseconds for each thread of the process if there is none.
    """
    until = _now() + limit_s
    while _has_busy_thread() and _now() < until:
        _sleep(_LOOK_S)


def _has_busy_thread() -> bool:
    """True if a native thread waits for the interpreter, or runs and may want it.

    A thread without a name of its own may belong to a pool for numerical code, whose threads run on for some time after
    their work. So it counts only if a native thread has a state of the interpreter, which may be this one.
    """
    of_python = {thread.native_id for thread in threading.enumerate()}
    name, has_state = _read(str(threading.get_native_id()), "comm"), _has_state_of_native_thread()
    threads: list[str] = []
    with contextlib.suppress(OSError):  # a system without /proc
        threads = _list(_THREADS)
    for thread in threads:
        if int(thread) not in of_python:
            # The system call that it waits in, with its arguments, or "running"; nothing if the kernel does not tell.
            call = _read(thread, "syscall").split()
            if has_state and (len(call) < 2 or _is_of_interpreter(int(call[1], 16))):
                return True
            if call == ["running"] and _read(thread, "comm") != name:
                return True
    return False


def _is_of_interpreter(address: int) -> bool:
    start = ctypes.addressof(ctypes.c_char.in_dll(_python, "_PyRuntime"))
    return start <= address < start + _STATE_SIZE


def _has_state_of_native_thread() -> bool:
    """True if there are more states than threads of Python, which have a frame each."""
    interpreter = _python.PyInterpreterState_Get()
    # In one call of C code: between two steps in Python, another thread could get the interpreter and free a state.
    head = map(_python.PyInterpreterState_ThreadHead, (interpreter,))
    states = list(takewhile(bool, accumulate(chain(head, repeat(0)), _python.PyThreadState_Next)))
    return len(states) > len(sys._current_frames())


def _read(thread: str, name: str) -> str:
    with contextlib.suppress(OSError), _open(f"{_THREADS}/{thread}/{name}") as file:
        return str(file.read())
    return ""
