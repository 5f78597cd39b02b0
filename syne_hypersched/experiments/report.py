"""Summarises a run: ``python -m syne_hypersched.experiments.report NAME``."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from syne_hypersched import checks
from syne_hypersched._console import cannot, run_command
from syne_hypersched._terminal_text import is_terminal, shown, shown_lines
from syne_hypersched._wording import configuration_text, counted, metric_text, seconds_text
from syne_hypersched.experiments._best import describe_best
from syne_hypersched.experiments._node_table import describe_nodes
from syne_hypersched.experiments._plot import plot_run
from syne_hypersched.experiments._run import Run, load_run
from syne_hypersched.experiments._timeline import devices_over_time
from syne_hypersched.experiments._trials import TrialSummary, format_trials, trial_table
from syne_hypersched.filenames import FIGURE_FILENAME, JOURNAL_DIRNAME
from syne_hypersched.records.find import name_for_commands

_MOST_CHANGES = 8
"""Most changes of the number of devices that are listed: the last ones."""


def describe_run(run: Run, num_trials: int = 20, columns: int | None = None) -> str:
    """The results of the run in words: table of trials, incumbent, where its checkpoint is.

    Parameters
    ----------
    run
        The experiment, finished or running.
    num_trials
        Most trials in the table, which has the best ones; at least 1.
    columns
        Columns of the terminal, for which columns of the table are left out; None: all are there.

    Raises
    ------
    TypeError, ValueError
        ``num_trials`` is not an integer, or is below 1.
    """
    num_trials = checks.positive_integer("num_trials", num_trials)
    trials = trial_table(run)
    lines = [format_trials(trials[:num_trials], run.metric, run.time_attr, columns)]
    if len(trials) > num_trials:
        lines.append(f"... and {_the_others(trials[num_trials:])}")
    lines += ["", *describe_incumbent(run)]
    published = describe_best(run)
    if published:
        lines.append(published)
    if run.is_killed:
        lines.append(_describe_death(run))
    # A tuner that goes on with a run says again which devices there are.
    times = devices_over_time(run.events)
    present = [*times[:1], *(after for before, after in pairwise(times) if before[1] != after[1])]
    if len(present) > 1:
        changes = ", ".join(
            f"{number} from {seconds_text(time_s)} s" for time_s, number in present[1:][-_MOST_CHANGES:]
        )
        earlier = "..., " if len(present) - 1 > _MOST_CHANGES else ""
        lines.append(f"devices there: {present[0][1]} at first, {earlier}{changes}")
    nodes = describe_nodes(run)
    if nodes:
        lines += ["", nodes]
    return "\n".join(lines)


def _describe_death(run: Run) -> str:
    """When the tuner was killed, and whether and how the experiment can be continued."""
    times = [event.time_s for event in run.events[-1:]] + [report.time_s for report in run.reports[-1:]]
    # The deadline of the run is that of the tuner's clock, which begins some milliseconds before that of events.
    at = f"{seconds_text(max(times))} s" + (
        "" if run.deadline_s is None else f" of {seconds_text(run.deadline_s, 3)} s"
    )
    died = f"the tuner was killed after {at}"
    if run.path is None:
        return died
    if not (run.path / JOURNAL_DIRNAME).is_dir():
        return f"{died}; the run kept no journal, so it cannot be resumed"
    return f"{died}; to continue: hypersched resume {shlex.quote(name_for_commands(run.path))}"


def describe_incumbent(run: Run) -> list[str]:
    """The best report and its configuration, a line for each; or that there is none."""
    best = run.incumbent
    if best is None:
        return [f"no trial has reported a finite {shown(run.metric)}"]
    config = (run.configs or {}).get(best.trial_id, {})
    return [
        (
            f"best {shown(run.metric)} {metric_text(best.value)}: trial {best.trial_id} at {shown(run.time_attr)} "
            f"{best.resource:g}"
        ),
        "configuration: " + configuration_text(config),
    ]


def report_run(
    path: Path | str,
    time_attr: str | None = None,
    figure_path: Path | str | None = None,
    num_trials: int = 20,
    columns: int | None = None,
) -> str:
    """Reads a run, draws its picture and describes it.

    Parameters
    ----------
    path
        The experiment's folder or name.
    time_attr
        Entry of the results that is the resource level; by default the scheduler's own.
    figure_path
        Where to write the picture; by default into the experiment's folder or, if nothing can be written there, into a
        new temporary one.
    num_trials, columns
        As in :func:`describe_run`.

    Returns
    -------
    str
        The description, with the path of the picture. Where there can be none, it says why instead.

    Raises
    ------
    FileNotFoundError, ValueError
        The run cannot be read, as in :func:`load_run`.
    """
    run = load_run(path, time_attr)
    described = describe_run(run, num_trials, columns)
    return f"{described}\n{_draw(run, None if figure_path is None else checks.path('figure_path', figure_path))}"


def _draw(run: Run, figure_path: Path | None) -> str:
    """Draws the picture; says where it is, or why there is none."""
    if not run.reports:
        return "no picture: no trial has reported"
    try:
        if figure_path is not None:
            return f"picture: {plot_run(run, figure_path)}"
        if run.path is None:
            return "no picture: the run has no folder"
        figure = run.path / FIGURE_FILENAME
        try:
            if figure.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(figure))
            return f"picture: {plot_run(run, figure)}"
        except OSError as error:
            elsewhere = Path(tempfile.mkdtemp(prefix=f"{run.path.name}-")) / FIGURE_FILENAME
            picture = plot_run(run, elsewhere)
            return f"picture: {picture}, since {run.path} cannot be written ({error.strerror or error})"
    except OSError as error:
        return f"no picture: {error.filename or figure_path} cannot be written ({error.strerror or error})"
    except (ImportError, ValueError) as error:
        return f"no picture: {error}"


def terminal_columns() -> int | None:
    """Columns of the terminal that the standard output is; None if it is none."""
    return shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None


def print_report(
    path: Path | str, time_attr: str | None = None, figure_path: Path | str | None = None, num_trials: int = 20
) -> int:
    """Prints what :func:`report_run` returns, or on the standard error why the run cannot be read.

    Parameters
    ----------
    path, time_attr, figure_path, num_trials
        As in :func:`report_run`.

    Returns
    -------
    int
        Exit code: 0, or 2 if the run cannot be read.
    """
    try:
        described = report_run(path, time_attr, figure_path, num_trials, terminal_columns())
    except (OSError, ValueError) as error:
        print(cannot("report on", path, error, path="RUN"), file=sys.stderr)
        return 2
    print(shown_lines(described))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Reports on the run named on the command line.

    Returns
    -------
    int
        0, or 2 if the run cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m syne_hypersched.experiments.report", description=__doc__)
    parser.add_argument("path", help="name or folder of the experiment")
    parser.add_argument("--time-attr", help="name of the resource level, by default the scheduler's")
    parser.add_argument("--figure", help="where to write the picture, by default into the folder of the experiment")
    parser.add_argument("--num-trials", type=int, default=20, help="most trials in the table (default 20)")
    options = parser.parse_args(arguments)
    return print_report(options.path, options.time_attr, options.figure, options.num_trials)


def _the_others(trials: Sequence[TrialSummary]) -> str:
    """The trials without a row, which are the worst ones, in words."""
    worse = sum(trial.best is not None for trial in trials)
    without = len(trials) - worse
    parts = [f"{counted(worse, 'trial')} that did worse"] if worse else []
    if without:
        parts.append(
            f"{without} without a finite value" if parts else f"{counted(without, 'trial')} without a finite value"
        )
    return ", ".join(parts)


if __name__ == "__main__":
    sys.exit(run_command(main))
