"""The command ``compare``."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from syne_hypersched._console import error_text
from syne_hypersched._terminal_text import left, shown, shown_lines, width
from syne_hypersched._wording import counted
from syne_hypersched.cli._study_options import StudyOptions, study_of

if TYPE_CHECKING:
    from syne_hypersched.comparison.settings import Study

EPILOGUE = """\
Examples:
  The default comparison on the embedded table, in less than a minute:
    hypersched compare

  32 devices that scale poorly, launches that cost 5 % of a full run, and
  deadlines of two hours and of one full run:
    hypersched compare --num-devices 32 --scaling babi --launch-cost 5% \\
        --deadline 2h,1x

  A searcher for ASHA, and the effect of one option of HyperSched:
    hypersched compare \\
        --schedulers asha,asha+kde,hypersched,hypersched:policy=top_job

  Your own learning curves (one row for each configuration and epoch):
    hypersched compare --table curves.csv --metric val_loss --mode min \\
        --elapsed-attr seconds

  The same if a column has the seconds of each epoch:
    hypersched compare --table curves.csv --metric val_loss --mode min \\
        --epoch-time-attr seconds

  The HyperSched authors' ablation study:
    hypersched compare --preset ablation

  Real training on the cores of this machine, in a clone of the repository:
    hypersched compare --backend local --benchmark digits-cnn --deadline 60 \\
        --schedulers hypersched,asha

--list shows every scheduler, benchmark, training script, scaling table and
preset by name.

