"""The command ``resume``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

EPILOGUE = """\
Examples:
  hypersched resume NAME
  hypersched resume NAME --time-passes running

Exit codes: 0; 2 if the experiment cannot be resumed or ends with an error; 130
if interrupted.
"""


def resume(
    run: str,
    /,
    *,
    time_passes: Literal["always", "running"] = "always",
    not_strict: Annotated[bool, Parameter(show_default=False)] = False,
) -> int:
    """Continue an experiment whose tuner was killed, and wait until it has ended.

    The experiment must have been run with a Journal.

    Parameters
    ----------
    run
        Name or folder of the experiment.
    time_passes
        Whether the time from the death to the resume counts for the deadline: always, or only while a tuner is running.
    not_strict
        Continue even if the scheduler decides differently than before.
    """
    from syne_hypersched.experiments.resume import resume_and_print

    return resume_and_print(run, time_passes, strict=not not_strict)
