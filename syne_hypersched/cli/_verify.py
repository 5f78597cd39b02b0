"""The command ``verify``."""

from __future__ import annotations

from typing import Literal

EPILOGUE = """\
Examples:
  hypersched verify NAME
  hypersched verify NAME && echo good

Exit codes: 0 if all rules hold, 1 if one is violated, 2 if the run, or a part
of it, cannot be read.
"""


def verify(run: str, /, *, time_attr: str | None = None, step: float | Literal["none"] | None = None) -> int:
    """Check the rules of a run: no device is held twice, no report is lost or repeated, and more.

    Parameters
    ----------
    run
        Name or folder of the experiment.
    time_attr
        Name of the resource level in the results (default: that of the scheduler).
    step
        Distance between the levels that the script reports. By default, or with none, it may vary. Then a level is
        missing if a launch has reported it and the tuner has not received it.
    """
    from syne_hypersched.experiments.verify import print_verdict

    return print_verdict(run, time_attr, None if step == "none" else step)
