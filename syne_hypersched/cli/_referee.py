"""The command ``referee``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from syne_hypersched._tables import csv_of
from syne_hypersched._terminal_text import shown_lines

if TYPE_CHECKING:
    import pandas as pd

EPILOGUE = """\
Examples:
  Is hypersched better than each of the others of a comparison?
    hypersched referee comparison-results/NAME --candidate hypersched

  Two groups of tables; show only the strongest rival at each deadline:
    hypersched referee results.csv --candidate hypersched+joint \\
        --group chosen=cnn-cifar10,digits --group unseen=spikenas-cifar10 \\
        --strongest

Your own results: a CSV file with the columns benchmark, scheduler, seed and
regret (any number for which lower is better); deadline, num_devices, scaling
and launch_cost are optional.

Exit codes: 0; 2 if the arguments are invalid or a file cannot be read.
"""


def referee(
    results: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)],
    /,
    *,
    candidate: str,
    rivals: str | None = None,
    group: tuple[str, ...] = (),
    strongest: Annotated[bool, Parameter(show_default=False)] = False,
    level: float = 0.05,
    csv: Path | None = None,
) -> int:
    """Judge whether a scheduler is ahead of others: paired tests over tables and seeds.

    A verdict is "ahead", "behind", or "level" if the data do not show a difference.
    The probability that any "ahead" or "behind" of a call is wrong is at most
    --level.

    Parameters
    ----------
    results
        Files results.csv of `hypersched compare` or of a study, or folders that contain one.
    candidate
        The scheduler to judge.
    rivals
        The schedulers to compare it with, separated by commas (default: all others).
    group
        A group of tables, as NAME=TABLE,TABLE (default: all tables as one group). Repeat it for several groups, for
        example for tables on which a rule was chosen and for other tables.
    strongest
        Print only the rival with the lowest mean regret at each deadline.
    level
        Probability of any wrong verdict.
    csv
        File for all verdicts.
    """
    try:
        return _referee(results, candidate, rivals, group, strongest, level, csv)
    except (ValueError, TypeError, OSError) as error:
        print(f"hypersched referee: error: {shown_lines(str(error))}", file=sys.stderr)
        return 2


def _referee(
    results: tuple[Path, ...],
    candidate: str,
    rivals: str | None,
    group: tuple[str, ...],
    only_strongest: bool,
    level: float,
    csv: Path | None,
) -> int:
    from syne_hypersched.comparison.names import unknown_name
    from syne_hypersched.comparison.storage import write_whole
    from syne_hypersched.comparison.text import describe_verdicts
    from syne_hypersched.comparison.verdicts import strongest, verdict_table

    rows = _read(results)
    groups: dict[str, list[str]] = {}
    for name, tables in map(_group, group):
        if name in groups:
            raise ValueError(f"--group must be given once for each name, but {name!r} is given twice")
        for table in tables if "benchmark" in rows else ():
            if table not in set(rows.benchmark):
                raise unknown_name(f"table in --group {name}", table, list(dict.fromkeys(rows.benchmark)))
        groups[name] = tables
    named = None if rivals is None else [name.strip() for name in rivals.split(",")]
    verdicts = verdict_table(rows, candidate, named, groups or None, level)
    text = describe_verdicts(strongest(verdicts) if only_strongest else verdicts, candidate, level)
    print(shown_lines(text), flush=True)
    if csv is not None:
        write_whole(csv, csv_of(verdicts))
    return 0


def _read(results: tuple[Path, ...]) -> pd.DataFrame:
    import pandas as pd

    from syne_hypersched.comparison.storage import RESULTS_FILENAME

    if not results:
        raise ValueError("results must name at least one file or folder, but got none")
    frames = []
    for path in (path / RESULTS_FILENAME if path.is_dir() else path for path in results):
        try:
            frames.append(pd.read_csv(path))
        except ValueError as error:
            raise ValueError(f"{path} must be a CSV file with results, but cannot be read as one: {error}") from error
    return pd.concat(frames, ignore_index=True)


def _group(text: str) -> tuple[str, list[str]]:
    name, equals, tables = text.partition("=")
    if not (name and equals and tables):
        raise ValueError(f"--group must be NAME=TABLE,TABLE, but got {text!r}")
    return name, [table.strip() for table in tables.split(",")]
