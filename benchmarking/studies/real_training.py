"""HyperSched as it is by default and ASHA at its best, with and without the same searcher, in real training here.

    python benchmarking/studies/real_training.py     # digits, and MNIST if its files exist: about an hour
    python benchmarking/studies/real_training.py --scripts digits-cnn --deadlines 20s 40s --seeds 2 --output /tmp/real

The schedulers run one after the other, each alone on the machine and for the same time. For each deadline and seed they
run in another order, so that a slower machine affects all of them equally. No other program should run.

Digits are tuned in two search spaces: that of the demo, in which most configurations are good, and that of the learning
curves of the package. For the latter, the table also shows the prediction of the simulator from these curves, with the
same deadlines, devices, seeds and schedulers: once with the times of the table and ``--launch-cost``, and once with
what launches and epochs cost in the real runs. The files of MNIST are expected in the folder ``mnist`` below the one
that the environment variable SYNE_HYPERSCHED_DATA names, by default ``../shared/data`` beside the repository. Writes
``README.md`` and ``readings.csv``. The experiments, in Syne Tune's format, and the finished runs stay in ``--work``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.studies.markdown import header, row
from benchmarking.studies.real_costs import RealCosts, measured_costs, predicted
from benchmarking.studies.report_tables import ROOT, study_digest
from syne_hypersched.comparison.benchmarks import load_benchmark
from syne_hypersched.comparison.runner import run_study
from syne_hypersched.comparison.runs import plan
from syne_hypersched.comparison.settings import Duration, Scenario, Study
from syne_hypersched.comparison.shared_tables import data_folder
from syne_hypersched.comparison.statistics import Interval, mean_interval
from syne_hypersched.comparison.storage import StudyFolder, source_digest
from syne_hypersched.comparison.tables import results_table

DEFAULT = "hypersched+joint"
TITLES = {
    DEFAULT: "HyperSched",
    "asha:grace_period=2": "ASHA stopping, first rung at 2",
    "asha+joint:grace_period=2": "the same ASHA with `joint`",
}
EXPLANATION = """\
The tables show the best `val_accuracy` reported by the deadline, with 95 % intervals over the seeds that have
reported; their number is in brackets. The schedulers ran alternately."""

SCRIPTS = ("digits-cnn", "digits-cnn-table", "mnist")
TABLES = {"digits-cnn-table": "digits"}
"""Table of learning curves of a script, if there is one, with the same configurations and data."""


@dataclass(frozen=True)
class RealSetting:
    """The settings of the runs."""

    deadlines: tuple[Duration, ...]
    num_seeds: int
    num_devices: int
    launch_cost: Duration


def turns(setting: RealSetting, script: str) -> list[Study]:
    """A study for each seed and deadline, in which every scheduler has one run; the order changes each time."""
    options = script_options(script)
    schedulers, studies = tuple(TITLES), []
    for seed in range(setting.num_seeds):
        for deadline in setting.deadlines:
            first = len(studies) % len(schedulers)
            scenario = Scenario(
                script, setting.num_devices, schedulers[first:] + schedulers[:first], scaling=None, launch_cost=None
            )
            studies.append(Study((scenario,), (deadline,), (seed,), DEFAULT, backend="local", script_options=options))
    return studies


def prediction(setting: RealSetting, table: str) -> Study:
    """The same in virtual time. The scaling is that of the table, and no scheduler knows it."""
    scenario = Scenario(table, setting.num_devices, tuple(TITLES), "measured", setting.launch_cost)
    return Study((scenario,), setting.deadlines, tuple(range(setting.num_seeds)), DEFAULT)


def told_of(setting: RealSetting, table: str, paths: Sequence[Path]) -> tuple[RealCosts, pd.DataFrame]:
    """What real runs cost, and the prediction of a simulator that knows it."""
    benchmark = load_benchmark(table)
    costs = measured_costs(paths, benchmark.table)
    deadlines_s = {str(deadline): deadline.in_seconds(None) for deadline in setting.deadlines}
    return costs, predicted(benchmark, costs, list(TITLES), deadlines_s, setting.num_seeds, setting.num_devices)


def script_options(script: str) -> tuple[tuple[str, str], ...]:
    """The options that a script needs."""
    return (("data", str(mnist_folder().resolve())),) if script == "mnist" else ()


def mnist_folder() -> Path:
    """The expected folder of the files of MNIST."""
    return data_folder() / "mnist"


def run(studies: Sequence[Study], work: Path) -> pd.DataFrame:
    """Runs studies one after the other, except runs that the same source code has already finished in ``work``."""
    tables = []
    for number, study in enumerate(studies, start=1):

        def say(done: int, total: int, title: str, number: int = number) -> None:
            print(f"{number} of {len(studies)}, {done} of {total}: {title}", flush=True)

        tables.append(results_table(run_study(study, _folder(study, work), store_runs=False, on_progress=say)))
    return pd.concat(tables)


def run_paths(studies: Sequence[Study], work: Path) -> list[Path]:
    """The folders of the experiments of studies that have finished in ``work``."""
    return [StudyFolder(_folder(study, work)).of_run(run) for study in studies for run in plan(study)]


def _folder(study: Study, work: Path) -> Path:
    return work / source_digest()[:12] / study_digest(study)


def readings_of(rows: pd.DataFrame, scheduler: str, deadline: str) -> list[float]:
    """The metric at a deadline in the order of the seeds."""
    chosen = rows[(rows.scheduler == scheduler) & (rows.deadline == deadline)]
    return [float(value) for value in chosen.sort_values("seed").value]


def value_lines(rows: pd.DataFrame) -> list[str]:
    """A Markdown table of the metric at each deadline, with its interval and the gain of HyperSched."""
    deadlines = list(dict.fromkeys(rows.deadline))
    lines = header("deadline", deadlines)
    for scheduler, title in TITLES.items():
        values = [mean_interval(readings_of(rows, scheduler, deadline)) for deadline in deadlines]
        lines.append(row(title, [_with_width(value, ".4f") for value in values]))
    for scheduler, title in TITLES.items():
        if scheduler != DEFAULT:
            gains = [gain(rows, scheduler, deadline) for deadline in deadlines]
            lines.append(row(f"HyperSched minus {title}, paired", [_with_width(value, "+.4f") for value in gains]))
    for scheduler, title in TITLES.items():
        numbers = [rows[(rows.scheduler == scheduler) & (rows.deadline == deadline)] for deadline in deadlines]
        lines.append(row(f"trials of {title}", [f"{number.num_trials.mean():.0f}" for number in numbers]))
    return lines


def gain(rows: pd.DataFrame, rival: str, deadline: str) -> Interval:
    """The metric of HyperSched minus the metric of a rival, on the same seeds."""
    pairs = zip(readings_of(rows, DEFAULT, deadline), readings_of(rows, rival, deadline), strict=True)
    return mean_interval([own - other for own, other in pairs])


def _with_width(interval: Interval, spec: str) -> str:
    if interval.num_values == 0:
        return "-"
    width = f" ± {interval.half_width:.4f}" if interval.num_values > 1 else ""
    return f"{interval.mean:{spec}}{width} ({interval.num_values})"


def write(
    real: dict[str, pd.DataFrame],
    foreseen: dict[str, pd.DataFrame],
    told: dict[str, tuple[RealCosts, pd.DataFrame]],
    setting: RealSetting,
    script_names: Sequence[str],
    output: Path,
    command: str,
) -> None:
    """Writes the report.

    Parameters
    ----------
    real, foreseen, told
        For each script the real runs, what the simulator predicts from the table and the launch cost, and what it
        predicts from the costs that were measured in the real runs.
    setting, script_names, output, command
        What was run, where to write to, and the command.
    """
    output.mkdir(parents=True, exist_ok=True)
    lines = ["# HyperSched on real training", ""]
    made = f"Made by `{command}`: {setting.num_devices} devices, {setting.num_seeds} seeds."
    lines += [f"{made} {EXPLANATION}", ""]
    for script in script_names:
        lines += [f"## {script}", "", *value_lines(real[script]), ""]
        if script in foreseen:
            lines += [f"Predicted by the simulator with a launch cost of {setting.launch_cost}:", ""]
            lines += [*value_lines(foreseen[script]), ""]
        if script in told:
            costs, rows = told[script]
            lines += [
                f"Predicted by the simulator with the measured costs of these runs: {costs}.",
                "",
                *value_lines(rows),
                "",
            ]
    (output / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    kinds = {"real": real, "predicted": foreseen, "told": {script: rows for script, (_, rows) in told.items()}}
    parts = [rows.assign(kind=kind) for kind, of_script in kinds.items() for rows in of_script.values()]
    pd.concat(parts).round(6).to_csv(output / "readings.csv", index=False)
    print("\n".join(lines))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scripts", nargs="+", choices=SCRIPTS, help="default: those with data")
    parser.add_argument(
        "--deadlines", nargs="+", default=["30s", "60s", "120s"], help="such as 30s or 2m (30s 60s 120s)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds, at least 2 (default 3)")
    parser.add_argument("--num-devices", type=int, default=2, help="CPU slots or GPUs (default 2)")
    parser.add_argument("--launch-cost", default="0.2s", help="for the prediction (default 0.2s)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarking" / "results" / "real-training")
    parser.add_argument("--work", type=Path, default=ROOT / "report-work", help="where finished runs are kept")
    args = parser.parse_args(arguments)
    if args.seeds < 2:
        parser.error(f"--seeds must be at least 2, since an interval needs as many, but got {args.seeds}")
    if args.scripts is None:
        args.scripts = [script for script in SCRIPTS if script != "mnist" or mnist_folder().is_dir()]
    elif "mnist" in args.scripts and not mnist_folder().is_dir():
        parser.error(f"there is no MNIST in {mnist_folder()}: set SYNE_HYPERSCHED_DATA to the folder above it")
    try:
        deadlines = tuple(Duration.parse(deadline) for deadline in args.deadlines)
        setting = RealSetting(deadlines, args.seeds, args.num_devices, Duration.parse(args.launch_cost))
        studies = {script: turns(setting, script) for script in args.scripts}
        predictions = {script: prediction(setting, TABLES[script]) for script in args.scripts if script in TABLES}
    except ValueError as error:
        parser.error(str(error))
    foreseen = {script: run([study], args.work) for script, study in predictions.items()}
    real = {script: run(studies[script], args.work) for script in args.scripts}
    told = {script: told_of(setting, TABLES[script], run_paths(studies[script], args.work)) for script in predictions}
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = " ".join(["python benchmarking/studies/real_training.py", *given])
    write(real, foreseen, told, setting, args.scripts, args.output, command)


if __name__ == "__main__":
    main()
