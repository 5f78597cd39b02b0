"""Runs a command so that it ends without a traceback when it is interrupted or its output is no longer read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

EXIT_INTERRUPTED = 130
"""Exit code of a command that was ended by Ctrl-C, as in a shell."""


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
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        return 0
    except KeyboardInterrupt as interruption:
        words = getattr(interruption, "__notes__", ["Interrupted."])
        print("", *words, sep="\n", file=sys.stderr)
        return EXIT_INTERRUPTED
