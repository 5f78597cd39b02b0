"""Scripts that end by an interrupt, an exit code or an exception, and exit functions and hooks that see it."""

from __future__ import annotations

EXIT_SCRIPTS = {
    "an interrupt": r"""
raise KeyboardInterrupt
""",
    "the signal of an interrupt": r"""
import os, signal
os.kill(os.getpid(), signal.SIGINT)
import time
time.sleep(5)
""",
    "a kind of interrupt": r"""
class K(KeyboardInterrupt):
    pass
raise K()
""",
    "the signal to end": r"""
import os, signal, time
print('x')
os.kill(os.getpid(), 15)
time.sleep(5)
""",
    "an exit without a code": r"""
import sys
print(1)
sys.exit()
""",
    "an exit code beyond a byte": r"""
import sys
print(1)
sys.exit(-3)
""",
    "an exit code that is true": r"""
import sys
sys.exit(True)
""",
    "two exit codes": r"""
import sys
raise SystemExit(1, 2)
""",
    "an exit code that is a message": r"""
import sys
print('o')
sys.exit('bye ü')
""",
    "an exit code that is set later": r"""
e = SystemExit()
e.code = 7
raise e
""",
    "quit": r"""
print(1)
quit(4)
""",
    "an exit at once": r"""
import os
print('lost')
os._exit(5)
""",
    "an exit in an exit function": r"""
import atexit, sys
atexit.register(sys.exit, 5)
print(1)
""",
    "an exception in an exit function": r"""
import atexit, sys

@atexit.register
def f():
    raise ValueError
print(1)
""",
    "threads, exit functions and files, in order": r"""
import atexit, threading, time, sys

def t():
    time.sleep(0.1)
    print('thread')
threading.Thread(target=t).start()
atexit.register(lambda: print('a'))
atexit.register(lambda: (print('b'), atexit.register(lambda: print('late'))))
f = open('d', 'w')
atexit.register(lambda: f.write('from atexit'))
print('end')
""",
    "the file's name in an exit function, after an exception": r"""
import atexit
atexit.register(lambda: print(__file__[-3:], __name__))
1 / 0
""",
    "the file's name in an exit function, after sys.exit": r"""
import atexit, sys
atexit.register(lambda: print(__file__[-3:], __name__))
sys.exit(0)
""",
    "an exception in a thread": r"""
import threading

def t():
    raise ValueError('in thread')
threading.Thread(target=t).start()
""",
    "an exit in a thread": r"""
import threading, sys

def t():
    print('t')
    sys.exit(4)
threading.Thread(target=t).start()
""",
    "an exception hook that fails": r"""
import sys
sys.excepthook = lambda *_: 1 / 0
raise KeyError('x')
""",
    "an exception hook that exits": r"""
import sys
sys.excepthook = lambda *_: sys.exit(9)
raise KeyError('x')
""",
    "an exception hook that is none": r"""
import sys
sys.excepthook = None
raise KeyError('x')
""",
    "no exception hook": r"""
import sys
del sys.excepthook
raise KeyError('x')
""",
    "the last exception": r"""
import sys, atexit

@atexit.register
def f():
    print(sys.last_type, sys.last_value, sys.last_traceback.tb_lineno, hasattr(sys, 'last_exc'))
raise KeyError(1)
""",
}
