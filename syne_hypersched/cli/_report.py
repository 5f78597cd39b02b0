"""The command ``report``."""

from __future__ import annotations

from pathlib import Path

EPILOGUE = """\
Examples:
  hypersched report NAME
  hypersched report NAME --num-trials 5 --figure run.png

Exit codes: 0, or 2 if the run cannot be read.
"""


def report(run: str, /, *, time_attr: str | None = None, figure: Path | None = None, num_trials: int = 20) -> int:
    """Summarise a run: the best trials, the incumbent and its checkpoint, a picture.

    The run may be finished, interrupted or still running.

    Parameters
    ----------
    run
        Name or folder of the experiment.
    time_attr
        Name of the resource level in the results, by default the scheduler's.
    figure
        File of the picture, by default in the folder of the experiment.
    num_trials
        Largest number of trials in the table.
    """
    from syne_hypersched.experiments.report import print_report

    return print_report(run, time_attr, figure, num_trials)
