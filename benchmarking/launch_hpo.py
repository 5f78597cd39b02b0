"""Compares schedulers under a deadline: which one to trust with N devices and T seconds, and how sure that is.

Runs every scheduler with every seed, on a table of learning curves in virtual time or on a real training script on this
machine, and ends with tables, a picture and files for further analysis. What is finished already in the output folder
is not run again: interrupt it at any time and give the same command to go on.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from syne_hypersched._console import run_command
from syne_hypersched.comparison.names import folder_name, unknown_name
from syne_hypersched.comparison.presets import PRESETS, find_preset, make_study, num_cores
from syne_hypersched.comparison.settings import BACKENDS, Study, TableFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syne_hypersched.comparison.runner import OnProgress

EXAMPLES = """\
examples:
  The default comparison on the embedded table, in less than a minute:
    python benchmarking/launch_hpo.py

  32 devices that scale poorly, launches that cost 5 % of a full run, two hours or one full run:
    python benchmarking/launch_hpo.py --num-devices 32 --scaling babi --launch-cost 5% --deadline 2h,1x

  Which searcher for ASHA, and what one option of HyperSched is worth:
    python benchmarking/launch_hpo.py --schedulers asha,asha+kde,hypersched,hypersched:policy=top_job

  Your own learning curves (one row for each configuration and epoch):
    python benchmarking/launch_hpo.py --table curves.csv --metric val_loss --mode min --elapsed-attr seconds

  The HyperSched authors' ablation study:
    python benchmarking/launch_hpo.py --preset ablation

  Real training on the cores of this machine:
    python benchmarking/launch_hpo.py --backend local --benchmark digits-cnn --deadline 60 --schedulers hypersched,asha

