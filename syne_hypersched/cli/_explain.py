"""The command ``explain``."""

from __future__ import annotations

EPILOGUE = """\
Examples:
  hypersched explain NAME
  hypersched explain NAME --trial 3

Exit codes: 0, or 2 if the run cannot be read or has no such trial.
"""


def explain(run: str, /, *, trial: int | None = None, num_decisions: int = 20, time_attr: str | None = None) -> int:
    """Explain why trials were paused, stopped and resized, and why admission was closed.

    The run may be finished, interrupted or still running.

    Parameters
    ----------
    run
        Name or folder of the experiment.
    trial
        Show the history of this trial only: launches, decisions, failures.
    num_decisions
        Maximum number of decisions (the last ones).
    time_attr
        Name of the resource level in the results (default: that of the scheduler).
    """
    from syne_hypersched.experiments.explain import print_explanation

    return print_explanation(run, trial, num_decisions, time_attr)