Exit codes: 0; 1 if a run has failed; 2 if the arguments are invalid; 130 if
interrupted.
"""

_EXECUTION = Group("Execution and output", sort_key=5)


def compare(
    options: StudyOptions | None = None,
    *,
    output: Annotated[Path | None, Parameter(group=_EXECUTION)] = None,
    jobs: Annotated[int | None, Parameter(group=_EXECUTION)] = None,
    list_names: Annotated[bool, Parameter(name="--list", group=_EXECUTION, show_default=False)] = False,
) -> int:
    """Compare schedulers under a deadline, with N devices and T seconds, and show how certain the differences are.

    Runs every scheduler with every seed, on a table of learning curves in virtual
    time or with a real training script on this machine. It ends with tables, a
    picture and files for further analysis. Finished runs in the output folder are
    not repeated: you can interrupt it at any time, and continue with the same
    command.

    Parameters
    ----------
    output
        Folder of the results (default comparison-results/NAME, where NAME depends on the settings).
    jobs
        Number of processes for simulations (default: one for each core).
    list_names
        Show all names and exit.
    """
    from syne_hypersched.cli._direction import warn_of_direction
    from syne_hypersched.comparison.listing import describe_names
    from syne_hypersched.comparison.presets import find_preset, num_cores
    from syne_hypersched.comparison.storage import default_output, usable_output

    started = time.monotonic()
    options = options or StudyOptions()
    try:
        find_preset(options.preset)
        if list_names:
            print(describe_names(), flush=True)
            return 0
        study = study_of(options)
        if study.table is not None:
            modes = {True: "--mode min", False: "--mode max"}
            warn_of_direction("hypersched compare", study.table.metric, study.table.do_minimize, modes)
        if output is None:
            output, why_not_default = usable_output(study, default_output(study))
            if why_not_default is not None:
                print(f"{why_not_default}: the new results are in {output}", file=sys.stderr)
        return _compare(study, output, num_cores() if jobs is None else jobs, started)
    except BrokenPipeError:
        raise  # the output is no longer read, for example by `head`; this is not an error
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"hypersched compare: error: {_as_options(error)}", file=sys.stderr)
        return 2


def _as_options(error: BaseException) -> str:
    """The text of an error, with options of the command line in place of Python arguments."""
    text = error_text(error, max_num_trials="--max-trials", path="the table")
    return re.sub(r"epoch_time_attr='([^']*)'", r"--epoch-time-attr \1", text)


def _compare(study: Study, output: Path, jobs: int, started: float) -> int:
    from syne_hypersched.comparison.presets import find_preset
    from syne_hypersched.comparison.progress import study_progress
    from syne_hypersched.comparison.report import write_report
    from syne_hypersched.comparison.runner import RunFailedError, run_study
    from syne_hypersched.comparison.storage import (
        MEANS_FILENAME,
        MEANS_TEXT_FILENAME,
        RESULTS_FILENAME,
        SUMMARY_FILENAME,
        SUMMARY_TEXT_FILENAME,
    )
    from syne_hypersched.comparison.text import describe

    store_runs = find_preset(study.preset).store_runs
    if study.table is not None:
        _describe_table(study)
    if study.backend == "local":
        print(_describe_duration(study, output), file=sys.stderr, flush=True)
    try:
        with study_progress() as on_progress:
            results = run_study(study, output, jobs, store_runs, on_progress)
    except KeyboardInterrupt:
        print(
            f"interrupted: finished runs are kept in {output}; the same command continues from there", file=sys.stderr
        )
        return 130
    except RunFailedError as error:
        print(
            f"hypersched compare: a run has failed: {error}\nfinished runs are kept in {output}",
            file=sys.stderr,
        )
        return 1
    written = write_report(results, output)
    print(shown_lines(describe(results, brief=True)))
    print()
    pictures = [path for path in written if path.suffix == ".png"]
    missing = 'none, matplotlib is not installed: pip install "syne-hypersched[plots]"'
    print("pictures: " + (", ".join(map(str, pictures)) or missing))
    print(f"results: {output / RESULTS_FILENAME}, {output / MEANS_FILENAME}, {output / SUMMARY_FILENAME}")
    print(f"all tables as text: {output / MEANS_TEXT_FILENAME}, {output / SUMMARY_TEXT_FILENAME}")
    print(f"{len(results.runs)} runs in {output}, {time.monotonic() - started:.1f} s", flush=True)
    return 0


def _describe_duration(study: Study, output: Path) -> str:
    """How long real training will take: runs are executed one after another, each until its deadline."""
    from syne_hypersched.comparison.runner import check_study
    from syne_hypersched.comparison.runs import plan
    from syne_hypersched.comparison.storage import StudyFolder

    check_study(study)  # before anything is printed about it
    folder, runs = StudyFolder(output), plan(study)
    is_ours = folder.objection(study) is None
    pending = [run for run in runs if not is_ours or folder.load(run) is None]
    total_s = sum(run.deadlines[-1].in_seconds(None) for run in pending)
    done = f" ({len(runs) - len(pending)} have finished before)" if len(pending) < len(runs) else ""
    return (
        f"real training on this machine: {counted(len(pending), 'run')}{done}, one after another, each until its "
        f"deadline: {_in_words(total_s)} in total. To change this, use --deadline and --seeds"
    )


def _in_words(seconds: float) -> str:
    for unit, length_s in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length_s:
            return f"about {seconds / length_s:.3g} {unit}"
    return f"about {seconds:.0f} seconds"


def _describe_table(study: Study) -> None:
    """Prints the search space, and warns about a column that looks like an id."""
    from syne_hypersched.blackboxes import id_columns
    from syne_hypersched.comparison.benchmarks import TABLE, load_benchmark

    table = load_benchmark(TABLE, study.table).table
    columns = max(map(width, map(shown, table.configuration_space)))
    levels = f"{len(table.levels)} levels of {shown(table.time_attr)}"
    print(f"{len(table)} configurations, {levels}; the search space:")
    for name, domain in table.configuration_space.items():
        print(f"  {left(shown(name), columns)}  {shown(domain)}")
    for name in id_columns(table.configurations):
        others = ",".join(other for other in table.configuration_space if other != name) or "..."
        print(
            f"hypersched compare: warning: the column {name!r} has a different value in each of the {len(table)} "
            "configurations, like an id. It is searched as a hyperparameter, which misleads a model-based searcher. "
            f"Name the hyperparameters: --configuration {others}",
            file=sys.stderr,
        )
    sys.stdout.flush()
