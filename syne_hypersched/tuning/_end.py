"""Runs a tuner to its end, and returns an exit code with the results printed."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from syne_tune import Tuner
from syne_tune.util import metric_name_mode

from syne_hypersched._console import outliving_the_reader, run_command
from syne_hypersched._terminal_text import shown, shown_lines
from syne_hypersched.contract import metric_names_of
from syne_hypersched.experiments import Run, load_run
from syne_hypersched.experiments.report import report_run, terminal_columns
from syne_hypersched.replay import brief_scenarios, describe_briefly, replay_scenarios, run_curves
from syne_hypersched.tuning._run import run_job

MOST_REPLAYED = 20_000
"""Maximum number of reports with which a tuning ends with a replay. Beyond this, a replay would take seconds."""

LEAST_SAME = 4
"""If so many configurations have the same values at each level, that is not by chance."""

EXIT_NO_RESULT = 1
"""Exit code of a tuning without a result."""


def run_and_report(tuner: Tuner) -> int:
    """Runs a tuner like ``hypersched tune``, and prints the trials, the path of a picture and the path of ``best/``.

    The tuning ends early if the script reports the metric or the resource level under other names, or if too many
    trials fail. It continues if the reader of its output is gone.

    Parameters
    ----------
    tuner
        The tuner, with a ``Journal`` among its callbacks.

    Returns
    -------
    int
        Exit code: 0; 1 if too many trials have failed, or none has reported a finite metric; 130 after Ctrl-C.

    Raises
    ------
    TypeError, ValueError
        The tuner, its scheduler or its backend rejects an argument.
    """

    def run() -> int:
        with outliving_the_reader():
            return run_to_report(tuner)

    return run_command(run)


def run_to_report(tuner: Tuner, resume: str | None = None) -> int:
    """The same as :func:`run_and_report`, also for a continued experiment. Ctrl-C and a lost reader raise here.

    Parameters
    ----------
    tuner
        The tuner.
    resume
        Name or folder of the experiment to continue; None: begin a new one.

    Returns
    -------
    int
        Exit code: 0; 1 if too many trials have failed, or none has reported a finite metric.
    """
    folder, failure = run_job(tuner, resume)
    print()
    try:
        run = load_run(folder)
    except ValueError as error:  # no report has the metric, or no report has the resource level
        print(f"hypersched: {shown_lines(failure or str(error))}", file=sys.stderr)
        return _say_no_result(tuner, folder)
    print(shown_lines(report_run(folder, columns=terminal_columns())))
    for line in replay_briefly(run):
        print(shown_lines(line))
    if told := ignored_configurations(run):
        print(f"hypersched: {told}", file=sys.stderr)
    name = shlex.quote(folder.name)
    also = f", hypersched replay {name}" if run.incumbent is not None else ""  # otherwise a replay is not possible
    print(f"more: hypersched explain {name}{also}", flush=True)
    if failure:
        print(f"hypersched: the tuning ended early: {shown_lines(failure)}", file=sys.stderr)
        return EXIT_NO_RESULT
    if run.incumbent is None:
        return _say_no_result(tuner, folder)
    return 0


def ignored_configurations(run: Run) -> str:
    """Asks whether the script uses its arguments, if all trials report the same values at each level; otherwise empty.

    The values are also equal if a model learns nothing with any configuration.
    """
    values: dict[float, set[float]] = {}
    trials: Counter[float] = Counter()
    for report in run.reports:
        values.setdefault(report.resource, set()).add(report.value)
        trials[report.resource] += 1
    configs = run.configs or {}
    different = {
        repr(sorted(configs[trial].items())) for trial in {each.trial_id for each in run.reports} & set(configs)
    }
    most = max(trials.values(), default=0)
    if min(len(different), most) < LEAST_SAME or any(len(each) > 1 for each in values.values()):
        return ""
    return (
        f"trials of {len(different)} configurations reported the same {shown(run.metric)} at each "
        f"{shown(run.time_attr)}: does the script read its arguments, --NAME VALUE for each hyperparameter?"
    )


def replay_briefly(run: Run) -> list[str]:
    """One line about the result with half of the devices, and with another first rung, if it costs little time."""
    if len(run.reports) > MOST_REPLAYED:
        return []
    try:
        known = run_curves(run)
        line = describe_briefly(known, replay_scenarios(known, brief_scenarios(known)))
    except ValueError:  # a replay is not possible
        return []
    return [line] if line else []


def _say_no_result(tuner: Tuner, folder: Path) -> int:
    scheduler: Any = tuner.scheduler
    metric, _ = metric_name_mode(metric_names_of(scheduler), scheduler.metric_mode(), metric=0)
    level = getattr(scheduler, "time_attr", None)
    where = "" if level is None else f" at a level {level!r}"
    print(
        f"hypersched: no trial has reported a finite {metric!r}{where}; the output of the script is in "
        f"{folder}/0/std.out and std.err",
        file=sys.stderr,
    )
    return EXIT_NO_RESULT
