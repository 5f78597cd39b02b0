"""Continues an experiment whose tuner was killed: ``python -m syne_hypersched.experiments.resume NAME``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import Literal

from syne_hypersched._console import run_command
from syne_hypersched.filenames import BEST_DIRNAME
from syne_hypersched.recovery import resume_experiment


def resume_and_print(name: str, time_passes: Literal["always", "running"] = "always", strict: bool = True) -> int:
    """Resumes an experiment, waits until it is done, and prints where its results are.

    Parameters
    ----------
    name
        Name or folder of the experiment, which was run with a ``Journal``.
    time_passes, strict
        As in :func:`~syne_hypersched.resume_experiment`.

    Returns
    -------
    int
        Exit code: 0, or 2 if the experiment cannot be resumed, or ends with an error.
    """
    try:
        tuner = resume_experiment(name, time_passes=time_passes, strict=strict)
    except BrokenPipeError:
        raise  # nobody reads what this prints any more
    except (OSError, RuntimeError, ValueError) as error:
        print(f"{name} could not be resumed, or not to its end: {error}", file=sys.stderr)
        return 2
    best = tuner.tuner_path / BEST_DIRNAME
    print(f"The experiment is done. Its best checkpoint is in {best}" if best.exists() else "The experiment is done.")
    print(f"Results: hypersched report {shlex.quote(str(tuner.tuner_path))}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Resumes the experiment named on the command line, and returns when it is done.

    Returns
    -------
    int
        0, or 2 if the experiment cannot be resumed, or ends with an error.
    """
    parser = argparse.ArgumentParser(prog="python -m syne_hypersched.experiments.resume", description=__doc__)
    parser.add_argument("name", help="name or folder of the experiment, which was run with a Journal")
    parser.add_argument(
        "--time-passes",
        choices=("always", "running"),
        default="always",
        help="whether the time between death and resume counts for the deadline (default always)",
    )
    parser.add_argument("--not-strict", action="store_true", help="go on if the scheduler decides otherwise, too")
    options = parser.parse_args(arguments)
    return resume_and_print(options.name, options.time_passes, strict=not options.not_strict)


if __name__ == "__main__":
    sys.exit(run_command(main))
