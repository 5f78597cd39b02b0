"""Reads learning curves from a file: Parquet or CSV in long form, one line for each configuration and epoch."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from syne_hypersched import checks
from syne_hypersched._tables import read_csv, read_texts
from syne_hypersched.blackboxes._table import Lookup, TableBlackbox

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

_PARQUET = (".parquet", ".pq")
_CSV = (".csv", ".csv.gz", ".csv.zip")


def read_table(
    path: str | Path,
    *,
    configuration: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    time_attr: str = "epoch",
    elapsed_time_attr: str = "elapsed_s",
    epoch_time_attr: str | None = None,
    seed: str | None = None,
    configs_path: str | Path | None = None,
    config_id: str = "config_id",
    where: Mapping[str, Any] | None = None,
    configuration_space: Mapping[str, Any] | None = None,
    lookup: Lookup = "nearest",
    name: str | None = None,
    description: str = "",
) -> TableBlackbox:
    """Reads your own learning curves.

    Parameters
    ----------
    path
        A Parquet (extra ``benchmarks``) or CSV file in long form: one line for each configuration and epoch, with
        columns for the hyperparameters, the epoch, the metrics and the seconds.
    configuration
        Columns of hyperparameters. Default: those of ``configs_path``. Without that file, all columns except the epoch,
        the seconds, the repetition and the ``metrics``, which must then be given.
    metrics
        Columns of metrics. Default: all other columns.
    time_attr
        Column of the resource level, usually the epoch.
    elapsed_time_attr
        Column of the seconds trained so far, on one device. With ``epoch_time_attr``, the name for these seconds.
    epoch_time_attr
        Column of the seconds of each epoch, instead of the seconds so far.
    seed
        Column of the repetition, if configurations were trained several times.
    configs_path, config_id
        A second file with one line for each configuration, and the column on which the two files are joined.
    where
        Values of other columns: only lines with these values are read, and these columns are dropped. A column of
        numbers or booleans may be compared with a string such as ``"3"`` or ``"true"``.
    configuration_space
        Domain of each hyperparameter; by default inferred from the rows.
    lookup
        ``"exact"``: only the configurations of the table can be looked up. ``"nearest"``: for any other configuration,
        the nearest row in the unit cube of the configuration space is used; in a tie, the first one.
    name, description
        Name, by default that of the file, and description, for titles and messages.

    Raises
    ------
    ImportError
        The file is Parquet, and pyarrow is not installed.
    ValueError
        A column is missing or does not have the numbers that it must have; a configuration has an epoch twice or not at
        all; times decrease or never increase; or a column that no argument names changes within a training.
    """
    path = checks.path("path", path)
    frame = _read(path)
    for column, value in (where or {}).items():
        _need(frame, [column], path)
        frame = frame[_has(frame[column], value)].drop(columns=column)
        if frame.empty:
            raise ValueError(f"where must leave some lines of {path}, but none has {column} = {value!r}")
    time_column = elapsed_time_attr if epoch_time_attr is None else epoch_time_attr
    is_guessed = configuration is None and configs_path is None
    special = [time_attr, time_column] + ([] if seed is None else [seed])
    if configs_path is not None:
        configs = _read(Path(configs_path))
        _need(configs, [config_id, *(configuration or ())], Path(configs_path))
        _need(frame, [config_id], path)
        if configuration is None:
            configuration = [column for column in configs.columns if column != config_id]
        frame = frame.drop(columns=[column for column in configuration if column in frame])
        frame = frame.merge(configs[[config_id, *configuration]], on=config_id, how="left", validate="many_to_one")
        special.append(config_id)
    _need(frame, [*special, *(configuration or ()), *(metrics or ())], path)
    others = [column for column in frame.columns if column not in special]
    if configuration is None and metrics is None:
        raise ValueError(
            f"configuration or metrics must name columns of {path}, which has the columns {', '.join(others)}"
        )
    if configuration is None:
        configuration = [column for column in others if column not in (metrics or ())]
    if metrics is None:
        metrics = [column for column in others if column not in configuration]
    _check_columns(frame, configuration, metrics, [time_attr, time_column], path, is_joined=configs_path is not None)
    if seed is None:
        frame = frame.assign(_seed=0)
    arrays = _to_arrays(frame, list(configuration), list(metrics), time_attr, time_column, seed or "_seed", path)
    rows, levels, values, seconds = arrays
    if _gaps(seconds).any():
        frame = frame.rename(columns={seed: "_seed"}) if seed is not None else frame
        raise ValueError(_why_gaps(frame, list(configuration), time_attr, seconds, levels, rows, path, is_guessed))
    if not (seconds > 0).any():
        raise ValueError(
            f"{path} must have seconds above 0 in the column {time_column!r}, but all are 0 or less: training that "
            "takes no time cannot be simulated"
        )
    if epoch_time_attr is None:
        _check_elapsed(seconds, rows, levels, time_attr, time_column, path)
    elapsed_s = seconds if epoch_time_attr is None else np.cumsum(seconds, axis=2)
    return TableBlackbox(
        rows,
        values,
        elapsed_s,
        levels=levels,
        configuration_space=configuration_space,
        time_attr=time_attr,
        elapsed_time_attr=elapsed_time_attr,
        lookup=lookup,
        name=path.name.split(".")[0] if name is None else name,
        description=description,
    )


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise ValueError(f"path must be a file, but there is none at {path}")
    try:
        frame = _read_frame(path)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path} must be a table, but the file is empty") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be a table, but cannot be read as one: {error}") from error
    if frame.empty:
        raise ValueError(f"{path} must have a line for each configuration and epoch, but has none")
    return frame


def _read_frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    name = path.name.lower()  # Windows programs may write capital letters
    if name.endswith(_PARQUET):
        try:
            return pd.read_parquet(path)
        except ImportError as error:
            raise ImportError(
                f"Reading {path} needs pyarrow: pip install 'syne-hypersched[benchmarks]', or store the table as CSV"
            ) from error
    if name.endswith(_CSV):
        return read_csv(path, words=True)
    raise ValueError(f"path must end in {', '.join((*_PARQUET, *_CSV))}, but is {path}")


def _has(column: pd.Series[Any], value: Any) -> pd.Series[bool]:
    """Which lines of a column have a value, as booleans."""
    import pandas as pd

    if isinstance(value, str) and pd.api.types.is_bool_dtype(column):
        value = {"true": True, "false": False}.get(value.lower(), value)
    elif isinstance(value, str) and pd.api.types.is_numeric_dtype(column):
        with contextlib.suppress(ValueError):
            value = float(value)
    return column == value


def _need(frame: pd.DataFrame, columns: Iterable[str], path: Path) -> None:
    for column in columns:
        if column not in frame:
            nearest = difflib.get_close_matches(column, map(str, frame.columns), n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            alone = str(frame.columns[0]) if len(frame.columns) == 1 else ""
            if ";" in alone or "\t" in alone:
                hint = ": its cells must be separated by commas, and numbers have a point"
            raise ValueError(f"{path} must have the column {column!r}, but has {', '.join(frame.columns)}{hint}")


def _check_columns(
    frame: pd.DataFrame,
    configuration: Sequence[str],
    metrics: Sequence[str],
    times: Sequence[str],
    path: Path,
    is_joined: bool,
) -> None:
    import pandas as pd

    if not configuration or not metrics:
        raise ValueError(
            f"{path} must have at least one hyperparameter and one metric, but has {', '.join(frame.columns)}"
        )
    for column in [*metrics, *times]:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            raise ValueError(f"{path} must have numbers in the column {column!r}, but has {frame[column].dtype}")
    for column in [*configuration, *times]:
        if frame[column].isna().any():
            index = int(frame.index[frame[column].isna().to_numpy().argmax()])
            raise ValueError(
                f"{path} must have a value in every line of the column {column!r}, but "
                f"{_missing(path, column, index, is_joined)}"
            )


def _missing(path: Path, column: str, index: int, is_joined: bool) -> str:
    """The content of the file where a row of the table has no value, in words."""
    if is_joined or not path.name.lower().endswith(_CSV):
        return f"row {index} has none"
    line = index + 2  # the first line has the names
    texts = read_texts(path, [column], index + 1)
    text = texts[column].iloc[-1]
    if not isinstance(text, str) or not text:
        return f"line {line} has none"
    return f"line {line} has {text!r} among numbers: write a number, or a text that is not read as a missing number"


def _to_arrays(
    frame: pd.DataFrame, configuration: list[str], metrics: list[str], time_attr: str, time: str, seed: str, path: Path
) -> tuple[list[dict[str, Any]], list[float], dict[str, Any], Any]:
    """Rows, levels, and values by metric and seconds, as arrays of shape (rows, repetitions, levels)."""
    row = frame.groupby(configuration, sort=False, observed=True).ngroup().to_numpy()
    levels, level = np.unique(frame[time_attr].to_numpy(), return_inverse=True)
    seeds, repetition = np.unique(frame[seed].to_numpy(), return_inverse=True)
    num_rows = int(row.max()) + 1
    shape = (num_rows, len(seeds), len(levels))
    flat = np.ravel_multi_index((row, repetition, level), shape)
    first = np.unique(flat, return_index=True)[1]
    if len(first) < len(flat):
        again = int(np.setdiff1d(np.arange(len(flat)), first)[0])
        line = frame.iloc[again]
        raise ValueError(
            f"{path} must have one line for each configuration, repetition and {time_attr}, but has {time_attr} "
            f"{line[time_attr]} twice for {line[configuration].to_dict()}"
        )

    def spread(column: str) -> Any:
        array = np.full(num_rows * len(seeds) * len(levels), np.nan)
        array[flat] = frame[column].to_numpy(dtype=np.float64)
        return array.reshape(shape)

    where_first = np.unique(row, return_index=True)[1]
    rows = frame.iloc[where_first][configuration].to_dict(orient="records")
    return rows, levels.tolist(), {metric: spread(metric) for metric in metrics}, spread(time)


def _gaps(seconds: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where a curve lacks a level before its last one; array of shape (rows, repetitions, levels)."""
    known = np.isfinite(seconds)
    gaps: npt.NDArray[np.bool_] = ~known & (np.cumsum(known[:, :, ::-1], axis=2)[:, :, ::-1] > 0)
    return gaps


