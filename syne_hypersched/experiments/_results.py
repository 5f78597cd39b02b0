"""The results of an experiment as rows: from the table that the tuner stores, or from the journal if that has more."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syne_tune.constants import (
    ST_DECISION,
    ST_METADATA_FILENAME,
    ST_RESULTS_DATAFRAME_FILENAME,
    ST_TRIAL_ID,
    ST_TUNER_TIME,
)

from syne_hypersched._disk import Disk
from syne_hypersched._json_files import read_object
from syne_hypersched._tables import read_csv
from syne_hypersched.checks import is_number
from syne_hypersched.experiments._config_cells import values_of_cells
from syne_hypersched.filenames import CONFIG_FILENAME, JOURNAL_DIRNAME, SEGMENT
from syne_hypersched.records.segments import encode, read_segments

CONFIG_PREFIX = "config_"
"""What the names of entries begin with that are of a trial's configuration."""

#: How a result begins in a line of the journal; in a text within the line, the quotation marks are escaped.
_RESULT = encode({"call": "result"}).strip(b"{}\n")

#: Names of the resource level if the scheduler has none.
_LEVELS = ("epoch", "step", "iteration")
#: What the names of entries begin with that are not the script's.
_INTERNAL_PREFIX = "st_"

Rows = list[dict[str, Any]]
"""Reports in the order in which the tuner received them; an empty cell is None."""


def read_rows(folder: Path) -> tuple[Rows, str]:
    """All reports that an experiment has stored.

    A tuner stores its table every few seconds, and writes each report into its journal at once. So the journal of a
    tuner that runs or was killed has reports that the table lacks.

    Returns
    -------
    tuple
        The rows, and what is wrong with them: an empty text if nothing is.
    """
    path = folder / ST_RESULTS_DATAFRAME_FILENAME
    space = _space(read_object(folder / ST_METADATA_FILENAME) or {})
    problem = ""
    try:
        if rows := _from_table(path, space):  # else the tuner had no result when it stored it
            return _with_those_since(rows, folder), ""
    except FileNotFoundError:
        pass  # the tuner has not stored it yet, or was killed before that
    except Exception as error:  # readers of archives and tables may raise anything for an incomplete file
        problem = f"{path} cannot be read ({_in_a_line(error)})"
    try:
        rows = rows_of_journal(folder)
    except (OSError, ValueError, KeyError, TypeError):
        rows = []
    if not problem:
        return rows, ""
    return rows, f"{problem}: the results are {'those of the journal' if rows else 'missing here'}"


def is_ours(name: str) -> bool:
    """Whether an entry of the results is one that this package or Syne Tune adds to what the script reports."""
    return name.startswith((_INTERNAL_PREFIX, CONFIG_PREFIX)) or name == ST_TRIAL_ID


def reported_level(path: Path) -> str:
    """The entry of the results that is called like a resource level, as with a scheduler that has none.

    Raises
    ------
    ValueError
        No entry is called so.
    """
    names = dict.fromkeys(name for row in read_rows(path)[0] for name in row)
    found = next((name for name in _LEVELS if name in names), None)
    if found is None:
        reported = [name for name in names if not is_ours(name)]
        raise ValueError(
            f"time_attr must be given, since the scheduler has not stored it in {path / ST_METADATA_FILENAME}, and "
            + (f"the script reports {', '.join(reported)}" if reported else "no trial has reported yet")
        )
    return found


def _with_those_since(rows: Rows, folder: Path) -> Rows:
    """The rows of the table, or those of the journal if it has more."""
    try:
        if _most_results(folder / JOURNAL_DIRNAME) > len(rows) and len(later := rows_of_journal(folder)) > len(rows):
            return later
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return rows


def _most_results(journal: Path) -> int:
    """At most how many results a journal has. It is counted without decoding, which takes much longer."""
    if not journal.is_dir():
        return 0
    return sum(path.read_bytes().count(_RESULT) for path in journal.iterdir() if SEGMENT.fullmatch(path.name))


def _from_table(path: Path, space: Mapping[str, Any]) -> Rows:
    import pandas as pd

    try:
        table = read_csv(path, texts=CONFIG_PREFIX)
    except pd.errors.EmptyDataError:
        return []  # a tuner that has had no result has stored that
    for name in table.columns:
        if name.startswith(CONFIG_PREFIX):
            values = values_of_cells(table[name].tolist(), space.get(name.removeprefix(CONFIG_PREFIX), {}))
            table[name] = pd.Series(values, index=table.index, dtype=object)
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


def rows_of_journal(folder: Path) -> Rows:
    """All reports in the journal of an experiment; none if it has no journal.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError
        The journal cannot be read.
    """
    configs: dict[int, dict[str, Any]] = {}
    rows = []
    for entry in read_segments(str(folder / JOURNAL_DIRNAME), Disk()).entries:
        if entry["call"] == "add":
            configs[entry["trial_id"]] = {f"{CONFIG_PREFIX}{key}": value for key, value in entry["config"].items()}
        elif entry["call"] == "result" and "decision" in entry:
            rows.append(row_of_entry(entry, {}) | configs.get(entry["trial_id"], {}))
    return rows


def row_of_entry(entry: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """A result in the journal as a row of the table, with the configuration of its trial."""
    told = {ST_TRIAL_ID: entry["trial_id"], ST_TUNER_TIME: entry["time_s"], ST_DECISION: entry["decision"]}
    named = {f"{CONFIG_PREFIX}{name}": value for name, value in config.items()}
    return {**entry["report"], **entry.get("added", {}), **told, **named}


def config_in_folder(folder: Path, trial_id: int) -> dict[str, Any] | None:
    """The configuration that a backend with processes has written when it launched a trial; None if there is none."""
    return read_object(folder / str(trial_id) / CONFIG_FILENAME)


def names_of_space(metadata: Mapping[str, Any]) -> frozenset[str]:
    """What a configuration has; empty if the metadata do not say."""
    return frozenset(_space(metadata))


def _space(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration space, with constants and with domains as objects; empty if the metadata do not say."""
    space = metadata.get("config_space")
    if isinstance(space, str):  # Syne Tune stores it as a text
        try:
            space = json.loads(space)
        except (ValueError, RecursionError):
            space = None
    return space if isinstance(space, dict) else {}


def _plain(value: Any) -> Any:
    """A cell of a table as a Python value; an empty cell is None."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _in_a_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def integer_cell(value: Any) -> int | None:
    """A cell as an integer, None if it is none. A column with an empty cell has floats."""
    number = number_cell(value)
    return int(number) if number is not None and math.isfinite(number) else None


def number_cell(value: Any) -> float | None:
    """A cell as a number, None if it is none. One cell with a text makes all others of its column texts."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return int(value) if value.isdigit() else float(value)
    return value if is_number(value) else None
