"""The report on tables of real learning curves: regret of every scheduler by deadline, devices, scaling, launch cost.

    python benchmarking/studies/report_tables.py     # about half an hour on two cores; goes on where it was interrupted
    python benchmarking/studies/report_tables.py --seeds 2 --tables cnn-cifar10 --output /tmp/report

Writes figures and numbers, but none of the data, to ``benchmarking/results/real-tables``: README.md, regret.csv and
pictures. Schedulers that never resize are run once for all scaling tables, and those that do not know the deadline once
for all deadlines. Finished runs are stored by the digest of the source code, so that runs of different code are never
mixed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.studies.regret_tables import (
    ADAPTIVE,
    DEADLINES,
    PLAIN,
    PUBLISHED,
    RESIZING,
    SCHEDULERS,
    TITLES,
    Means,
    draw,
    gain_lines,
    mean_by_seed,
    per_table_lines,
    regret_lines,
    scaling_lines,
    verdict_lines,
)
from syne_hypersched.comparison.presets import num_cores
from syne_hypersched.comparison.runner import run_study
from syne_hypersched.comparison.settings import Duration, Scenario, Study
from syne_hypersched.comparison.shared_tables import data_folder, shared_tables
from syne_hypersched.comparison.storage import source_digest
from syne_hypersched.comparison.tables import results_table

ROOT = Path(__file__).resolve().parents[2]
POOR = "1:1,2:1.5,4:2,8:2.4"
SCALINGS = ("resnet50", "resnet18", "resnet101", "resnet152", "shufflenet", "imagenet_resnet50", "babi", POOR)
SCALING_TITLES = {
    "resnet50": "scaling of a ResNet-50",
    POOR: "poor scaling (1, 1.5, 2, 2.4 at 1, 2, 4, 8 devices)",
}
OUTLIER = "spikenas-cifar10"
"""A table whose median is so near its best value that regrets of 3 occur, which dominate a mean over tables."""


@dataclass(frozen=True)
class Setting:
    """A machine, which has a section in the report."""

    num_devices: int
    scaling: str
    launch_cost: str

    @property
    def title(self) -> str:
        cost = f"a launch costs {self.launch_cost} of a full run"
        return f"{self.num_devices} devices, {SCALING_TITLES[self.scaling]}, {cost}"

    @property
    def picture(self) -> str:
        scaling = "poor" if self.scaling == POOR else self.scaling
        return f"regret-{self.num_devices}-devices-{scaling}-{self.launch_cost.removesuffix('%')}pct.png"

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The runs of the setting; for schedulers that never resize, those of any scaling."""
        same_machine = (table.num_devices == self.num_devices) & (table.launch_cost == self.launch_cost)
        return table[same_machine & ((table.scaling == self.scaling) | table.scheduler.isin(PLAIN))]


SETTINGS = (
    Setting(8, "resnet50", "1%"),
    Setting(32, "resnet50", "1%"),
    Setting(8, "resnet50", "5%"),
    Setting(32, "resnet50", "5%"),
    Setting(8, POOR, "1%"),
    Setting(32, POOR, "1%"),
)


def make_scenarios(tables: Sequence[str]) -> tuple[list[Scenario], list[Scenario]]:
    """The scenarios of the settings, and those of further scalings, which are run with half of the seeds.

    The outlier is left out of the latter, since it would hide the effect of the scaling.
    """
    main = []
    with_scalings = [table for table in tables if table != OUTLIER] or tables
    for table in tables:
        machines = set()
        for setting in SETTINGS:
            machine = (setting.num_devices, setting.launch_cost)
            schedulers = RESIZING if machine in machines else SCHEDULERS
            machines.add(machine)
            main.append(
                Scenario(table, setting.num_devices, schedulers, setting.scaling, Duration.parse(setting.launch_cost))
            )
    done = {setting.scaling for setting in SETTINGS}
    further = [
        Scenario(table, num_devices, RESIZING, scaling, Duration.parse("1%"))
        for table in with_scalings
        for num_devices in sorted({setting.num_devices for setting in SETTINGS})
        for scaling in SCALINGS
        if scaling not in done
    ]
    return main, further


