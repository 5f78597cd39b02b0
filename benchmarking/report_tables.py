"""The report on tables of real learning curves: regret of every scheduler by deadline, devices, scaling, launch cost.

    python benchmarking/report_tables.py     # about half an hour on two cores; goes on where it was interrupted
    python benchmarking/report_tables.py --seeds 2 --tables cnn-cifar10 --output /tmp/report

Writes figures and numbers, none of the data, to ``benchmarking/results/real-tables``: README.md, regret.csv and
pictures. Schedulers that never resize are run once for all scaling tables, and those that do not know the deadline once
for all deadlines.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarking.comparison.presets import num_cores
from benchmarking.comparison.runner import run_study
from benchmarking.comparison.settings import Duration, Scenario, Study
from benchmarking.comparison.statistics import mean_interval
from benchmarking.comparison.tables import results_table
from benchmarking.shared_tables import data_folder, shared_tables

ROOT = Path(__file__).resolve().parents[1]
PLAIN = ("random", "asha:reduction_factor=3", "asha:reduction_factor=4", "syne-asha", "asha-promotion", "pasha")
RESIZING = ("hypersched:scaling=given", "hypersched-adaptive:scaling=given")
TITLES = {
    "random": "random search",
    "asha:reduction_factor=3": "ASHA stopping, eta 3",
    "asha:reduction_factor=4": "ASHA stopping, eta 4",
    "syne-asha": "Syne Tune's ASHA",
    "asha-promotion": "ASHA promotion",
    "pasha": "PASHA",
    "hypersched:scaling=given": "HyperSched, published",
    "hypersched-adaptive:scaling=given": "HyperSched, adaptive",
}
COLOURS = ("#7F7F7F", "#56B4E9", "#0072B2", "#000000", "#CC79A7", "#E69F00", "#D55E00", "#009E73")
DEADLINES = ("0.25x", "0.5x", "1x", "2x", "4x")
SCALINGS = ("resnet50", "resnet18", "resnet101", "resnet152", "shufflenet", "imagenet_resnet50", "babi")
BASE = (8, "resnet50", "1%")


def make_scenarios(tables: Sequence[str]) -> tuple[list[Scenario], list[Scenario]]:
    """Those that are run with all seeds, and the further scalings that are run with half of them."""
    main, further = [], []
    for table in tables:
        for num_devices, cost in ((8, "1%"), (32, "1%"), (8, "5%")):
            launch_cost = Duration.parse(cost)
            main.append(Scenario(table, num_devices, (*PLAIN, *RESIZING), "resnet50", launch_cost))
            if cost == "1%":
                further += [Scenario(table, num_devices, RESIZING, scaling, launch_cost) for scaling in SCALINGS[1:]]
    return main, further


def run(scenarios: Sequence[Scenario], num_seeds: int, work: Path, jobs: int) -> pd.DataFrame:
    study = Study(
        scenarios=tuple(scenarios),
        deadlines=tuple(Duration.parse(deadline) for deadline in DEADLINES),
        seeds=tuple(range(num_seeds)),
        reference=scenarios[0].schedulers[-1],
    )
    step = {"last": -1}

    def on_progress(done: int, total: int, title: str) -> None:
        if 50 * done // total != step["last"]:
            step["last"] = 50 * done // total
            print(f"{done} of {total} runs", flush=True)

    return results_table(run_study(study, work, jobs=jobs, store_runs=False, on_progress=on_progress))


def normalised(table: pd.DataFrame) -> pd.DataFrame:
    """Mean regret over tables for each seed, so that a seed is one sample; columns are deadlines."""
    by_seed = table.groupby(["scheduler", "deadline", "seed"], sort=False).regret.mean()
    return by_seed.unstack("deadline")[list(DEADLINES)]


def cell(values: Sequence[float]) -> str:
    interval = mean_interval(list(values))
    return f"{interval.mean:.3f} ± {interval.half_width:.3f}"


def regret_lines(table: pd.DataFrame, schedulers: Sequence[str]) -> list[str]:
    regret = normalised(table)
    best = regret.groupby("scheduler").mean().idxmin()
    lines = ["| deadline | " + " | ".join(DEADLINES) + " |", "| --- |" + " ---: |" * len(DEADLINES)]
    for scheduler in schedulers:
        cells = []
        for deadline in DEADLINES:
            text = cell(regret.loc[scheduler][deadline])
            cells.append(f"**{text}**" if best[deadline] == scheduler else text)
        lines.append(f"| {TITLES[scheduler]} | " + " | ".join(cells) + " |")
    return lines


def gain_lines(table: pd.DataFrame, scheduler: str, rivals: Sequence[str]) -> list[str]:
    """Paired by seed: regret of the rival minus regret of the scheduler."""
    regret = normalised(table)
    lines = ["| deadline | " + " | ".join(DEADLINES) + " |", "| --- |" + " ---: |" * len(DEADLINES)]
    for rival in rivals:
        gains = regret.loc[rival] - regret.loc[scheduler]
        cells = [
            f"{mean_interval(list(gains[d])).mean:+.3f} ± {mean_interval(list(gains[d])).half_width:.3f}"
            for d in DEADLINES
        ]
        lines.append(f"| less regret than {TITLES[rival]} | " + " | ".join(cells) + " |")
    return lines


def per_table_lines(table: pd.DataFrame, deadline: str, schedulers: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(table.benchmark))
    chosen = table[table.deadline == deadline].groupby(["benchmark", "scheduler"], sort=False).regret
    means = chosen.mean().unstack("benchmark")[names]
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
    for scheduler in schedulers:
        lines.append(f"| {TITLES[scheduler]} | " + " | ".join(f"{means.loc[scheduler, n]:.3f}" for n in names) + " |")
    return lines


def draw(table: pd.DataFrame, schedulers: Sequence[str], title: str, path: Path) -> None:
    regret = normalised(table)
    figure = Figure(figsize=(8.5, 5.2), layout="constrained")
    axes = figure.subplots()
    positions = range(len(DEADLINES))
    for scheduler, colour in zip(schedulers, COLOURS, strict=True):
        intervals = [mean_interval(list(regret.loc[scheduler][deadline])) for deadline in DEADLINES]
        strong = scheduler in RESIZING
        axes.errorbar(
            positions,
            [interval.mean for interval in intervals],
            yerr=[interval.half_width for interval in intervals],
            color=colour,
            capsize=2,
            marker="o",
            markersize=4,
            linewidth=2.2 if strong else 1.2,
            label=TITLES[scheduler],
            zorder=3 if strong else 2,
        )
    axes.set_xticks(positions, [deadline.removesuffix("x") for deadline in DEADLINES])
    axes.set_xlabel("deadline, in median full runs on one device")
    axes.set_ylabel("regret (0: best value in the table, 1: median)")
    axes.set_yscale("log")
    axes.set_yticks([0.1, 0.2, 0.3, 0.5, 0.7, 1.0], ["0.1", "0.2", "0.3", "0.5", "0.7", "1"])
    axes.minorticks_off()
    axes.grid(axis="y", color="#E5E7EB")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    axes.set_title(title, loc="left", fontsize=11, weight="bold")
    figure.savefig(path, dpi=130)


INTRODUCTION = """\
Made by `python benchmarking/report_tables.py`: {num_tables} tables ({tables}), {num_seeds} seeds.
The numbers are mean regrets over the tables, with 95 % intervals over the seeds. Regret is 0 at the best value in the
table and 1 at the median configuration's best. All schedulers draw the same configurations in the same order on one
seed. Deadlines are in median full runs on one device. The lowest mean of each column is bold.