def _why_gaps(
    frame: pd.DataFrame,
    configuration: list[str],
    time_attr: str,
    seconds: npt.NDArray[Any],
    levels: list[float],
    rows: list[dict[str, Any]],
    path: Path,
    is_guessed: bool,
) -> str:
    """Names the columns that are not hyperparameters, if leaving them out closes all gaps. Otherwise names a gap."""
    changing = _changing(frame, configuration, time_attr) if is_guessed else []
    if changing:
        rest = ",".join(column for column in configuration if column not in changing)
        one = len(changing) == 1
        return (
            f"configuration must name the hyperparameters of {path}, since not all other columns are: "
            f"{'the column' if one else 'the columns'} {', '.join(map(repr, changing))} "
            f"{'changes' if one else 'change'} from {time_attr} to {time_attr} of a training. Without "
            f"{'it' if one else 'them'}, there are {rest}"
        )
    row, repetition, level = (int(i) for i in np.argwhere(_gaps(seconds))[0])
    last = levels[int(np.flatnonzero(np.isfinite(seconds[row, repetition]))[-1])]
    return (
        f"{path} must have all levels of {time_attr} up to the last one of a configuration, but has {last:g} and not "
        f"{levels[level]:g} for {rows[row]}"
    )


def _changing(frame: pd.DataFrame, configuration: list[str], time_attr: str) -> list[str]:
    """Columns that change within a curve, if every curve is whole without them; otherwise none."""
    left = list(configuration)
    for column in sorted(configuration, key=lambda name: -frame[name].nunique()):
        fewer = [name for name in left if name != column]
        if not fewer or frame.duplicated([*fewer, "_seed", time_attr]).any():
            continue
        left = fewer
        if _is_whole(frame, left, time_attr):
            curves = frame.groupby([*left, "_seed"], observed=True)
            return [name for name in configuration if name not in left and (curves[name].nunique() > 1).any()]
    return []


