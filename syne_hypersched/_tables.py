"""Tables as CSV, with the numbers that were written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def read_csv(path: str | Path, texts: str | None = None) -> pd.DataFrame:
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
    """
    import pandas as pd

    options: dict[str, Any] = {"float_precision": "round_trip"} if int(pd.__version__.split(".")[0]) < 3 else {}
    if texts is not None:
        names = pd.read_csv(path, nrows=0).columns
        options["dtype"] = {name: str for name in names if name.startswith(texts)}
        options["na_values"] = {name: [""] for name in names if not name.startswith(texts)}
        options["keep_default_na"] = False
    return pd.read_csv(path, **options)
