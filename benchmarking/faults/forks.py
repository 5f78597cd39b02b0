"""Runs a function in a fork of this process, which has already imported everything."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path


def run_in_fork(what: Callable[[], object], log_path: Path) -> int:
    """Calls a function in a fork. The fork exits with 0, or with 1 after an exception.

    Parameters
    ----------
    what
        The function.
    log_path
        File to which the output and the exception are appended.

    Returns
    -------
    int
        Process id of the fork; the caller must wait for it.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        what()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
