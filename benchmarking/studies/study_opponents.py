"""HyperSched and its searchers against the fairest opponents, judged by the referee, in virtual time.

    python benchmarking/studies/study_opponents.py  # some hours; goes on where it was interrupted
    python benchmarking/studies/study_opponents.py --seeds 16 --model-seeds 0 --devices 8  # half an hour; checked in
    python benchmarking/studies/study_opponents.py --tables digits --seeds 2 --output /tmp/opponents
    python benchmarking/studies/study_opponents.py --noise --seeds 8 --devices 8 --output /tmp/noise

HyperSched is run with its default searcher, ``joint``, and with random search. Opponents are ASHA by stopping and by
promotion, with eta 3 and 4 and the first rung at the first, second and third level, i-Epoch, PASHA and random search,
and with fewer seeds ASHA with Syne Tune's model-based searchers. The two searchers of HyperSched may be compared with
more seeds than the opponents. The study has seeds from :const:`FIRST_SEED`, not used for the development.

Tables are in groups that are judged apart: those with which the searcher ``joint`` was developed, and the rest. Writes
``README.md``, ``verdicts.csv`` and ``results.csv``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.studies.markdown import header, row
from benchmarking.studies.report_tables import OUTLIER, ROOT, study_digest
from syne_hypersched.comparison.benchmarks import NOISE
from syne_hypersched.comparison.presets import ASHA_OPPONENTS, MODEL_OPPONENTS, Machine, num_cores
from syne_hypersched.comparison.runner import run_study
from syne_hypersched.comparison.settings import Duration, Study
from syne_hypersched.comparison.shared_tables import shared_tables
from syne_hypersched.comparison.storage import source_digest, write_whole
from syne_hypersched.comparison.tables import results_table
from syne_hypersched.comparison.verdicts import strongest, verdict_table

FIRST_SEED = 200
JOINT, AT_RANDOM = "hypersched+joint", "hypersched"
"""HyperSched with its default searcher, and with random search, as every name without a searcher in a comparison."""
OURS = (AT_RANDOM, JOINT)
OPPONENTS = (*ASHA_OPPONENTS, "i-epoch", "pasha", "random")
UNSEEN = ("digits",)
"""Tables on which nothing of the searcher was chosen, but for the one that would dominate every mean."""
SMOOTH = ("lcbench-surrogate-", "taskset-")
"""How the names of tables begin whose curves are smoother than those of a single training."""


def groups(tables: Sequence[str]) -> dict[str, list[str]]:
    """Groups of tables; the table with the largest regrets is a group of its own."""
    found = {
        "development tables": [table for table in tables if table not in (*UNSEEN, OUTLIER)],
        "digits, not used for the development": [table for table in tables if table in UNSEEN],
        f"{OUTLIER}, choices only": [table for table in tables if table == OUTLIER],
    }
    return {name: names for name, names in found.items() if names}


def run(
    tables: Sequence[str],
    schedulers: Sequence[str],
    devices: Sequence[int],
    deadlines: Sequence[str],
    num_seeds: int,
    work: Path,
    jobs: int,
    launch_costs: Sequence[str] = ("1%",),
    first_seed: int = FIRST_SEED,
) -> pd.DataFrame:
    """Runs a part of the study, but for what the same source code has finished already."""
    study = Study(
        scenarios=Machine(tables, devices, ("resnet50",), launch_costs).scenarios(schedulers),
        deadlines=tuple(Duration.parse(deadline) for deadline in deadlines),
        seeds=tuple(range(first_seed, first_seed + num_seeds)),
        reference=schedulers[0],
    )
    step = {"last": -1}

    def on_progress(done: int, total: int, title: str) -> None:
        if 20 * done // total != step["last"]:
            step["last"] = 20 * done // total
            print(f"{done} of {total} runs", flush=True)

    folder = work / source_digest()[:12] / study_digest(study)
    return results_table(run_study(study, folder, jobs=jobs, store_runs=False, on_progress=on_progress))


def report(rows: pd.DataFrame, command: str) -> tuple[str, pd.DataFrame]:
    """The text of the report, and all verdicts."""
    tables, names = groups(list(dict.fromkeys(rows.benchmark))), list(dict.fromkeys(rows.scheduler))
    rivals = [name for name in names if name not in OURS]
    verdicts = {
        JOINT: verdict_table(rows, JOINT, [AT_RANDOM, *rivals], tables),
        AT_RANDOM: verdict_table(rows, AT_RANDOM, rivals, tables),
    }
    # The question of this study, which is asked of every table and seed that there is, and of no one else.
    alone = verdict_table(rows, JOINT, [AT_RANDOM], tables)
    deadlines = list(dict.fromkeys(rows.deadline))
    seeds = rows.groupby("scheduler").seed.nunique()
    lines = ["# HyperSched against the strongest opponents", "", INTRODUCTION.format(command=command), ""]
    numbers = {number: seeds.index[seeds == number] for number in sorted(set(seeds), reverse=True)}
    lines += [f"- {number} seeds: {', '.join(f'`{name}`' for name in of)}" for number, of in numbers.items()]
    lines.append("")
    for num_devices in dict.fromkeys(rows.num_devices):
        for group, names_of_group in tables.items():
            here = rows[(rows.num_devices == num_devices) & rows.benchmark.isin(names_of_group)]
            # Only the seeds of all schedulers, so that the means can be compared.
            common = set.intersection(*(set(of_name.seed) for _, of_name in here.groupby("scheduler")))
            here = here[here.seed.isin(common)]
            introduction = f"{', '.join(names_of_group)}. Mean regret, with the {len(common)} seeds of all schedulers:"
            lines += [f"## {num_devices} devices, {group}", "", introduction, ""]
            means = here.groupby(["scheduler", "deadline"], sort=False).regret.mean().unstack("deadline")[deadlines]
            lines += header("deadline", deadlines)
            lines += [row(name, [f"{value:.3f}" for value in means.loc[name]]) for name in names]
            lines += ["", "Verdicts (ratio of mean regrets; below 1 the first scheduler is better):", ""]
            lines += header("deadline", deadlines)
            for candidate, found in verdicts.items():
                found = found[(found.num_devices == num_devices) & (found.group == group)]
                against = {"the strongest opponent": strongest(found[found.rival != AT_RANDOM])}
                if candidate == JOINT:
                    against[f"`{AT_RANDOM}`"] = alone[(alone.num_devices == num_devices) & (alone.group == group)]
                for name, verdict in against.items():
                    of_deadline = verdict.set_index("deadline").loc[deadlines]
                    cells = [f"{v.verdict} ({v.ratio:.2f})" for v in of_deadline.itertuples()]
                    lines.append(row(f"`{candidate}` against {name}", cells))
            lines.append("")
    found = {**verdicts, f"{JOINT}, against {AT_RANDOM} alone": alone}
    every = pd.concat([verdict.assign(candidate=candidate) for candidate, verdict in found.items()])
    return "\n".join(lines), every


INTRODUCTION = """\
Made by `{command}`. Scaling resnet50, a launch costs 1 % of a full run, deadlines in median full runs on one device.
Regret is 0 at the best value in the table and 1 at the best value of the median configuration. The verdicts are from
the referee (`hypersched referee`). It pairs regrets by table and seed, and resamples both tables and seeds. For one
candidate, the probability of any wrong "ahead" or "behind" is at most 5 %. The comparison with `hypersched` is a
separate family of verdicts. The strongest opponent is the opponent with the lowest mean regret at the deadline. `level`
means that the data show no clear difference, which is common with few seeds or tables.