def study_digest(study: Study) -> str:
    """Twelve digits that are the same for the same settings."""
    return hashlib.sha256(json.dumps(study.as_json(), sort_keys=True).encode()).hexdigest()[:12]


def run(scenarios: Sequence[Scenario], num_seeds: int, work: Path, jobs: int) -> pd.DataFrame:
    """Runs the scenarios, except runs that the same source code has already finished in ``work``."""
    study = Study(
        scenarios=tuple(scenarios),
        deadlines=tuple(Duration.parse(deadline) for deadline in DEADLINES),
        seeds=tuple(range(num_seeds)),
        reference=ADAPTIVE,
    )
    step = {"last": -1}

    def on_progress(done: int, total: int, title: str) -> None:
        if 50 * done // total != step["last"]:
            step["last"] = 50 * done // total
            print(f"{done} of {total} runs", flush=True)

    folder = work / source_digest()[:12] / study_digest(study)
    return results_table(run_study(study, folder, jobs=jobs, store_runs=False, on_progress=on_progress))


INTRODUCTION = """\
Made by `python benchmarking/studies/report_tables.py`: {num_tables} tables ({tables}), {num_seeds} seeds.
The numbers are mean regrets over the tables, with 95 % intervals over the seeds. Regret is 0 at the best value in the
table and 1 at the best value of the median configuration. With the same seed, all schedulers draw the same
configurations in the same order. Deadlines are in median full runs on one device. The lowest mean of each column is
bold."""

READING_OF = (8, 20)
"""Number of tables and seeds for which the text below was written; other reports omit it."""

READING = """\
The LCBench tables are predictions of a surrogate. The other tables are measured. The adaptive strategy was chosen on
all of these tables except spikenas-cifar10, so its lead in this report is an optimistic estimate. On spikenas-cifar10
the median configuration is so close to the best value that regrets of 3 occur. At short deadlines, this table
dominates the mean over all tables. So the report also gives the mean without this table.

Results on the seven other tables:

- HyperSched's published rules are behind random search and ASHA at every deadline, for all numbers of devices,
  scalings and launch costs in this report. Up to a deadline of one full run, they admit about half as many trials as
  ASHA.
- The published rules are ahead only on spikenas-cifar10 at the two shortest deadlines. Because of this table alone,
  they are ahead of ASHA at the shortest deadline in the mean of all tables, unless scaling is poor.
- If a launch costs 1 %, the adaptive strategy has the lowest mean at every deadline. Its lead is larger on 32 devices,
  and slightly smaller if scaling is poor. If a launch costs 5 %, random search, which has the fewest launches, is
  level with the adaptive strategy at the shortest deadline.
- PASHA does not train the configuration that it finds to the end. So it is behind ASHA by this measure, which is not
  the purpose of PASHA.
- Syne Tune's ASHA and the ASHA of this package make the same decisions.
- The scaling tables of the ResNets give almost the same results. With that of bAbI, whose speed-up ends at 2.75, and
  with the poor one, growing trials is worth less."""


def means_of(table: pd.DataFrame) -> Means:
    """Mean regret over all tables and, if it differs, without the table that dominates the mean."""
    benchmarks = set(table.benchmark)
    means = {f"mean of {_tables(len(benchmarks))}": mean_by_seed(table)}
    if OUTLIER in benchmarks and len(benchmarks) > 1:
        rest = table[table.benchmark != OUTLIER]
        means[f"mean of {_tables(len(benchmarks) - 1)}, without {OUTLIER}"] = mean_by_seed(rest)
    return means


def _tables(number: int) -> str:
    return "1 table" if number == 1 else f"{number} tables"


