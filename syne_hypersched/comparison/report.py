"""The files at the end of a study."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from syne_hypersched.comparison.runner import Results
from syne_hypersched.comparison.storage import write_whole
from syne_hypersched.comparison.tables import comparison_table, results_table, summary_table, timings_table
from syne_hypersched.comparison.text import describe, describe_summary


def write_report(results: Results, output: Path) -> list[Path]:
    """Writes tables, texts and pictures of a study.

    ``results.csv`` (and ``results.parquet`` where pyarrow is installed) has a row for each run and deadline,
    ``comparison.csv`` their means over the seeds, ``summary.csv`` and ``summary.txt`` the summary of the trials of each
    run, and ``timings.csv`` the cost of the schedulers. Only the last one changes when the same settings are run again.

    Parameters
    ----------
    results
        The results.
    output
        Folder; it is created if it does not exist.

    Returns
    -------
    list of Path
        The files written.
    """
    tables = {
        "results": results_table(results),
        "comparison": comparison_table(results),
        "summary": summary_table(results),
        "timings": timings_table(results),
    }
    written = [
        write_whole(output / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
        for name, table in tables.items()
    ]
    parquet = _as_parquet(tables["results"])
    if parquet is not None:
        written.append(write_whole(output / "results.parquet", parquet))
    written.append(write_whole(output / "comparison.txt", describe(results) + "\n"))
    written.append(write_whole(output / "summary.txt", describe_summary(results) + "\n"))
    return written + draw_pictures(results, output)


def draw_pictures(results: Results, output: Path) -> list[Path]:
    """Draws the pictures of a study; none without matplotlib."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return []
    from syne_hypersched.comparison.figures import draw_study

    return draw_study(results, output)


def _as_parquet(table: pd.DataFrame) -> bytes | None:
    buffer = io.BytesIO()
    try:
        table.to_parquet(buffer, index=False)
    except ImportError:
        return None
    return buffer.getvalue()