The LCBench tables are predictions of a surrogate, the others are measured. The adaptive strategy was chosen on all of
these tables but spikenas-cifar10, so its lead here is an optimistic estimate.

In short: HyperSched's published rules are ahead of ASHA and random search at a quarter of a full run, where giving all
devices to one trial is worth most, level at half of one, and behind from one on: they stop admitting trials long before
anything good was found. The adaptive strategy is ahead of all others at every deadline where a launch costs 1 %, with
32 devices by more. Where a launch costs 5 %, random search, which launches least, is ahead at the shortest deadline.
PASHA does not train what it finds to the end, and so is last by this measure, which is not what it is made for. Syne
Tune's ASHA and this package's decide alike. Between the scaling tables of the ResNets there is next to no difference;
with that of bAbI, whose speed-up ends at 2.75, growing trials is worth less."""


def write(main: pd.DataFrame, further: pd.DataFrame, num_seeds: int, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    schedulers = (*PLAIN, *RESIZING)
    adaptive = RESIZING[1]
    tables = list(dict.fromkeys(main.benchmark))
    introduction = INTRODUCTION.format(num_tables=len(tables), tables=", ".join(tables), num_seeds=num_seeds)
    lines = ["# Schedulers on tables of real learning curves", "", introduction, ""]
    for num_devices, cost in ((8, "1%"), (32, "1%"), (8, "5%")):
        part = main[(main.num_devices == num_devices) & (main.launch_cost == cost)]
        name = f"regret-{num_devices}-devices-{cost.removesuffix('%')}pct.png"
        title = f"{num_devices} devices, scaling of a ResNet-50, a launch costs {cost} of a full run"
        draw(part, schedulers, title, output / name)
        lines += [f"## {title}", "", f"![Regret by deadline]({name})", "", *regret_lines(part, schedulers), ""]
        lines += ["Paired by seed, the adaptive strategy has", "", *gain_lines(part, adaptive, schedulers[:-1]), ""]
        if (num_devices, cost) == (8, "1%"):
            lines += ["By table, at a deadline of one full run:", "", *per_table_lines(part, "1x", schedulers), ""]
    lines += ["## Scaling", "", "Those that resize, launch cost 1 %, with half of the seeds but for resnet50.", ""]
    for num_devices in (8, 32):
        for scheduler in RESIZING:
            lines += [f"### {TITLES[scheduler]}, {num_devices} devices", ""]
            lines += ["| scaling | " + " | ".join(DEADLINES) + " |", "| --- |" + " ---: |" * len(DEADLINES)]
            both = pd.concat([main[main.launch_cost == "1%"], further])
            for scaling in SCALINGS:
                part = both[
                    (both.scaling == scaling) & (both.num_devices == num_devices) & (both.scheduler == scheduler)
                ]
                if len(part):
                    regret = normalised(part).loc[scheduler]
                    lines.append(f"| {scaling} | " + " | ".join(cell(regret[d]) for d in DEADLINES) + " |")
            lines.append("")
    (output / "README.md").write_text("\n".join(lines))
    columns = [column for column in main.columns if column not in ("metric", "value", "num_reports")]
    frame = pd.concat([main, further])[columns]
    keys = [c for c in columns if c not in ("seed", "regret", "num_trials", "utilisation", "deadline_s")]
    frame.groupby(keys, sort=False)[["regret", "num_trials", "utilisation"]].mean().round(5).to_csv(
        output / "regret.csv"
    )
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--tables", nargs="+", default=list(shared_tables()), help="names of tables (default: all)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarking" / "results" / "real-tables")
    parser.add_argument("--work", type=Path, default=ROOT / "report-work", help="where finished runs are kept")
    parser.add_argument("--jobs", type=int, default=num_cores())
    args = parser.parse_args()
    if not args.tables:
        sys.exit(f"there are no tables in {data_folder()}: set SYNE_HYPERSCHED_DATA to the folder that holds them")
    scenarios, further = make_scenarios(args.tables)
    half = max(2, args.seeds // 2)
    first = run(scenarios, args.seeds, args.work / "main", args.jobs)
    second = run(further, half, args.work / "scalings", args.jobs)
    write(first, second, args.seeds, args.output)


if __name__ == "__main__":
    main()
