"""Optimisers of other packages, and of an older Syne Tune, on the tables and clock of the study of opponents.

    python -m venv /tmp/opponents && /tmp/opponents/bin/pip install . dehb==0.1.2 smac==2.4.1
    /tmp/opponents/bin/python benchmarking/opponents/run_opponents.py  # an hour; goes on where it was interrupted
    ... run_opponents.py --opponents dehb --tables digits --seeds 2 --output /tmp/others

    python -m venv /tmp/neps && /tmp/neps/bin/pip install . neural-pipeline-search==0.17.0
    /tmp/neps/bin/python benchmarking/opponents/run_opponents.py --opponents neps neps-late --output /tmp/others

    python3.10 -m venv /tmp/old && /tmp/old/bin/pip install "syne-tune[gpsearchers]==0.13.0"
    python benchmarking/opponents/run_opponents.py --old-python /tmp/old/bin/python --opponents mobster hypertune dyhpo

Their packages have other requirements (DEHB and SMAC need NumPy below 2, NePS needs NumPy 2, and certain releases of
PyTorch's packages), so they are not an extra of this package. Each optimiser is asked for a configuration and a level,
and is told the value at this level, on one machine with one job per device.
Their Hyperband has eta 3 and begins at the first level, or with "-late" at a ninth of the last level. They propose any
configuration of the space, and the nearest row of the table is used. A trial never uses more than one device. MOBSTER,
HyperTune and DyHPO are those of Syne Tune 0.13, in a process of this version, with its defaults: eta 3 and the first
rung at the first level, or with "-grace-2" at the second level.

Reads ``results/opponents/results.csv`` for the other schedulers, which must have the same tables, seeds and deadlines.
Writes ``README.md``, ``results.csv`` and ``verdicts.csv``. With ``PYTHONHASHSEED=0``, which the program sets, the same
arguments give the same results.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.opponents.ask_and_tell import AskAndTell
from benchmarking.opponents.elsewhere import OLD_NAMES, Elsewhere, old_version
from benchmarking.opponents.optimizers import LATE, NAMES, make_optimizer, versions
from benchmarking.studies.markdown import header, row
from benchmarking.studies.report_tables import ROOT
from benchmarking.studies.study_opponents import AT_RANDOM, FIRST_SEED, JOINT, groups
from syne_hypersched import LaunchCost, simulate
from syne_hypersched.comparison.benchmarks import load_benchmark
from syne_hypersched.comparison.runs import RunOutcome, StudyRun
from syne_hypersched.comparison.settings import Duration, Scenario
from syne_hypersched.comparison.simulated import ReportLog
from syne_hypersched.comparison.storage import write_whole
from syne_hypersched.comparison.verdicts import verdict_table

RESULTS = ROOT / "benchmarking" / "results"
BESIDE = (
    *(AT_RANDOM, JOINT),
    *("asha:reduction_factor=3:grace_period=2", "asha-promotion:reduction_factor=3:grace_period=2"),
)
"""Schedulers of the study of opponents that the report shows as well."""
COLUMNS = ["benchmark", "num_devices", "scaling", "launch_cost", "scheduler", "deadline", "seed", "regret"]


def make_scheduler(table: str, name: str, seed: int, old_python: str | None) -> AskAndTell | Elsewhere:
    """The scheduler of a name, for a table.

    Parameters
    ----------
    table
        Name of the table.
    name
        One of :const:`NAMES` or :const:`OLD_NAMES`.
    seed
        Seed of everything random.
    old_python
        Interpreter with Syne Tune 0.13, for :const:`OLD_NAMES`.
    """
    problem = load_benchmark(table).problem
    what = problem.config_space, problem.metric, problem.time_attr, problem.max_t, problem.do_minimize
    if name in OLD_NAMES:
        assert old_python is not None
        return Elsewhere(old_python, name, *what, seed)
    return AskAndTell(make_optimizer(name, problem.config_space, problem.first_level, problem.max_t, seed), *what)


def play(
    table: str, name: str, scheduler: AskAndTell | Elsewhere, num_devices: int, deadlines: Sequence[str], seed: int
) -> pd.DataFrame:
    """One run in virtual time, to the longest deadline: a row for each deadline."""
    benchmark = load_benchmark(table)
    problem = benchmark.problem
    wanted = sorted((Duration.parse(text) for text in deadlines), key=lambda d: d.in_seconds(benchmark.full_run_s))
    deadlines_s = [deadline.in_seconds(benchmark.full_run_s) for deadline in wanted]
    scenario = Scenario(table, num_devices, (name,))
    log = ReportLog(problem.metric, problem.time_attr, benchmark.true_metric)
    simulate(
        scheduler,
        benchmark.table,
        num_devices=num_devices,
        deadline_s=deadlines_s[-1],
        scaling="resnet50",
        launch_cost=LaunchCost(start_s=Duration(1, "%").in_seconds(benchmark.full_run_s)),
        seed=benchmark.table_seed(seed),
        on_result=log,
    )
    run = StudyRun(scenario, name, seed, tuple(wanted), knows_deadline=False)
    scale = benchmark.regret_scale(seed)
    outcome = RunOutcome.of(run, log.reports(), deadlines_s, problem.do_minimize, 0.0, scale)
    cells = {"benchmark": table, "num_devices": num_devices, "scaling": "resnet50", "launch_cost": "1%"}
    return pd.DataFrame(
        cells | {"scheduler": name, "deadline": reading.deadline, "seed": seed, "regret": reading.regret}
        for reading in outcome.readings
    )


def report(rows: pd.DataFrame, command: str, used: dict[str, str]) -> tuple[str, pd.DataFrame]:
    """The text of the report, and all verdicts on HyperSched, by default and with random search, on the opponents."""
    names = [name for name in dict.fromkeys(rows.scheduler) if name not in BESIDE]
    kinds = groups(list(dict.fromkeys(rows.benchmark)))
    verdicts = pd.concat(verdict_table(rows, ours, names, kinds).assign(candidate=ours) for ours in (JOINT, AT_RANDOM))
    deadlines = list(dict.fromkeys(rows.deadline))
    packages = ", ".join(f"{name} {version}" for name, version in used.items())
    lines = ["# Optimisers of other packages", "", INTRODUCTION.format(command=command, packages=packages), ""]
    for kind, tables in kinds.items():
        here = rows[rows.benchmark.isin(tables)]
        common = set.intersection(*(set(of_name.seed) for _, of_name in here.groupby("scheduler")))
        here = here[here.seed.isin(common)]
        means = here.groupby(["scheduler", "deadline"], sort=False).regret.mean().unstack("deadline")[deadlines]
        title = f"## {kind[0].upper()}{kind[1:]}"
        lines += [title, "", f"{', '.join(tables)}. Mean regret, with the {len(common)} seeds of all schedulers:", ""]
        lines += header("deadline", deadlines)
        shown = [name for name in (*BESIDE, *names) if name in means.index]
        lines += [row(name, [f"{value:.3f}" for value in means.loc[name]]) for name in shown]
        for ours in (JOINT, AT_RANDOM):
            lines += ["", f"Verdicts on `{ours}` (ratio of mean regrets; below 1 it is better):", ""]
            lines += header("deadline", deadlines)
            of_ours = verdicts[(verdicts.group == kind) & (verdicts.candidate == ours)]
            for name in names:
                of_name = of_ours[of_ours.rival == name].set_index("deadline")
                if not of_name.empty:
                    seeds = f"against `{name}`, {of_name.seeds.iloc[0]} seeds"
                    lines.append(row(seeds, [f"{of_name.verdict[d]} ({of_name.ratio[d]:.2f})" for d in deadlines]))
        lines.append("")
    return "\n".join(lines), verdicts


INTRODUCTION = """\
Made by `{command}`
with {packages}. 8 devices, scaling resnet50, a launch costs 1 % of a full run, deadlines in median full runs on one
device. Regret is 0 at the best value in the table and 1 at the best value of the median
configuration.

