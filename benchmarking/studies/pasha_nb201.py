"""The tables of the PASHA paper (Bohdal et al., ICLR 2023) on NASBench201, with its protocol.

    python benchmarking/studies/pasha_nb201.py                              # all four tables, one to two minutes
    python benchmarking/studies/pasha_nb201.py schedulers --configs 64 --scheduler-seeds 2 --table-seeds 1

The protocol is described in ``syne_hypersched/comparison/pasha_tables.py``. The real table is used if Syne Tune's
blackbox repository has a local copy, else the synthetic stand-in. The title of every table says which one was used.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from syne_hypersched.comparison.pasha_tables import DATASETS, KINDS, run_table


def format_table(frame: pd.DataFrame) -> str:
    """The table as text, one block for each data set."""
    blocks = []
    for title, part in frame.groupby("table", sort=False):
        lines = [str(title), f"{'':44}{'accuracy %':>16}{'hours':>14}{'speed-up':>10}{'resource':>16}"]
        for row in part.itertuples():
            speed_up = "-" if np.isnan(row.speed_up) else f"{row.speed_up:.1f}"
            lines.append(
                f"{row.method:44}{f'{row.accuracy:.2f} ± {row.accuracy_std:.2f}':>16}"
                f"{f'{row.hours:.1f} ± {row.hours_std:.1f}':>14}{speed_up:>10}"
                f"{f'{row.resource:.1f} ± {row.resource_std:.1f}':>16}"
            )
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="TABLE", help=f"{', '.join(KINDS)} (default: all)")
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--scheduler-seeds", type=int, default=5)
    parser.add_argument("--table-seeds", type=int, default=3)
    parser.add_argument("--configs", type=int, default=256)
    args = parser.parse_args()
    for kind in args.kinds or KINDS:
        if kind not in KINDS:
            parser.error(f"TABLE must be one of {', '.join(KINDS)}, but got {kind!r}")
        frame = run_table(kind, args.datasets, range(args.scheduler_seeds), range(args.table_seeds), args.configs)
        print(f"\n=== {kind.replace('_', ' ')} ===\n\n{format_table(frame)}", flush=True)


if __name__ == "__main__":
    main()
