"""Runs a command so that it ends without a traceback if it is interrupted or if nobody reads its output any more."""

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
"""Exit code of a command that Ctrl-C has ended, as in a shell."""

#: Errors of a stream if the disk is full.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: The beginning of a message about a parameter.
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
    """The message if something cannot be done with a run.

    Parameters
    ----------
    deed
        What cannot be done, such as ``"report on"``.
    run
        The name or the folder of the run, as the user gave it.
    error, **options
        See :func:`error_text`.

    Example
    -------
    >>> cannot("verify", "", ValueError("path must be a name, but got ''"), path="RUN")
    "cannot verify '': RUN must be a name, but got ''"
    """
    return f"cannot {deed} {shown(shlex.quote(str(run)))}: {error_text(error, **options)}"


def error_text(error: BaseException, **options: str) -> str:
    """The message of an exception, with options of the command line in place of parameters.

    Parameters
    ----------
    error
        The exception. If its message begins with the name of a parameter, that name is replaced by the option. For an
        error of the operating system, the text is the file and the reason, without the error number.
    **options
        Options of parameters, if the option is not ``--`` and the name with dashes.

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
    """The standard output. Its text is discarded once the reader has closed it."""

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

    It is no error if the output is no longer read, as in ``report NAME | head``. If the output cannot be written, for
    example on a full disk, the exit code is 2. After Ctrl-C, only the message of the exception is printed, without a
    traceback. Characters that the encoding of the output lacks are written as escapes.
    """
    with contextlib.suppress(AttributeError, OSError, ValueError):  # another kind of stream, or a closed one
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would raise again when it flushes these streams at its exit.
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