`--list` shows every scheduler, benchmark, training script and scaling table by name.
"""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="launch_hpo.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what is compared (lists are separated by commas)")
    what.add_argument(
        "--preset",
        default="default",
        help="a study with a name; the other arguments override it. "
        + "; ".join(f"{name}: {preset.description}" for name, preset in PRESETS.items()),
    )
    what.add_argument(
        "--schedulers",
        help="names, each with a searcher after '+' and options after ':' if need be, such as "
        f"asha+kde or hypersched:policy=top_job:grace_period=2 (default {','.join(PRESETS['default'].schedulers)})",
    )
    what.add_argument(
        "--reference", help="the scheduler that the others are compared with, seed by seed (default asha, or the first)"
    )
    what.add_argument(
        "--benchmark",
        help="a table of learning curves: digits (default), nasbench201-synthetic-cifar10, lcbench:DATASET...; "
        "with --backend local a training script: digits-cnn",
    )

    table = parser.add_argument_group(
        "your own table of learning curves (simulator)",
        "A parquet or CSV file with one row for each configuration and epoch. All columns that are not named here are "
        "hyperparameters unless --configuration names them.",
    )
    table.add_argument("--table", type=Path, metavar="FILE", help="the file")
    table.add_argument("--metric", help="column of the metric")
    table.add_argument("--mode", choices=("min", "max"), help="whether the metric is minimised or maximised")
    table.add_argument("--time-attr", default="epoch", help="column of the resource level (default epoch)")
    table.add_argument(
        "--elapsed-attr", default="elapsed_s", help="column of the seconds trained so far (default elapsed_s)"
    )
    table.add_argument("--configuration", metavar="COLUMNS", help="columns of the hyperparameters")

    machine = parser.add_argument_group("deadline and machine")
    machine.add_argument(
        "--deadline",
        metavar="TIMES",
        help="one or several: seconds (1800, 30m, 2h), or median full runs on one device (default 0.5x,1x,2x)",
    )
    machine.add_argument("--num-devices", metavar="N", help="devices; several make several scenarios (default 8)")
    machine.add_argument(
        "--scaling",
        nargs="+",
        metavar="NAME",
        help="speed-up of a trial by number of devices: a published table such as resnet50 (default), "
        "imagenet_resnet50 or babi, linear, none, measured (that of the benchmark), or an own table such as "
        "1:1,2:1.8,4:3.1; several are separated by blanks",
    )
    machine.add_argument(
        "--launch-cost",
        metavar="TIMES",
        help="what each start, resume and resize costs: seconds, or a share of a median full run (default 1%%)",
    )
    machine.add_argument("--seeds", metavar="N", help="number of seeds, or a list such as 3,5,8 (default 10)")
    machine.add_argument("--max-trials", type=int, metavar="N", help="a run ends when one more trial would start")

    local = parser.add_argument_group("real training on this machine (--backend local)")
    local.add_argument(
        "--backend",
        default="simulator",
        help="simulator (default): virtual time; local: real processes, one run at a time",
    )
    local.add_argument("--max-t", type=int, metavar="EPOCHS", help="epochs to which a trial trains")
    local.add_argument("--model", help="model, where the script has several")
    local.add_argument("--data", help="data set or its path, where the script takes one")
    local.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="another option of the script; repeatable"
    )

    execution = parser.add_argument_group("execution and output")
    execution.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="folder of the results (default comparison-results/NAME, where NAME depends on the settings; it gets a "
        "number when the source has changed since)",
    )
    execution.add_argument(
        "--jobs", type=int, default=num_cores(), metavar="N", help="processes that simulate (default: one a core)"
    )
    execution.add_argument("--list", action="store_true", help="show all names and leave")
    return parser


def study_of(args: argparse.Namespace) -> Study:
    """The study that the command line describes.

    Raises
    ------
    ValueError
        An argument makes no sense; the message names it.
    """
    if args.backend not in BACKENDS:
        raise unknown_name("backend", args.backend, BACKENDS)
    table = None
    if args.table is not None:
        table = _table_file(args)
    elif args.metric is not None or args.mode is not None or args.configuration is not None:
        raise ValueError("--metric, --mode and --configuration are for --table FILE, which is missing")
    options = [("model", args.model), ("data", args.data), *(_name_and_value(text) for text in args.option)]
    return make_study(
        args.preset,
        benchmarks=("table",) if table is not None else _list(args.benchmark),
        schedulers=_list(args.schedulers),
        deadlines=_list(args.deadline),
        num_devices=_integers("--num-devices", args.num_devices),
        scalings=args.scaling,
        launch_costs=_list(args.launch_cost),
        seeds=_seeds(args.seeds),
        reference=args.reference,
        backend=args.backend,
        max_num_trials=args.max_trials,
        max_t=args.max_t,
        table=table,
        script_options=[(name, value) for name, value in options if value is not None],
    )


def default_output(study: Study) -> Path:
    """A folder that belongs to the settings: giving the same ones again goes on there."""
    digest = hashlib.sha256(json.dumps(study.as_json(), sort_keys=True).encode()).hexdigest()[:8]
    name = "-".join(dict.fromkeys(folder_name(scenario.benchmark) for scenario in study.scenarios))
    return Path("comparison-results") / f"{study.preset}-{name}-{digest}"


def usable_output(study: Study, folder: Path) -> tuple[Path, str | None]:
    """The folder or, if what is in it must not be mixed with the study's results, the first with a number that is free.

    Returns
    -------
    tuple
        The folder, and why it is not the one that was asked for (None if it is).
    """
    from syne_hypersched.comparison.storage import StudyFolder

    objection = StudyFolder(folder).objection(study)
    if objection is None:
        return folder, None
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return next(path for path in numbered if StudyFolder(path).objection(study) is None), f"{folder} {objection[0]}"


def describe_names() -> str:
    """All names that the arguments know."""
    from syne_hypersched.allocation.scaling import PUBLISHED_SCALING
    from syne_hypersched.comparison.benchmarks import benchmark_names
    from syne_hypersched.comparison.schedulers import SEARCHERS, known_options, scheduler_names
    from syne_hypersched.comparison.scripts import script_names
    from syne_hypersched.comparison.tables import align

    lines = ["schedulers"]
    lines.append(align([(f"  {name}", text) for name, text in scheduler_names().items()], left=2))
    lines += ["", f"searchers, as in asha+kde: {', '.join(SEARCHERS)}", "", "options, as in hypersched:policy=top_job"]
    lines += [
        f"  {name}: {', '.join(known_options(name))}" for name in ("hypersched", "asha", "asha-promotion", "pasha")
    ]
    for heading, names in (("benchmarks", benchmark_names()), ("training scripts", script_names())):
        lines += ["", heading, align([(f"  {name}", text) for name, text in names.items()], left=2)]
    lines += ["", f"scaling: linear, none, measured, {', '.join(PUBLISHED_SCALING)}"]
    lines += ["", "presets", align([(f"  {name}", preset.description) for name, preset in PRESETS.items()], left=2)]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Returns
    -------
    int
        0; 1 if a run has failed; 2 if the arguments make no sense; 130 if it was interrupted; 141 if nobody reads on.
    """
    args = make_parser().parse_args(arguments)
    started = time.monotonic()
    try:
        find_preset(args.preset)
        if args.list:
            print(describe_names(), flush=True)
            return 0
        study = study_of(args)
        output = args.output
        if output is None:
            output, why_not_default = usable_output(study, default_output(study))
            if why_not_default is not None:
                print(f"{why_not_default}: today's are in {output}", file=sys.stderr)
        return _compare(study, output, args.jobs, started)
    except BrokenPipeError:
        # Whoever read the output has seen enough, as `head` does. At its end, Python would complain about the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (ValueError, TypeError, FileNotFoundError, ImportError) as error:
        print(f"launch_hpo.py: error: {error}", file=sys.stderr)
        return 2


