"""Scripts that close, replace or break the standard streams."""

from __future__ import annotations

STREAM_SCRIPTS = {
    "standard output is closed": r"""
import sys
print('x')
sys.stdout.close()
""",
    "no standard output": r"""
import sys
print('x')
sys.stdout = None
print('y')
""",
    "no standard error, and an exception": r"""
import sys
sys.stderr = None
1 / 0
""",
    "standard output is deleted": r"""
import sys
print('x')
del sys.stdout
""",
    "standard error is deleted": r"""
import sys
print('x')
del sys.stderr
sys.exit('heh')
""",
    "the descriptor of standard output is closed with text in the buffer": r"""
import os
print('x')
os.close(1)
""",
    "the descriptor of standard output is closed": r"""
import os
print('x', flush=True)
os.close(1)
""",
    "the descriptor of standard error is closed": r"""
import os
print('x')
os.close(2)
raise KeyError(1)
""",
    "the descriptor of standard input is closed": r"""
import os
os.close(0)
print('x')
""",
    "standard output is detached": r"""
import sys
print('x')
b = sys.stdout.detach()
""",
    "the buffer of standard output is closed": r"""
import sys
print('x', flush=True)
sys.stdout.buffer.close()
""",
    "standard output is a tee": r"""
import sys, io

class Tee(io.TextIOBase):

    def __init__(s, f):
        s.f = f
        s.o = sys.stdout

    def write(s, t):
        s.f.write(t)
        return s.o.write(t)
sys.stdout = Tee(open('tee', 'w'))
print('x')
""",
    "standard output that cannot be flushed": r"""
import sys

class B:

    def write(self, t):
        pass

    def flush(self):
        raise OSError('broken')
sys.stdout = B()
print('x')
""",
    "standard output that cannot be written": r"""
import sys

class B:

    def write(self, t):
        raise OSError('broken')

    def flush(self):
        pass
sys.stdout = B()
print('x')
""",
    "a full disk": r"""
import sys, os
fd = os.open('/dev/full', os.O_WRONLY)
os.dup2(fd, 1)
print('x')
""",
    "standard output is no file": r"""
import sys
sys.stdout = 'foo'
""",
    "standard output is another file": r"""
import sys
sys.stdout = open('o', 'w')
print('x')
""",
    "standard output has another encoding": r"""
import sys, io
sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='latin-1')
print('x')
""",
    "standard output is opened again": r"""
import sys, os
sys.stdout = os.fdopen(1, 'w')
print('x')
""",
    "text that cannot be encoded": r"""
print('\udc80')
""",
    "what the streams are like": r"""
import sys
print('ü€😀')
for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream.encoding, stream.errors, stream.newlines, stream.name, stream.mode, stream.closed)
    print(stream.line_buffering, stream.write_through, type(stream), type(stream.buffer))
print(sys.stdout is sys.__stdout__, sys.stdin.read(), sys.stdout.seekable())
""",
}
