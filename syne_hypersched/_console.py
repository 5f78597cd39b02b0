"""How a command ends: in words, whoever reads what it prints and whatever interrupts it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

EXIT_INTERRUPTED = 130
"""Exit code of a command that was ended by Ctrl-C, as a shell gives it."""


def run_command(main: Callable[[], int]) -> int:
    """Runs a command line's ``main`` and returns its exit code.

    A reader that wants no more, as in ``report NAME | head``, is no error. An interruption is told in its last words
    alone, without a traceback.
    """
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain again when it flushes these at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        return 0
    except KeyboardInterrupt as interruption:
        words = getattr(interruption, "__notes__", ["Interrupted."])
        print("", *words, sep="\n", file=sys.stderr)
        return EXIT_INTERRUPTED
