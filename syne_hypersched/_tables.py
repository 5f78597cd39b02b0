"""Tables as CSV, with the numbers that were written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def read_csv(path: str | Path) -> pd.DataFrame:
    """Reads a table, each number as the nearest one to its digits.

    Before version 3, pandas rounds some differently unless it is told not to, and a value is then not equal to the one
    in a report. Later versions deprecate the option.
    """
    import pandas as pd

    if int(pd.__version__.split(".")[0]) < 3:
        return pd.read_csv(path, float_precision="round_trip")
    return pd.read_csv(path)