def setting_lines(setting: Setting, table: pd.DataFrame, output: Path) -> list[str]:
    """The section of a setting; draws its picture."""
    rows = setting.rows(table)
    means = means_of(rows)
    draw(means, setting.title, output / setting.picture)
    lines = [f"## {setting.title}", "", f"![Regret by deadline]({setting.picture})", ""]
    for name, regret in means.items():
        lines += [f"### {name[0].upper()}{name[1:]}", "", *regret_lines(regret), ""]
        lines += ["Paired by seed, the adaptive strategy has", "", *gain_lines(regret, ADAPTIVE, SCHEDULERS[:-1]), ""]
        lines += ["and the published rules have", "", *gain_lines(regret, PUBLISHED, PLAIN[:3]), ""]
    if setting == SETTINGS[0]:
        lines += ["### By table, at a deadline of one full run", "", *per_table_lines(rows, "1x"), ""]
    return lines


def scaling_section(table: pd.DataFrame, num_seeds: int) -> list[str]:
    """Results of the schedulers that resize with every scaling, on the same tables and seeds."""
    names = set(table.benchmark) - {OUTLIER} or {OUTLIER}
    chosen = table[(table.launch_cost == "1%") & (table.seed < num_seeds) & table.benchmark.isin(names)]
    titles = {scaling: "poor" if scaling == POOR else scaling for scaling in SCALINGS}
    scope = f"mean of {_tables(len(names))}, the first {num_seeds} seeds"
    lines = ["## Scaling", "", f"The schedulers that resize, launch cost 1 %, {scope}.", ""]
    for num_devices in sorted(set(chosen.num_devices)):
        rows = chosen[chosen.num_devices == num_devices]
        for scheduler in RESIZING:
            lines += [f"### {TITLES[scheduler]}, {num_devices} devices", ""]
            lines += [*scaling_lines(rows, scheduler, titles), ""]
    return lines


def write(table: pd.DataFrame, num_seeds: int, num_scaling_seeds: int, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(table.benchmark))
    lines = ["# Schedulers on tables of real learning curves", ""]
    lines += [INTRODUCTION.format(num_tables=len(names), tables=", ".join(names), num_seeds=num_seeds), ""]
    if (len(names), num_seeds) == READING_OF:
        lines += [READING, ""]
    lines += ["Paired by seed, with 8 devices, the scaling of a ResNet-50 and a launch cost of 1 %:", ""]
    lines += [*verdict_lines(means_of(SETTINGS[0].rows(table)), PLAIN[:3]), ""]
    for setting in SETTINGS:
        lines += setting_lines(setting, table, output)
    lines += scaling_section(table, num_scaling_seeds)
    lines.append(f"Made from the source code with the digest {source_digest()[:12]}.")
    (output / "README.md").write_text("\n".join(lines) + "\n")
    columns = ["benchmark", "num_devices", "scaling", "launch_cost", "scheduler", "deadline"]
    means = table.groupby(columns, sort=False)[["regret", "num_trials", "utilisation"]].mean()
    means.round(5).to_csv(output / "regret.csv")
    print("\n".join(lines))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="seeds, at least 2 (default 20); half of them by scaling")
    parser.add_argument("--tables", nargs="+", default=list(shared_tables()), help="names of tables (default: all)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarking" / "results" / "real-tables")
    parser.add_argument("--work", type=Path, default=ROOT / "report-work", help="where finished runs are kept")
    parser.add_argument("--jobs", type=int, default=num_cores())
    args = parser.parse_args(arguments)
    if args.seeds < 2:
        parser.error(f"--seeds must be at least 2, since an interval needs as many, but got {args.seeds}")
    if not args.tables:
        sys.exit(f"there are no tables in {data_folder()}: set SYNE_HYPERSCHED_DATA to the folder that holds them")
    scenarios, further = make_scenarios(args.tables)
    half = max(2, args.seeds // 2)
    first = run(scenarios, args.seeds, args.work, args.jobs)
    second = run(further, half, args.work, args.jobs)
    write(pd.concat([first, second]), args.seeds, half, args.output)


if __name__ == "__main__":
    main()
