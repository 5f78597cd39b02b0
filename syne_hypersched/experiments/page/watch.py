"""Shows a run in a browser: ``hypersched watch NAME``."""

from __future__ import annotations

import os
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path

from syne_hypersched._console import cannot
from syne_hypersched.experiments.page import PageServer, RunReader

#: The tuner and its trials come first on a busy machine.
_NICENESS = 19


def watch_run(path: Path | str, port: int = 0, open_browser: bool = False, time_attr: str | None = None) -> int:
    """Serves the live page of a run until it is interrupted, and prints its address.

    Parameters
    ----------
    path
        The experiment's folder or name.
    port
        The port; 0 takes a free one.
    open_browser
        Whether to open the page in a browser.
    time_attr
        Entry of the results that is the resource level; by default the scheduler's own.

    Returns
    -------
    int
        Exit code: 2 if the run cannot be read, the port cannot be used or plotly is not installed. Otherwise it serves
        until :exc:`KeyboardInterrupt`.
    """
    try:
        server = PageServer(RunReader(path, time_attr), port)
    except (OSError, ValueError, TypeError, ModuleNotFoundError) as error:
        print(cannot("watch", path, error, path="RUN"), file=sys.stderr)
        return 2
    with suppress(OSError):
        os.nice(_NICENESS)
    try:
        print(
            f"{server.address}\nCtrl-C ends it. Whoever has this address can see the run on this machine.", flush=True
        )
        if open_browser:
            webbrowser.open(server.address)
        server.serve()
    finally:
        server.end()
    return 0
