"""Writes and reads tables as CSV, without changing numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


NUL = "\\x00"
"""Replacement for the NUL character, which no CSV file of Python 3.10 can contain."""


def write_csv(table: pd.DataFrame, path: Path | str | io.StringIO, **options: Any) -> None:
    """Writes a table without its index; ``options`` are those of ``DataFrame.to_csv``.

    Python 3.10 rejects texts with a NUL character, which a report may have. It is then replaced by :const:`NUL`.
    """
    try:
        table.to_csv(path, index=False, **options)
    except csv.Error:
        if isinstance(path, io.StringIO):
            path.seek(0)
            path.truncate()
        _without_nul(table).to_csv(path, index=False, **options)


def csv_of(table: pd.DataFrame) -> str:
    """The text that :func:`write_csv` would write."""
    buffer = io.StringIO()
    write_csv(table, buffer, lineterminator="\n")
    return buffer.getvalue()


def _without_nul(table: pd.DataFrame) -> pd.DataFrame:
    def changed(value: object) -> object:
        return value.replace("\0", NUL) if isinstance(value, str) else value

    texts = {name: table[name].map(changed) for name in table.select_dtypes(exclude="number").columns}
    return table.assign(**texts).rename(columns=changed)


def read_csv(path: str | Path, texts: str | None = None, words: bool = False) -> pd.DataFrame:
    """Reads a table. Each number becomes the float that is nearest to its digits.

    Before version 3, pandas rounds some numbers differently by default, so that they differ from those of a report. An
    option prevents this. Later versions deprecate the option.

    Parameters
    ----------
    path
        The table.
    texts
        Prefix of the names of columns whose cells are read as texts, unchanged: an empty cell is an empty text, and
        ``None`` or ``NA`` is a text, too. In the other columns of such a table, only empty cells are missing values.
    words
        Whether ``None``, ``NA`` and similar cells are texts in a column that has other texts. In a column of numbers,
        they are missing values.
    """
    import pandas as pd

    # Otherwise a long column of numbers and texts is read in parts of different types, with a warning.
    options: dict[str, Any] = {"low_memory": False}
    if int(pd.__version__.split(".")[0]) < 3:
        options["float_precision"] = "round_trip"
    if texts is not None:
        names = pd.read_csv(path, nrows=0).columns
        options["dtype"] = {name: str for name in names if name.startswith(texts)}
        options["na_values"] = {name: [""] for name in names if not name.startswith(texts)}
        options["keep_default_na"] = False
    table = pd.read_csv(path, **options)
    if words:
        from pandas.api.types import is_numeric_dtype

        lacking = [name for name in table.columns[table.isna().any()] if not is_numeric_dtype(table[name])]
        for name, column in read_texts(path, lacking).items():
            table[name] = column
    return table


def read_texts(path: str | Path, columns: Sequence[str], num_rows: int | None = None) -> pd.DataFrame:
    """The first rows of some columns, with each cell as it is in the file. An empty cell is a missing value."""
    import pandas as pd

    if not columns:
        return pd.DataFrame()
    return pd.read_csv(path, usecols=columns, nrows=num_rows, dtype=str, keep_default_na=False, na_values=[""])
