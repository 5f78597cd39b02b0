"""The value of resizing in place: regret by deadline if a resize is a launch, and if training hardly stops.

    python benchmarking/studies/study_in_place.py  # some minutes on two cores; continues after an interruption
    python benchmarking/studies/study_in_place.py --tables digits --seeds 2 --output /tmp/in-place

The study compares machines, seed by seed, in virtual time: launches that cost 1 % of a full run, launches that cost 5
%, and launches that cost 5 % with resizes in place. In the last case, new processes prepare themselves for 5 % of a
full run, while the trial continues to train, and training stops for 0.1 %. On two cores,
``benchmarking/speed/resize_pause.py`` has measured a stop of 0.06 s for a model of a million parameters, which is 0.1
% of a full run of one minute. For comparison, the study also has an upper bound: only the start of a trial costs 5 %,
and pauses, resumes and resizes cost nothing.

Writes ``README.md`` and ``results.csv``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.studies.markdown import header, row
from benchmarking.studies.report_tables import OUTLIER, ROOT
from benchmarking.studies.study_opponents import run
from syne_hypersched.comparison.presets import num_cores
from syne_hypersched.comparison.shared_tables import shared_tables
from syne_hypersched.comparison.statistics import mean_interval
from syne_hypersched.comparison.storage import source_digest, write_whole

FIRST_SEED = 300
SCHEDULER, LADDER = "hypersched", "hypersched:policy=none"
CHEAP, DEAR, IN_PLACE, FREE = "1%", "5%", "5%/0.1%", "5%+0%"
TITLES = {
    (SCHEDULER, CHEAP): "a launch costs 1 %",
    (SCHEDULER, DEAR): "a launch costs 5 %",
    (SCHEDULER, IN_PLACE): "a launch costs 5 %, resizes in place",
    (SCHEDULER, FREE): "a start costs 5 %, resumes and resizes cost nothing",
    (LADDER, DEAR): "a launch costs 5 %, never resized",
}


def report(rows: pd.DataFrame, command: str) -> str:
    """Regret by deadline, and how much lower it is in place, in Markdown."""
    means = rows.groupby(["scheduler", "launch_cost", "deadline", "seed"]).regret.mean()
    deadlines = list(dict.fromkeys(rows.deadline))
    lines = ["# Resizes in place", "", f"Made by `{command}`.", ""]
    seeds, tables = rows.seed.nunique(), rows.benchmark.nunique()
    where = f"{tables} tables, {seeds} seeds, {rows.num_devices.iloc[0]} devices"
    lines += [f"Mean regret over {where}, with 95 % intervals over the seeds.", ""]
    lines += header("deadline, full runs", deadlines)
    for key, title in TITLES.items():
        found = [mean_interval(list(means[(*key, deadline)])) for deadline in deadlines]
        lines.append(row(title, [f"{each.mean:.3f} ± {each.half_width:.3f}" for each in found]))
    lines += [
        "",
        "Regret with resizes in place minus regret without, on the same seeds; below 0, resizes in place are better:",
        "",
    ]
    lines += header("deadline, full runs", deadlines)
    for key in TITLES:
        if key == (SCHEDULER, IN_PLACE):
            continue
        gains = {deadline: means[(SCHEDULER, IN_PLACE, deadline)] - means[(*key, deadline)] for deadline in deadlines}
        found = [mean_interval(list(gains[deadline])) for deadline in deadlines]
        lines.append(row(TITLES[key], [f"{each.mean:+.3f} ± {each.half_width:.3f}" for each in found]))
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=12, help="seeds, at least 2 (default 12)")
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--deadlines", nargs="+", default=["0.25x", "0.5x", "1x", "2x"])
    parser.add_argument("--tables", nargs="+", help="names of tables (default: all but one whose regret is large)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarking" / "results" / "in-place")
    parser.add_argument("--work", type=Path, default=ROOT / "report-work", help="where finished runs are kept")
    parser.add_argument("--jobs", type=int, default=num_cores())
    args = parser.parse_args(arguments)
    if args.seeds < 2:
        parser.error("--seeds must be at least 2, since an interval needs as many")
    tables = args.tables or [table for table in (*shared_tables(), "digits") if table != OUTLIER]
    costs = (CHEAP, DEAR, IN_PLACE, FREE)
    rows = run(
        tables, (SCHEDULER, LADDER), [args.devices], args.deadlines, args.seeds, args.work, args.jobs, costs, FIRST_SEED
    )
    given = sys.argv[1:] if arguments is None else list(arguments)
    text = report(rows, " ".join(["python benchmarking/studies/study_in_place.py", *given]))
    text += f"\nMade from the source code with the digest {source_digest()[:12]}.\n"
    columns = ["benchmark", "num_devices", "launch_cost", "scheduler", "deadline", "seed", "regret"]
    write_whole(args.output / "README.md", text)
    write_whole(args.output / "results.csv", rows[columns].round(5).to_csv(index=False, lineterminator="\n"))
    print(text)


if __name__ == "__main__":
    main()