DEHB, SMAC and NePS have their defaults (Hyperband with eta 3) and run by ask and tell: a trial is paused at the level
that the optimiser requested, and continues from its checkpoint. Their first rung is at the first level, or with `-late`
at a ninth of the last level. MOBSTER, HyperTune and DyHPO have the defaults of Syne Tune 0.13 (eta 3, the first rung at
the first level), or with `-grace-2` the first rung at the second level. None of them knows the deadline, and each trial
uses one device. They propose any configuration of the space, and the nearest row of the table is used. This is a
disadvantage on tables whose rows are not spread evenly, for them and for the searcher `joint`.
The other rows are from [the study of opponents](../opponents/README.md), with the same seeds.

The verdicts are from the referee (`hypersched referee`). `level` means that the data show no clear difference."""


def main(arguments: Sequence[str] | None = None) -> None:
    study = pd.read_csv(RESULTS / "opponents" / "results.csv")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--opponents", nargs="+", choices=[*NAMES, *OLD_NAMES], default=[name for name in NAMES if "neps" not in name]
    )
    parser.add_argument("--old-python", help="interpreter with Syne Tune 0.13, for mobster, hypertune and dyhpo")
    parser.add_argument("--deadlines", nargs="+", default=list(dict.fromkeys(study.deadline)))
    parser.add_argument("--seeds", type=int, default=4, help="seeds, from 2 to those of the study (default 4)")
    parser.add_argument("--smac-seeds", type=int, default=2, help="seeds of SMAC, which is slow (default 2)")
    parser.add_argument("--tables", nargs="+", default=list(dict.fromkeys(study.benchmark)))
    parser.add_argument("--output", type=Path, default=RESULTS / "other-packages")
    args = parser.parse_args(arguments)
    if min(args.seeds, args.smac_seeds) < 2:
        parser.error("--seeds and --smac-seeds must be at least 2, since a verdict needs as many")
    if args.old_python is None and set(args.opponents) & set(OLD_NAMES):
        parser.error("--old-python must be given for mobster, hypertune and dyhpo")
    warnings.simplefilter("ignore")
    file = args.output / "results.csv"
    rows = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=COLUMNS)
    used = versions([name for name in args.opponents if name in NAMES])
    if args.old_python is not None:
        used["syne-tune"] = old_version(args.old_python)
    for name in args.opponents:
        for table in args.tables:
            for seed in range(
                FIRST_SEED, FIRST_SEED + (args.smac_seeds if name.removesuffix(LATE) == "smac" else args.seeds)
            ):
                if ((rows.scheduler == name) & (rows.benchmark == table) & (rows.seed == seed)).any():
                    continue
                scheduler = make_scheduler(table, name, seed, args.old_python)
                found = play(table, name, scheduler, 8, args.deadlines, seed).round(5)
                if isinstance(scheduler, Elsewhere):
                    scheduler.close()
                rows = pd.concat([rows, found], ignore_index=True) if len(rows) else found
                write_whole(file, rows[COLUMNS].to_csv(index=False, lineterminator="\n"))
                print(f"{name}, {table}, seed {seed}: regret {found.regret.iloc[-1]:.3f}", flush=True)
    beside = study[study.scheduler.isin(BESIDE) & study.benchmark.isin(args.tables) & (study.num_devices == 8)]
    here = rows[rows.scheduler.isin(args.opponents) & rows.benchmark.isin(args.tables)]
    beside, here = (some[some.deadline.isin(args.deadlines)] for some in (beside, here))
    given = " ".join(
        ["python benchmarking/opponents/run_opponents.py", *(sys.argv[1:] if arguments is None else arguments)]
    )
    text, verdicts = report(pd.concat([beside, here], ignore_index=True), given, used)
    write_whole(args.output / "README.md", text)
    write_whole(args.output / "verdicts.csv", verdicts.round(5).to_csv(index=False, lineterminator="\n"))
    print(text)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # SMAC's suggestions depend on the order of sets.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONHASHSEED": "0"})
    main()