`hypersched+joint` is the default of HyperSched if at least one hyperparameter has an order. `hypersched` draws its
configurations at random, like every scheduler without a searcher in a comparison. It is the default for a space of
choices alone.

The searcher `joint` was developed on the development tables with seeds below 100. The study has other seeds. Its
results on these tables may still be too optimistic, but not those on digits and on the table of choices.

A table whose name ends in `+noise` has noise in its values (`NOISE_SHARE` in `comparison/benchmarks.py`). The regret is
then computed from the report that looks best, with its value without noise."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=16, help="seeds, at least 2 (default 16)")
    parser.add_argument("--other-seeds", type=int, help="seeds of the opponents (default: as many)")
    parser.add_argument("--model-seeds", type=int, default=4, help="seeds of ASHA with kde, bore, cqr; 0: none")
    parser.add_argument("--devices", type=int, nargs="+", default=[4, 8, 32, 128])
    parser.add_argument("--opponents", nargs="+", default=list(OPPONENTS), help="names of opponents (default: all)")
    parser.add_argument("--deadlines", nargs="+", default=["0.25x", "0.5x", "1x", "2x", "4x"])
    parser.add_argument("--tables", nargs="+", default=[*shared_tables(), *UNSEEN], help="names of tables")
    parser.add_argument("--noise", action="store_true", help="the smooth ones of the tables alone, with noise")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarking" / "results" / "opponents")
    parser.add_argument("--work", type=Path, default=ROOT / "report-work", help="where finished runs are kept")
    parser.add_argument("--jobs", type=int, default=num_cores())
    args = parser.parse_args(arguments)
    if args.noise:
        args.tables = [table + NOISE for table in args.tables if table.startswith(SMOOTH)]
    other_seeds = args.seeds if args.other_seeds is None else args.other_seeds
    if args.seeds < 2 or other_seeds < 2 or args.model_seeds == 1:
        parser.error("--seeds, --other-seeds and --model-seeds must be at least 2, since a verdict needs as many")
    common = args.devices, args.deadlines
    parts = [(OURS, args.seeds), (args.opponents, other_seeds), (MODEL_OPPONENTS, args.model_seeds)]
    found = [run(args.tables, names, *common, seeds, args.work, args.jobs) for names, seeds in parts if seeds]
    rows = pd.concat(found, ignore_index=True)
    given = sys.argv[1:] if arguments is None else list(arguments)
    text, verdicts = report(rows, " ".join(["python benchmarking/studies/study_opponents.py", *given]))
    text += f"\nMade from the source code with the digest {source_digest()[:12]}.\n"
    write_whole(args.output / "README.md", text)
    write_whole(args.output / "verdicts.csv", verdicts.round(5).to_csv(index=False, lineterminator="\n"))
    columns = ["benchmark", "num_devices", "scaling", "launch_cost", "scheduler", "deadline", "seed", "regret"]
    write_whole(args.output / "results.csv", rows[columns].round(5).to_csv(index=False, lineterminator="\n"))
    print(text)


if __name__ == "__main__":
    main()
