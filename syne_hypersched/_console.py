"""Runs a command so that it ends without a traceback when it is interrupted or its output is no longer read."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

EXIT_INTERRUPTED = 130
"""Exit code of a command that was ended by Ctrl-C, as in a shell."""


def drop_output() -> None:
    """From now on the standard output goes nowhere, since nobody reads it any more."""
    with contextlib.suppress(OSError, ValueError):
        _lead_nowhere(sys.stdout.fileno())


def _lead_nowhere(*fds: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for fd in fds:
        os.dup2(nowhere, fd)
    os.close(nowhere)


class _Output:
    """The standard output, until nobody reads it any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            drop_output()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            drop_output()


@contextlib.contextmanager
def outliving_the_reader() -> Iterator[None]:
    """What is done meanwhile does not end if nobody reads the standard output any more, as in ``tune ... | head``."""
    stream = sys.stdout
    sys.stdout = _Output(stream)
    try:
        yield
    finally:
        sys.stdout = stream


def run_command(main: Callable[[], int]) -> int:
    """Runs a command line's ``main`` and returns its exit code.

    It is no error if the output is no longer read, as in ``report NAME | head``. After Ctrl-C, only the message of the
    exception is printed, without a traceback.
    """
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would raise again when it flushes these streams at its end.
        _lead_nowhere(1, 2)
        return 0
    except KeyboardInterrupt as interruption:
        words = getattr(interruption, "__notes__", ["Interrupted."])
        print("", *words, sep="\n", file=sys.stderr)
        return EXIT_INTERRUPTED
