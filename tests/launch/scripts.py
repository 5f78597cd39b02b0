"""Scripts that end in all ways, and that leave work for the end of the interpreter."""

from __future__ import annotations

from tests.launch.exit_scripts import EXIT_SCRIPTS
from tests.launch.stream_scripts import STREAM_SCRIPTS

SCRIPTS = {
    **STREAM_SCRIPTS,
    **EXIT_SCRIPTS,
    "a file that is left open": r"""
f = open('data', 'w')
f.write('x' * 10)
""",
    "a file that is left open, and sys.exit": r"""
import sys

def main():
    global f
    f = open('data', 'w')
    f.write('hello')
    sys.exit(3)
main()
""",
    "a file that is left open, and an exception": r"""
f = open('data', 'w')
f.write('hello')
raise ValueError('x')
""",
    "a file of an object that refers to itself": r"""
class A:

    def __init__(s):
        s.me = s
        s.f = open('data', 'wb')
        s.f.write(b'abc')

    def __del__(s):
        print('del')
a = A()
""",
    "finalizers": r"""
import weakref

class A:
    pass
a = A()
weakref.finalize(a, print, 'finalized')
import atexit
atexit.register(print, 'atexit')

class D:

    def __del__(self):
        print('del', __name__ if '__name__' in globals() else None)
d = D()
""",
    "temporary files": r"""
import tempfile, sys
t = tempfile.TemporaryDirectory(dir='.')
print('made')
n = tempfile.NamedTemporaryFile(dir='.')
""",
    "children are waited for": r"""
import multiprocessing as mp, time

def f():
    time.sleep(0.2)
    print('child', flush=True)
mp.get_context('fork').Process(target=f).start()
print('main', flush=True)
""",
    "logging is shut down": r"""
import logging, logging.handlers
h = logging.handlers.MemoryHandler(100, target=logging.FileHandler('log'))
logging.getLogger().addHandler(h)
logging.warning('x')
""",
    "a generator is closed": r"""
def g():
    try:
        yield 1
    finally:
        print('closed')
a = g()
next(a)
""",
    "a generator that refers to itself": r"""
class A:
    pass

def g(me):
    try:
        yield 1
    finally:
        print('closed')
a = A()
a.g = g(a)
next(a.g)
l = [a]
l.append(l)
""",
    "an asynchronous generator": r"""
import asyncio

async def g():
    try:
        yield 1
    finally:
        print('closed')

async def main():
    a = g()
    await a.__anext__()
    print('x')
asyncio.run(main())
""",
    "a docstring and annotations": r'''
"""The doc."""
x: int = 3
print(__doc__, __annotations__, __builtins__)
''',
    "another encoding of the source": r"""
# -*- coding: latin-1 -*-
print("x")
""",
    "bad syntax": r"""
def f(:
""",
    "bad indentation": r"""
if 1:
print(1)
""",
    "arguments and flags": r"""
import sys
print(sys.argv[1:], sys.orig_argv[1:], sys.flags, sys.warnoptions, sys._xoptions)
""",
    "the path": r"""
import sys
print(sys.path)
""",
    "the buffer of the C library": r"""
import ctypes
ctypes.CDLL(None).printf(b'from C\n')
print('from python')
""",
    "warnings of files that are left open": r"""
import warnings
warnings.simplefilter('always')
open('x', 'w').write('a')
f = open('y', 'w')
f.write('b')
""",
    "a process that is left behind": r"""
import subprocess, sys
print('left')
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(0.1)'])
""",
    "a database that is left open": r"""
import sqlite3
c = sqlite3.connect('db')
c.execute('create table t(x)')
c.execute('insert into t values (1)')
""",
    "an archive that is left open": r"""
import gzip
g = gzip.GzipFile('z', 'wb', mtime=0)
g.write(b'a' * 100)
""",
    "a file of an object": r"""
import csv

class L:

    def __init__(s):
        s.f = open('m.csv', 'w')
        s.w = csv.writer(s.f)

    def __enter__(s):
        return s

    def __exit__(s, *a):
        print('exit')
l = L()
l.w.writerow([1, 2])
""",
    "a context that is left by sys.exit": r"""
import sys
with open('a', 'w') as f:
    f.write('x')
    sys.exit(2)
""",
    "destructors": r"""
class D:

    def __init__(s, n):
        s.n = n

    def __del__(s):
        print('del', s.n)
a = D('a')
_b = D('_b')
c = [D('c1'), D('c2')]

def f():
    return a
D.keep = D('class attr')
""",
    "a destructor that fails": r"""
class D:

    def __del__(s):
        raise ValueError('in del')
a = D()
""",
    "a destructor that imports": r"""
class D:

    def __del__(s):
        import json
        print(json)
        import sys
        print(sys.stdout)
a = D()
""",
    "a destructor that opens a file": r"""
class D:

    def __del__(s):
        with open('late', 'w') as f:
            f.write('x')
a = D()
import sys
sys.modules['__main__'].b = D()
""",
    "functions that modules refer to": r"""
import copyreg, gzip, json

class A:
    def __init__(self, name):
        self.name = name
    def __del__(self):
        print("del", self.name)

def reduce(a):
    return A, (a.name,)

copyreg.pickle(A, reduce)
json.hook = lambda: a
a = A("a")
a.me = a
archive = gzip.GzipFile("z", "wb", mtime=0)
archive.write(b"whole")
import helper
json.helped = helper.use
""",
    "files that modules refer to": r"""
import builtins, json, sys
for number, module in enumerate((builtins, json, sys)):
    module.kept = open(f'kept{number}', 'w')
    module.kept.write('x')
""",
    "a file of a thread": r"""
import threading
l = threading.local()
l.f = open('tl', 'w')
l.f.write('x')
""",
    "an executor that is left open": r"""
from concurrent.futures import ThreadPoolExecutor as T
e = T(2)
import threading
import time
said = threading.Event()
e.submit(lambda: (said.wait(), time.sleep(0.1), print('late')))
print('m')
said.set()
""",
    "a fork that returns": r"""
import os, sys
f = open('d', 'w')
f.write('x')
if os.fork() == 0:
    print('child')
    sys.exit(0)
os.wait()
print('parent')
""",
    "no __main__": r"""
import sys
sys.modules.pop('__main__')
f = open('d', 'w')
f.write('x')
print('x')
""",
    "pickling": r"""
import pickle

class M:
    pass
print(pickle.loads(pickle.dumps(M)))
""",
    "a module that is missing": r"""
import nosuchmodule
""",
    "tracemalloc": r"""
import tracemalloc
tracemalloc.start()
f = open('q', 'w')
f.write('q')
""",
    "an exit in a signal handler": r"""
import signal, sys, os
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
f = open('d', 'w')
f.write('x')
os.kill(os.getpid(), 15)
import time
time.sleep(3)
""",
    "a file in a cache": r"""
import functools

@functools.lru_cache
def f():
    return open('lru', 'w')
f().write('x')
""",
    "a file of a closure": r"""
def m():
    f = open('cl', 'w')
    f.write('x')

    def g():
        return f
    return g
g = m()
""",
    "a file of another module": r"""
import helper
print(helper.f)
""",
    "executors": r"""
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import time

def square(n):
    return n * n
if __name__ == '__main__':
    with ProcessPoolExecutor(2) as executor:
        print(list(executor.map(square, range(4))))
    ThreadPoolExecutor(1).submit(lambda: (time.sleep(0.1), print('late')))
""",
    "names of a module": r"""
import sys
print([name for name in globals()], __name__, __file__, __doc__, __package__, __spec__, __cached__, sys.argv)
print(type(__loader__), __loader__.name, __loader__.path)
""",
    "the source of a function": r"""
import inspect
print(inspect.getsource(inspect.currentframe()).count('inspect'))
""",
    "a chain of exceptions": r"""
try:
    1 / 0
except ZeroDivisionError as error:
    raise ValueError('bad') from error
""",
    "wrong arguments": r"""
import argparse
parser = argparse.ArgumentParser()
parser.add_argument('--lr', required=True)
parser.parse_args()
""",
    "no input": r"""
input()
""",
}
