"""Tables as CSV, with the numbers that were written."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


NUL = "\\x00"
"""How NUL is written, a character that no file of Python 3.10 can have between commas."""


def write_csv(table: pd.DataFrame, path: Path | str | io.StringIO, **options: Any) -> None:
    """Writes a table without its index; ``options`` are those of ``DataFrame.to_csv``.

    Python 3.10 refuses texts with a NUL character, which a report may have. There they have :const:`NUL` instead.
    """
    try:
        table.to_csv(path, index=False, **options)
    except csv.Error:
        if isinstance(path, io.StringIO):
            path.seek(0)
            path.truncate()
        _without_nul(table).to_csv(path, index=False, **options)


def csv_of(table: pd.DataFrame) -> str:
    """What :func:`write_csv` would write."""
    buffer = io.StringIO()
    write_csv(table, buffer, lineterminator="\n")
    return buffer.getvalue()


def _without_nul(table: pd.DataFrame) -> pd.DataFrame:
    def changed(value: object) -> object:
        return value.replace("\0", NUL) if isinstance(value, str) else value

    texts = {name: table[name].map(changed) for name in table.select_dtypes(exclude="number").columns}
    return table.assign(**texts).rename(columns=changed)


def read_csv(path: str | Path, texts: str | None = None, words: bool = False) -> pd.DataFrame:
    """Reads a table, each number as the nearest one to its digits.

    Before version 3, pandas rounds some differently unless it is told not to, and a value is then not equal to the one
    in a report. Later versions deprecate the option.

    Parameters
    ----------
    path
        The table.
    texts
        What the names of columns begin with whose cells are texts as they are in the file: an empty one is an empty
        text, and ``None`` or ``NA`` is a text, too. In the other columns of such a table, only empty cells are missing.
    words
        Whether ``None``, ``NA`` and the like are texts in a column that has other texts. In a column of numbers they
        are missing.
    """
    import pandas as pd

    # Else a long column of numbers and texts is read in parts of different types, with a warning.
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
    """The first rows of columns, with each cell as it is in the file; an empty one is missing."""
    import pandas as pd

    if not columns:
        return pd.DataFrame()
    return pd.read_csv(path, usecols=columns, nrows=num_rows, dtype=str, keep_default_na=False, na_values=[""])
