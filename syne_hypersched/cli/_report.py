"""The command ``report``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

EPILOGUE = """\
Examples:
  hypersched report NAME
  hypersched report NAME --num-trials 5 --figure run.png
  hypersched report NAME --html                # run.html in the folder of the run
  hypersched report NAME --html=page.html      # another file; --html page.html is the same

Exit codes: 0, or 2 if the run cannot be read or the page cannot be written.
"""


def report(
    run: str,
    file: Path | None = None,
    /,
    *,
    html: Annotated[bool, Parameter(show_default=False)] = False,
    time_attr: str | None = None,
    figure: Path | None = None,
    num_trials: int = 20,
    html_file: Path | None = None,
) -> int:
    """Summarise a run: the best trials, the incumbent and its checkpoint, and a picture.

    The run may be finished, interrupted or still running.

    Parameters
    ----------
    run
        Name or folder of the experiment.
    file
        With --html: the file to write (default: run.html in the folder of the experiment).
    html
        Instead of the summary, write a page with all charts and tables, as one self-contained file. --html=FILE sets
        its name.
    time_attr
        Name of the resource level in the results (default: that of the scheduler).
    figure
        File of the picture (default: in the folder of the experiment).
    num_trials
        Maximum number of trials in the table.
    html_file
        The same as --html=FILE.
    """
    if file is not None and html_file is not None:
        return _refuse(f"one page can be written, but got two files, {str(file)!r} and {str(html_file)!r}")
    if html or html_file is not None:
        from syne_hypersched.experiments.page import print_page

        return print_page(run, file or html_file, time_attr)
    if file is not None:
        return _refuse(f"a file can be given with --html only, but got {str(file)!r}")
    from syne_hypersched.experiments.report import print_report

    return print_report(run, time_attr, figure, num_trials)


def spell_out(tokens: Sequence[str]) -> list[str]:
    """The tokens of a command line, with ``--html=FILE`` of ``report`` as a separate option.

    ``--html`` is a flag and takes no value. If it were an option that takes a value, ``report --html NAME`` would take
    the name of the run for the file.
    """
    if not tokens or tokens[0] != "report":
        return list(tokens)
    return [
        f"--html-file={token.removeprefix('--html=')}" if token.startswith("--html=") and token != "--html=" else token
        for token in tokens
    ]


def _refuse(message: str) -> int:
    print(f"hypersched: {message}\nTry: hypersched report --help", file=sys.stderr)
    return 2
