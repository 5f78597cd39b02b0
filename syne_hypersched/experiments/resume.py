"""Continues an experiment whose tuner was killed: ``python -m syne_hypersched.experiments.resume NAME``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from syne_hypersched._console import run_command
from syne_hypersched.filenames import BEST_DIRNAME
from syne_hypersched.recovery import resume_experiment


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
    try:
        tuner = resume_experiment(options.name, time_passes=options.time_passes, strict=not options.not_strict)
    except BrokenPipeError:
        raise  # nobody reads what this prints any more
    except (OSError, RuntimeError, ValueError) as error:
        print(f"{options.name} could not be resumed, or not to its end: {error}", file=sys.stderr)
        return 2
    best = tuner.tuner_path / BEST_DIRNAME
    print(f"The experiment is done. Its best checkpoint is in {best}" if best.exists() else "The experiment is done.")
    print(f"What it came to: python -m syne_hypersched.experiments.report {tuner.tuner_path}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
