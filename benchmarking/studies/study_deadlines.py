"""The adaptive strategy and all baselines, on tables of real learning curves, in many settings, in virtual time.

    python benchmarking/studies/study_deadlines.py  # some hours on one core; goes on where it was interrupted
    python benchmarking/studies/study_deadlines.py --quick  # a small part, in a minute
    python benchmarking/studies/study_deadlines.py --picture  # only regret.png, some minutes
    python benchmarking/studies/study_deadlines.py --seeds 2 --tables cnn-cifar10 --output /tmp/study

Writes ``README.md``, numbers and pictures, but none of the data, to ``benchmarking/results/deadline-study``. Four
parts:

*Base*: one setting, with more seeds than the grid.

*Grid*: deadlines x devices x scalings x launch costs. Schedulers that never resize are run with one scaling, which is
valid for all, and those that do not know the deadline once for all deadlines.

*Ingredients*: the effect of each part of the last stretch.

*Searchers*: model-based search during exploration.

The rules that decide when not to resize were chosen on the tables in :const:`CHOSEN_ON` with the seeds below
:const:`FIRST_SEED`. The study has other seeds, and reports the other tables separately.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.studies.deadline_tables import (
    LIMIT,
    compare,
    draw_ratios,
    draw_regret,
    gain_lines,
    ratio_lines,
    regret_lines,
    verdict,
    worst_lines,
)
from benchmarking.studies.regret_tables import ADAPTIVE, PUBLISHED
from benchmarking.studies.report_tables import OUTLIER, ROOT, study_digest
from syne_hypersched.comparison.presets import ASHA_OPPONENTS, Machine, num_cores
from syne_hypersched.comparison.runner import run_study
from syne_hypersched.comparison.settings import Duration, Study
from syne_hypersched.comparison.shared_tables import data_folder, shared_tables
from syne_hypersched.comparison.storage import source_digest
from syne_hypersched.comparison.tables import results_table

FIRST_SEED = 100
CHOSEN_ON = (
    "cnn-cifar10",
    "lcbench-surrogate-Fashion-MNIST",
    "lcbench-surrogate-connect-4",
    "lcbench-surrogate-covertype",
)
TABLES = (
    *("cnn-cifar10", "lcbench-surrogate-Fashion-MNIST", "lcbench-surrogate-adult", "lcbench-surrogate-connect-4"),
    *("lcbench-surrogate-covertype", "lcbench-surrogate-segment", "lcbench-surrogate-volkert", OUTLIER),
)
"""Those of the published results."""

LADDER = "hypersched:policy=none"
BASELINES = ("random", *ASHA_OPPONENTS, "i-epoch")
TITLES = {
    "random": "random search",
    **{
        f"{kind}:reduction_factor={eta}:grace_period={grace}": f"ASHA {variant}, eta {eta}, grace {grace}"
        for kind, variant in (("asha", "stopping"), ("asha-promotion", "promotion"))
        for eta in (3, 4)
        for grace in (1, 2, 3)
    },
    "i-epoch": "i-Epoch",
    "pasha": "PASHA",
    PUBLISHED: "HyperSched, published",
    LADDER: "adaptive without resizing",
    ADAPTIVE: "HyperSched, adaptive",
}
#: The lines of the picture.
PICTURE = {
    "random": "random search",
    "asha-promotion:reduction_factor=3:grace_period=1": "ASHA, first rung at report 1",
    "asha-promotion:reduction_factor=3:grace_period=2": "ASHA, first rung at report 2",
    ADAPTIVE: "HyperSched (default)",
}
INGREDIENTS = {
    ADAPTIVE: "uniform (the default)",
    "hypersched:scaling=given:policy=top_job": "top_job: the best first",
    "hypersched:scaling=given:policy=goodput": "goodput: where devices bring most progress",
    "hypersched": "uniform, scaling unknown and learnt",
    LADDER: "no resizing: the ladder until the deadline",
    "hypersched:policy=none:grace_period=1": "the same, first rung at the first report",
    "asha-promotion:reduction_factor=3:grace_period=2": "ASHA promotion, eta 3, grace 2",
    "asha:reduction_factor=3:grace_period=2": "ASHA stopping, eta 3, grace 2",
    "random": "random search",
}
SEARCHERS = {
    ADAPTIVE: "random search (the default)",
    "hypersched+joint:scaling=given": "joint",
    "hypersched+kde:scaling=given": "kde",
    "hypersched+bore:scaling=given": "bore",
    "hypersched+cqr:scaling=given": "cqr",
}
BASE_SCALING, BASE_COST, BASE_DEVICES = "resnet50", "1%", 8
SCALINGS = (BASE_SCALING, "linear", "babi", "none")
COSTS = ("0%", "0.2%", "1%", "5%")
DEADLINES = ("0.25x", "0.5x", "1x", "2x", "4x")
COLUMNS = ["benchmark", "num_devices", "scaling", "launch_cost", "scheduler", "deadline"]


@dataclass(frozen=True)
class Size:
    """The extent of the study."""

    devices: tuple[int, ...] = (4, 8, 32, 128)
    scalings: tuple[str, ...] = SCALINGS
    costs: tuple[str, ...] = COSTS
    deadlines: tuple[str, ...] = DEADLINES
    seeds: int = 4
    base_seeds: int = 12
    ingredient_seeds: int = 10
    searcher_seeds: int = 3
    searcher_deadlines: tuple[str, ...] = ("0.5x", "1x")
    searcher_tables: int = 2
    searchers: tuple[str, ...] = tuple(SEARCHERS)

    def of_machine(self, num_devices: int) -> tuple[tuple[str, ...], int]:
        """Deadlines and seeds for a number of devices: 32 devices try as much in one full run as 8 in four."""
        if num_devices <= 8:
            return self.deadlines, self.seeds
        deadlines = tuple(deadline for deadline in self.deadlines if deadline not in ("2x", "4x"))
        return deadlines, self.seeds if num_devices <= 32 else max(2, self.seeds // 2)


QUICK = Size(
    (4, 8), (BASE_SCALING, "none"), ("1%", "5%"), ("0.25x", "0.5x"), 2, 2, 2, 2, ("0.25x",), 1, (*SEARCHERS,)[:2]
)


@dataclass(frozen=True)
class Runs:
    """Runs a part of the study, except runs that the same source code has already finished in a folder."""

    work: Path
    jobs: int

    def __call__(self, scenarios: Sequence, deadlines: Sequence[str], num_seeds: int) -> pd.DataFrame:
        study = Study(
            scenarios=tuple(scenarios),
            deadlines=tuple(Duration.parse(deadline) for deadline in deadlines),
            seeds=tuple(range(FIRST_SEED, FIRST_SEED + num_seeds)),
            reference=ADAPTIVE,
        )
        step = {"last": -1}

        def on_progress(done: int, total: int, title: str) -> None:
            if 20 * done // total != step["last"]:
                step["last"] = 20 * done // total
                print(f"{done} of {total} runs", flush=True)

        folder = self.work / source_digest()[:12] / study_digest(study)
        return results_table(run_study(study, folder, jobs=self.jobs, store_runs=False, on_progress=on_progress))


def run_grid(size: Size, tables: Sequence[str], runs: Runs) -> pd.DataFrame:
    """All settings: those of one scaling with every scheduler, the others only with the adaptive strategy."""
    found = []
    for num_devices in size.devices:
        deadlines, num_seeds = size.of_machine(num_devices)
        machine = Machine(tables, (num_devices,), (BASE_SCALING,), size.costs)
        others = [scaling for scaling in size.scalings if scaling != BASE_SCALING]
        scenarios = [
            *machine.scenarios(tuple(TITLES)),
            *Machine(tables, (num_devices,), others, size.costs).scenarios([ADAPTIVE]),
        ]
        found.append(runs(scenarios, deadlines, num_seeds))
    return pd.concat(found)


def groups(tables: Sequence[str]) -> dict[str, list[str]]:
    """Groups of tables; the table that would dominate every mean is a group of its own."""
    rest = [table for table in tables if table != OUTLIER]
    kinds = {
        f"all tables except {OUTLIER}": rest,
        "of these, tables that were not used to choose the rules": unseen(tables),
        "of these, tables that were used to choose the rules": [table for table in rest if table in CHOSEN_ON],
        OUTLIER: [table for table in tables if table == OUTLIER],
    }
    found: dict[str, list[str]] = {}
    for name, names in kinds.items():
        if names and names not in found.values():
            found[name] = names
    return found


def unseen(tables: Sequence[str]) -> list[str]:
    """The tables that were not used to choose the rules, without the one that would dominate every mean."""
    return [table for table in tables if table not in CHOSEN_ON and table != OUTLIER]


def by_group(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each of :func:`groups`."""
    names = groups(list(dict.fromkeys(rows.benchmark)))
    return {name: rows[rows.benchmark.isin(tables)] for name, tables in names.items()}


