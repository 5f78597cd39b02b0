"""Writes the files at the end of a study."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from syne_hypersched._tables import csv_of
from syne_hypersched.comparison.runner import Results
from syne_hypersched.comparison.storage import (
    MEANS_FILENAME,
    MEANS_TEXT_FILENAME,
    RESULTS_FILENAME,
    SUMMARY_FILENAME,
    SUMMARY_TEXT_FILENAME,
    write_whole,
)
from syne_hypersched.comparison.tables import comparison_table, results_table, summary_table, timings_table
from syne_hypersched.comparison.text import describe, describe_summary


def write_report(results: Results, output: Path) -> list[Path]:
    """Writes tables, texts and pictures of a study.

    ``results.csv`` (and ``results.parquet`` if pyarrow is installed) has a row for each run and deadline.
    ``comparison.csv`` has their means over the seeds, ``summary.csv`` and ``summary.txt`` the summary of the trials of
    each run, and ``timings.csv`` the cost of the schedulers. Only the last one changes if the same settings are run
    again.

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
        RESULTS_FILENAME: results_table(results),
        MEANS_FILENAME: comparison_table(results),
        SUMMARY_FILENAME: summary_table(results),
        "timings.csv": timings_table(results),
    }
    written = [write_whole(output / name, csv_of(table)) for name, table in tables.items()]
    parquet = _as_parquet(tables[RESULTS_FILENAME])
    if parquet is not None:
        written.append(write_whole((output / RESULTS_FILENAME).with_suffix(".parquet"), parquet))
    written.append(write_whole(output / MEANS_TEXT_FILENAME, describe(results) + "\n"))
    written.append(write_whole(output / SUMMARY_TEXT_FILENAME, describe_summary(results) + "\n"))
    return written + draw_pictures(results, output)


def draw_pictures(results: Results, output: Path) -> list[Path]:
    """Draws the pictures of a study; returns none without matplotlib."""
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