def _compare(study: Study, output: Path, jobs: int, started: float) -> int:
    from syne_hypersched.comparison.report import write_report
    from syne_hypersched.comparison.runner import RunFailedError, run_study
    from syne_hypersched.comparison.text import describe

    store_runs = find_preset(study.preset).store_runs
    try:
        with _progress() as on_progress:
            results = run_study(study, output, jobs, store_runs, on_progress)
    except KeyboardInterrupt:
        print(f"interrupted: finished runs are kept in {output}; the same command goes on from there", file=sys.stderr)
        return 130
    except RunFailedError as error:
        print(f"launch_hpo.py: a run has failed: {error}\nfinished runs are kept in {output}", file=sys.stderr)
        return 1
    written = write_report(results, output)
    print(describe(results, brief=True))
    print()
    pictures = [path for path in written if path.suffix == ".png"]
    print("pictures: " + (", ".join(map(str, pictures)) or "none, matplotlib is not installed"))
    print(f"results: {output / 'results.csv'}, {output / 'comparison.csv'}, {output / 'summary.csv'}")
    print(f"all tables as text: {output / 'comparison.txt'}, {output / 'summary.txt'}")
    print(f"{len(results.runs)} runs in {output}, {time.monotonic() - started:.1f} s", flush=True)
    return 0


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """Shows how far the study is, on the standard error: a bar on a terminal, else some lines."""
    if not sys.stderr.isatty():
        yield _progress_lines()
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        yield _progress_lines()
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading")

        def show(done: int, total: int, title: str) -> None:
            bar.update(task, completed=done, total=total, description=title)

        yield show


def _progress_lines() -> Callable[[int, int, str], None]:
    shown = -1

    def show(done: int, total: int, title: str) -> None:
        nonlocal shown
        tenth = 10 * done // max(1, total)
        if tenth != shown or done == total:
            shown = tenth
            print(f"{done} of {total} runs are finished", file=sys.stderr, flush=True)

    return show


def _table_file(args: argparse.Namespace) -> TableFile:
    if args.metric is None or args.mode is None:
        raise ValueError("--table needs --metric COLUMN and --mode min or max")
    if args.benchmark is not None:
        raise ValueError(f"--table is a benchmark itself, but got --benchmark {args.benchmark!r}, too")
    if not args.table.is_file():
        raise FileNotFoundError(f"--table must be an existing file, but got {str(args.table)!r}")
    return TableFile(
        path=str(args.table.resolve()),
        metric=args.metric,
        do_minimize=args.mode == "min",
        time_attr=args.time_attr,
        elapsed_time_attr=args.elapsed_attr,
        configuration=_list(args.configuration),
        sha256=hashlib.sha256(args.table.read_bytes()).hexdigest(),
    )


def _list(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    items = tuple(item.strip() for item in text.split(",") if item.strip())
    if not items:
        raise ValueError(f"a list must have an item, but got {text!r}")
    return items


def _integers(name: str, text: str | None) -> tuple[int, ...] | None:
    items = _list(text)
    try:
        return None if items is None else tuple(int(item) for item in items)
    except ValueError:
        raise ValueError(f"{name} must be an integer or several, but got {text!r}") from None


def _seeds(text: str | None) -> tuple[int, ...] | None:
    seeds = _integers("--seeds", text)
    if seeds is None or text is None or "," in text:
        return seeds
    if seeds[0] < 1:
        raise ValueError(f"--seeds must be at least 1, but got {text!r}")
    return tuple(range(seeds[0]))


def _name_and_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--option must be NAME=VALUE, but got {text!r}")
    return name, value


if __name__ == "__main__":
    sys.exit(run_command(main))