CAPTION = (
    "Regret by deadline of four of the schedulers, mean of all tables except the one that would dominate it, with 95 % "
    "intervals over seeds"
)


def draw_picture(base: pd.DataFrame, output: Path) -> list[str]:
    """Draws the regret of some schedulers in the base setting, and returns it as a Markdown table."""
    rows = next(iter(by_group(base).values()))
    tables, seeds = rows.benchmark.nunique(), rows.seed.nunique()
    title = (
        f"{BASE_DEVICES} devices, launches of {BASE_COST} of a full run; tables: {tables}, seeds: {seeds}; virtual time"
    )
    output.mkdir(parents=True, exist_ok=True)
    draw_regret(rows, PICTURE, ADAPTIVE, title, output / "regret.png")
    return regret_lines(rows, PICTURE)


def base_section(base: pd.DataFrame, output: Path) -> list[str]:
    """All schedulers in the base setting; draws the picture."""
    kinds = by_group(base)
    draw_picture(base, output)
    lines = [f"## {BASE_DEVICES} devices, scaling {BASE_SCALING}, a launch costs {BASE_COST} of a full run", ""]
    lines += [f"{base.seed.nunique()} seeds.", "", f"![{CAPTION}](regret.png)", "", f"*{CAPTION}.*", ""]
    for name, rows in kinds.items():
        lines += [f"### {_capital(name)}", "", *regret_lines(rows, TITLES), ""]
        lines += [
            "Difference of regret from the adaptive strategy, paired by seed (above 0, this strategy is better):",
            "",
        ]
        lines += [*gain_lines(rows, ADAPTIVE, {s: t for s, t in TITLES.items() if s != ADAPTIVE}), ""]
    return lines


