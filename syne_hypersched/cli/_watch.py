"""The command ``watch``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

EPILOGUE = """\
Examples:
  hypersched watch NAME --open
  hypersched watch NAME --port 8765
  ssh -L 8765:127.0.0.1:8765 HOST   # then open the address that watch prints

Exit codes: 0; 2 if the run cannot be read, the port is in use, or a library is
missing; 130 when Ctrl-C ends it.
"""


def watch(
    run: str,
    /,
    *,
    open: Annotated[bool, Parameter(show_default=False)] = False,
    port: int = 0,
    time_attr: str | None = None,
) -> int:
    """Show a run in a browser, live: metric, devices, decisions with their reasons, failures.

    The page is served on the loopback interface of this machine, at an address with a token. It only reads the files of
    the run. The run may be running, finished, killed or simulated. Ctrl-C ends the server.

    Parameters
    ----------
    run
        Name or folder of the experiment.
    open
        Open the page in the browser.
    port
        Port (default: a free port).
    time_attr
        Name of the resource level in the results (default: that of the scheduler).
    """
    from syne_hypersched.experiments.page.watch import watch_run

    return watch_run(run, port, open, time_attr)
