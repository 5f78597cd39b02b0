"""Tables as CSV, with the numbers that were written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


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
