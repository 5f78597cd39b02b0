"""The command ``report``."""

from __future__ import annotations

import sys
from pathlib import Path

EPILOGUE = """\
Examples:
  hypersched report NAME
  hypersched report NAME --num-trials 5 --figure run.png
  hypersched report NAME --html                # run.html in the folder of the run
  hypersched report NAME --html page.html

Exit codes: 0, or 2 if the run cannot be read or the page cannot be written.
"""


def report(
    run: str,
    file: Path | None = None,
    /,
    *,
    html: bool = False,
    time_attr: str | None = None,
    figure: Path | None = None,
    num_trials: int = 20,
) -> int:
    """Summarise a run: the best trials, the incumbent and its checkpoint, a picture.

    The run may be finished, interrupted or still running.

    Parameters
    ----------
    run
        Name or folder of the experiment.
    file
        With --html, the file to be written, by default run.html in the folder of the experiment.
    html
        Write a page with all charts and tables, as one file that needs nothing else, instead of the summary.
    time_attr
        Name of the resource level in the results, by default the scheduler's.
    figure
        File of the picture, by default in the folder of the experiment.
    num_trials
        Largest number of trials in the table.
    """
    if html:
        from syne_hypersched.experiments.page import print_page

        return print_page(run, file, time_attr)
    if file is not None:
        message = f"hypersched: a file can be given with --html only, but got {str(file)!r}"
        print(f"{message}\nTry: hypersched report --help", file=sys.stderr)
        return 2
    from syne_hypersched.experiments.report import print_report

    return print_report(run, time_attr, figure, num_trials)