def grid_section(grid: pd.DataFrame, output: Path) -> list[str]:
    """The results of the grid; draws its pictures."""
    kinds, lines = by_group(grid), []
    against_ladder = {name: compare(rows, ADAPTIVE, [LADDER]) for name, rows in kinds.items()}
    against_best = {name: compare(rows, ADAPTIVE, BASELINES) for name, rows in kinds.items()}
    for against, comparisons, limit, picture in (
        ("its own ladder without resizing", against_ladder, LIMIT, "against-ladder.png"),
        ("the best of random search and ASHA", against_best, 1.0, "against-baselines.png"),
    ):
        lines += [f"## Every setting, against {against}", ""]
        lines += ["Ratio of mean regrets; below 1 the adaptive strategy is better.", ""]
        lines += [f"![Ratio of mean regrets in every setting]({picture})", ""]
        draw_ratios(comparisons, output / picture)
        for name, comparison in comparisons.items():
            lines += [f"### {_capital(name)}", "", f"All deadlines: {verdict(comparison, limit)}.", ""]
            late = comparison[comparison.deadline != DEADLINES[0]]
            lines += [f"Deadlines of half a full run and more: {verdict(late, limit)}.", ""]
            if (comparison.ratio > limit).any():
                lines += ["The largest:", "", *worst_lines(comparison, limit), ""]
            lines += [f"With scaling {BASE_SCALING}:", "", *ratio_lines(comparison, BASE_SCALING), ""]
    frames = [
        comparison.assign(tables=name, against=against)
        for against, comparisons in (("ladder", against_ladder), ("random search and ASHA", against_best))
        for name, comparison in comparisons.items()
    ]
    pd.concat(frames).round(4).to_csv(output / "comparisons.csv", index=False)
    return lines


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def arms_section(title: str, introduction: str, rows: pd.DataFrame, arms: dict[str, str]) -> list[str]:
    """Mean regret of some arms in the base setting, and the difference from the adaptive strategy."""
    names = ", ".join(dict.fromkeys(rows.benchmark))
    lines = [f"## {title}", "", f"{introduction} Tables: {names}; {rows.seed.nunique()} seeds.", ""]
    lines += [
        *regret_lines(rows, arms),
        "",
        "Difference from the first row, paired by seed (above 0, the first row is better):",
        "",
    ]
    return [*lines, *gain_lines(rows, ADAPTIVE, {s: t for s, t in arms.items() if s != ADAPTIVE}), ""]


