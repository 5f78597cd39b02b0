"""Runs a command so that it ends without a traceback when it is interrupted or its output is no longer read."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from syne_hypersched._terminal_text import shown, shown_lines

EXIT_INTERRUPTED = 130
"""Exit code of a command that was ended by Ctrl-C, as in a shell."""

#: Errors of a stream on a full disk.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: A message about a parameter begins so.
_PARAMETER = re.compile(r"([a-z][a-z0-9]*(?:_[a-z0-9]+)*) must ")


def drop_output() -> None:
    """Discards all further standard output, since no process reads it any more."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        _lead_nowhere(sys.stdout.fileno())


def _lead_nowhere(*fds: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for fd in fds:
        os.dup2(nowhere, fd)
    os.close(nowhere)


def cannot(deed: str, run: object, error: BaseException, /, **options: str) -> str:
    """The message that something cannot be done with a run.

    Parameters
    ----------
    deed
        What is to be done, such as ``"report on"``.
    run
        The name or the folder of the run, as it was given.
    error, **options
        As in :func:`error_text`.

    Example
    -------
    >>> cannot("verify", "", ValueError("path must be a name, but got ''"), path="RUN")
    "cannot verify '': RUN must be a name, but got ''"
    """
    return f"cannot {deed} {shown(shlex.quote(str(run)))}: {error_text(error, **options)}"


def error_text(error: BaseException, **options: str) -> str:
    """The message of an exception, in the words of the command line.

    Parameters
    ----------
    error
        The exception. A message that begins with the name of a parameter gets that of its option; an error of the
        system gets its file and what is wrong with it, without a number.
    **options
        Names of the options of parameters that are not called ``--`` and the name with dashes.

    Example
    -------
    >>> error_text(ValueError("num_trials must be at least 1, but got 0"))
    '--num-trials must be at least 1, but got 0'
    >>> error_text(ValueError("script must be a file, but got 'x'"), script="the script")
    "the script must be a file, but got 'x'"
    >>> error_text(FileExistsError(17, "File exists", "tables"))
    'tables: File exists'
    """
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{shown(error.filename)}: {error.strerror}" if error.filename is not None else str(error.strerror)
    text = shown_lines(str(error))
    found = _PARAMETER.match(text)
    if found is None:
        return text
    name = found[1]
    return options.get(name, f"--{name.replace('_', '-')}") + text[len(name) :]


class _Output:
    """The standard output, until its reader has closed it."""

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
    """Keeps the enclosed code running if the reader of the standard output ends, as in ``tune ... | head``."""
    stream = sys.stdout
    sys.stdout = _Output(stream)
    try:
        yield
    finally:
        sys.stdout = stream


def run_command(main: Callable[[], int]) -> int:
    """Runs a command line's ``main`` and returns its exit code.

    It is no error if the output is no longer read, as in ``report NAME | head``. If it cannot be written, as on a full
    disk, the exit code is 2. After Ctrl-C, only the message of the exception is printed, without a traceback. What the
    encoding of the output lacks is written as an escape.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):  # a stream of another kind, or a closed one
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would raise again when it flushes these streams at its end.
        _lead_nowhere(1, 2)
        return 0
    except OSError as error:
        if error.errno not in _NO_ROOM or error.filename is not None:
            raise
        drop_output()
        print(f"hypersched: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interruption:
        words = getattr(interruption, "__notes__", ["Interrupted."])
        print("", *words, sep="\n", file=sys.stderr)
        return EXIT_INTERRUPTED