def _is_whole(frame: pd.DataFrame, configuration: list[str], time_attr: str) -> bool:
    """Whether each curve has all levels up to its last one."""
    position = frame[time_attr].rank(method="dense")
    curves = position.groupby([frame[name] for name in (*configuration, "_seed")], observed=True)
    return bool((curves.max() == curves.count()).all())


def _check_elapsed(
    seconds: npt.NDArray[Any],
    rows: list[dict[str, Any]],
    levels: list[float],
    time_attr: str,
    column: str,
    path: Path,
) -> None:
    """Rejects seconds that are those of each epoch, and not those so far."""
    steps = np.diff(seconds, axis=2)
    rule = f"{path} must have the seconds trained so far in the column {column!r}"
    sums = f"Seconds of each epoch are named as such: epoch_time_attr={column!r}"
    falls = np.argwhere(steps < 0)
    if len(falls):
        row, repetition, level = (int(i) for i in falls[0])
        before, after = seconds[row, repetition, level : level + 2]
        raise ValueError(
            f"{rule}, which never fall, but they fall from {before:g} to {after:g} at {time_attr} "
            f"{levels[level + 1]:g} of {rows[row]}. {sums}"
        )
    if np.isfinite(steps).any() and not (steps > 0).any():
        raise ValueError(f"{rule}, but in no configuration do they rise from {time_attr} to {time_attr}. {sums}")