INTRODUCTION = """\
Made by `python benchmarking/studies/study_deadlines.py`, with {devices} devices in the grid. Numbers are mean regrets
over tables, with 95 % intervals over seeds. Regret is 0 at the best value in the table and 1 at the best value of the
median configuration. With the same seed, all schedulers with random search draw the same configurations in the same
order. Deadlines and launch costs are in median full runs on one device. The LCBench tables are predictions of a
surrogate. The other tables are measured.

The rules that decide when not to resize were chosen on {chosen}, with
seeds below {first_seed}. The study has seeds from {first_seed}: {base} in the base setting, and in the grid {seeds}, or
{many} with more than 32 devices. With more than 8 devices, the longest deadline is one full run.
The ladder itself (rungs, one in three) was chosen earlier, on all tables except {outlier}."""


def write(parts: Mapping[str, pd.DataFrame], size: Size, output: Path) -> None:
    """Writes the report on the parts of the study, by name."""
    output.mkdir(parents=True, exist_ok=True)
    introduction = INTRODUCTION.format(
        chosen=", ".join(CHOSEN_ON),
        first_seed=FIRST_SEED,
        devices=", ".join(map(str, size.devices)),
        base=size.base_seeds,
        seeds=size.seeds,
        many=size.of_machine(128)[1],
        outlier=OUTLIER,
    )
    lines = ["# The adaptive strategy in many settings", "", introduction, ""]
    lines += base_section(parts["base"], output) + grid_section(parts["grid"], output)
    setting = f"{BASE_DEVICES} devices, scaling {BASE_SCALING}, launch cost {BASE_COST}."
    lines += arms_section("The effect of each part of the strategy", setting, parts["ingredients"], INGREDIENTS)
    setting += " Model-based searchers begin without data, so they do not see the same configurations."
    lines += arms_section(
        "Searchers during exploration", setting, parts["searchers"], {s: SEARCHERS[s] for s in size.searchers}
    )
    lines.append(f"Made from the source code with the digest {source_digest()[:12]}.")
    (output / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = pd.concat([part.assign(part=name) for name, part in parts.items()])
    means = rows.groupby(["part", *COLUMNS], sort=False)[["regret", "num_trials", "utilisation"]].mean()
    means.round(5).to_csv(output / "regret.csv")
    print("\n".join(lines))


def main(arguments: Sequence[str] | None = None) -> None:
    tables = [table for table in TABLES if table in shared_tables()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small part of everything")
    parser.add_argument("--picture", action="store_true", help="only draw regret.png, from the runs that it needs")
    parser.add_argument("--seeds", type=int, help="seeds of the grid, at least 2 (default 4)")
    parser.add_argument("--devices", type=int, nargs="+", help="numbers of devices of the grid (default 4 8 32 128)")
    parser.add_argument("--tables", nargs="+", default=tables, help=f"names of tables (default: {' '.join(tables)})")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarking" / "results" / "deadline-study")
    parser.add_argument("--work", type=Path, default=ROOT / "report-work", help="where finished runs are kept")
    parser.add_argument("--jobs", type=int, default=num_cores())
    args = parser.parse_args(arguments)
    if args.seeds is not None and args.seeds < 2:
        parser.error(f"--seeds must be at least 2, since an interval needs as many, but got {args.seeds}")
    if not args.tables:
        sys.exit(f"there are no tables in {data_folder()}: set SYNE_HYPERSCHED_DATA to the folder that holds them")
    size = QUICK if args.quick else Size()
    given = {"seeds": args.seeds, "devices": args.devices and tuple(sorted(set(args.devices)))}
    size = replace(size, **{name: value for name, value in given.items() if value is not None})
    runs = Runs(args.work, args.jobs)
    base = (BASE_DEVICES,), (BASE_SCALING,), (BASE_COST,)
    if args.picture:
        tables = [table for table in args.tables if table != OUTLIER] or args.tables
        rows = runs(Machine(tables, *base).scenarios(tuple(PICTURE)), size.deadlines, size.base_seeds)
        print("\n".join(draw_picture(rows, args.output)))
        return
    few = unseen(args.tables) or args.tables
    some = few[: size.searcher_tables]
    parts = {
        "base": runs(Machine(args.tables, *base).scenarios(tuple(TITLES)), size.deadlines, size.base_seeds),
        "ingredients": runs(Machine(few, *base).scenarios(tuple(INGREDIENTS)), size.deadlines, size.ingredient_seeds),
        "searchers": runs(Machine(some, *base).scenarios(size.searchers), size.searcher_deadlines, size.searcher_seeds),
        "grid": run_grid(size, args.tables, runs),
    }
    write(parts, size, args.output)


if __name__ == "__main__":
    main()
