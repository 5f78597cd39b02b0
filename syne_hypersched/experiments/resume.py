"""Continues an experiment whose tuner was killed: ``python -m syne_hypersched.experiments.resume NAME``."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Literal

from syne_tune import Tuner

from syne_hypersched._console import error_text, run_command
from syne_hypersched._terminal_text import shown, shown_lines
from syne_hypersched._wording import seconds_text
from syne_hypersched.experiments._best import describe_best
from syne_hypersched.experiments._run import MissingEntryError, load_run
from syne_hypersched.experiments.report import describe_incumbent
from syne_hypersched.filenames import BEST_DIRNAME
from syne_hypersched.records.find import name_for_commands
from syne_hypersched.recovery import SpentTime, resume_experiment, spent_time

#: What a program does where the command takes the script and its arguments again.
_NEW_TUNER = re.compile(
    "[Gg]ive resume_experiment a tuner"
    "( made as the first one was| whose backend has the script where it is now| instead)?"
)


def is_over_and_told(
    name: str, tuner: Tuner | None = None, time_passes: Literal["always", "running"] = "always"
) -> bool:
    """Whether the deadline of an experiment has passed; if so, prints that, and the best result of the whole run.

    The experiment stays as it is.

    Parameters
    ----------
    name, tuner, time_passes
        As in :func:`~syne_hypersched.resume_experiment`.
    """
    spent = spent_time(name, tuner, time_passes)
    if spent is None:
        return False
    print(shown_lines("\n".join(_describe_spent(spent, time_passes, is_new=tuner is not None))), flush=True)
    return True


def _describe_spent(spent: SpentTime, time_passes: str, is_new: bool) -> list[str]:
    """The message about a passed deadline: the experiment's or, if ``is_new``, the new tuner's."""
    called = shlex.quote(name_for_commands(spent.path))
    passed_s = spent.elapsed_s if time_passes == "always" else spent.tuned_s
    gone = f"{seconds_text(passed_s)} s of {seconds_text(spent.deadline_s)} s are gone"
    left_s = spent.deadline_s - passed_s
    over = f"the deadline of {spent.path.name} has passed ({gone})"
    if left_s > 0:
        over = (
            f"{seconds_text(left_s, 3)} s are left until the deadline of {spent.path.name} ({gone}), and its trials "
            f"are ended {seconds_text(spent.drain_s, 3)} s before it"
        )
    lines = [f"There is nothing to do: {over}. It stays as it is."]
    try:
        run = load_run(spent.path)
        lines += [*describe_incumbent(run), *filter(None, [describe_best(run)])]
    except MissingEntryError as error:
        lines.append(str(error))
    lines.append(f"Results: hypersched report {called}")
    # The command resume knows the old deadline only.
    if time_passes == "always" and spent.has_time_left and not is_new:
        lines.append(
            f"It was tuned for {seconds_text(spent.tuned_s)} s. If the time in which no tuner was running is not to "
            f"count: hypersched resume {called} --time-passes running"
        )
    lines.append(f"With a later deadline: hypersched tune SCRIPT ... --deadline TIME --resume {called}")
    return lines


def resume_and_print(name: str, time_passes: Literal["always", "running"] = "always", strict: bool = True) -> int:
    """Resumes an experiment, waits until it is done, and prints where its results are.

    If its deadline has passed, says so with the best result, and leaves the experiment as it is.

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
        if is_over_and_told(name, time_passes=time_passes):
            return 0
        tuner = resume_experiment(name, time_passes=time_passes, strict=strict)
    except BrokenPipeError:
        raise  # the reader of this output has ended
    except (OSError, RuntimeError, ValueError) as error:
        why = error_text(error, name_or_path="RUN").replace("With strict=False", "With --not-strict")
        again = f"give the script and all arguments to hypersched tune SCRIPT ... --resume {shlex.quote(name)}"
        why = _NEW_TUNER.sub(lambda _: again, why)
        print(f"{shown(shlex.quote(name))} could not be resumed, or not to its end: {why}", file=sys.stderr)
        return 2
    best = tuner.tuner_path / BEST_DIRNAME
    print(f"The experiment is done. Its best checkpoint is in {best}" if best.exists() else "The experiment is done.")
    print(f"Results: hypersched report {shlex.quote(name_for_commands(tuner.tuner_path))}")
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
