"""Stores a tuner and its results on a disk that may be full. No file is torn, and the tuning goes on."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pandas as pd
from syne_tune.constants import (
    ST_METADATA_FILENAME,
    ST_RESULTS_DATAFRAME_FILENAME,
    ST_TUNER_CREATION_TIMESTAMP,
    ST_TUNER_DILL_FILENAME,
)
from syne_tune.results_callback import StoreResultsCallback
from syne_tune.tuner_callback import TunerCallback
from syne_tune.util import RegularCallback, dump_json_with_numpy

from syne_hypersched._tables import write_csv

logger = logging.getLogger(__name__)

_ASIDE = ".storing"
#: Tuners that were refused at their start, with their setting ``save_tuner``.
_refused: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def store_table(table: pd.DataFrame, path: Path | str) -> None:
    """Writes a table of results, and replaces the earlier file atomically.

    Raises
    ------
    OSError
        The disk has no room, or the file cannot be written. The earlier file is unchanged.
    """
    new = f"{path}.new"
    try:
        member = ST_RESULTS_DATAFRAME_FILENAME.removesuffix(".zip")
        write_csv(table, new, compression={"method": "zip", "archive_name": member})
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.remove(new)
        raise


def store_or_warn(
    table: pd.DataFrame,
    path: Path | str,
    before: OSError | None,
    ending: str = "The tuning goes on and tries again later.",
) -> OSError | None:
    """Writes a table of results like :func:`store_table`. If this fails for the first time in a row, it warns.

    Parameters
    ----------
    before
        The return value of the previous call.
    ending
        The last sentence of the warning: it tells what happens to the results.

    Returns
    -------
    OSError or None
        The error, if there was one.
    """
    try:
        store_table(table, path)
    except OSError as error:
        if before is None:
            logger.warning("The results cannot be stored in %s (%s). %s", path, error.strerror or error, ending)
        return error
    return None


def store_elsewhere(table: pd.DataFrame, path: Path | str, error: OSError) -> None:
    """Writes a table of results to a new temporary folder, if its own folder has no room, and logs the path."""
    try:
        elsewhere = Path(tempfile.mkdtemp(prefix=f"{Path(path).parent.name}-")) / Path(path).name
        store_table(table, elsewhere)
    except OSError as again:
        logger.error("The results are stored neither in %s (%s) nor in a temporary folder (%s).", path, error, again)
    else:
        logger.warning(
            "The results are in %s, since %s cannot be written (%s). Move them there when there is room.",
            elsewhere, path, error.strerror or error,
        )  # fmt: skip


def store_safely(tuner: Any) -> None:
    """Makes a tuner that begins store itself and its results so that a full disk causes only a warning.

    The same holds for a tuner that cannot be pickled, for example because of a user's callback. Syne Tune itself would
    leave an incomplete file and end the tuning.
    """
    if getattr(tuner, "save_tuner", False) and getattr(tuner, "tuner_saver", None) is not None:
        tuner.tuner_saver = RegularCallback(_Saver(), call_seconds_frequency=tuner.results_update_interval)
    for callback in getattr(tuner, "callbacks", ()):
        # A user's class may store in its own way.
        if type(callback) is StoreResultsCallback and "store_results" not in vars(callback):
            safely = _CarefulStore(callback)
            callback.store_results, callback.on_tuning_end = safely.store, safely.end


def store_safely_to_the_end(tuner: Any) -> None:
    """The same as :func:`store_safely`, for a running tuner that may have no callback for it.

    ``metadata.json`` is that of this tuner, even if another tuner of its name began at the same time.
    """
    if tuner in _refused:
        tuner.save_tuner = _refused.pop(tuner)
    is_safe = isinstance(getattr(getattr(tuner, "tuner_saver", None), "callback", None), _Saver)
    store_safely(tuner)
    if not is_safe and not any(isinstance(callback, _StoreAtEnd) for callback in tuner.callbacks):
        tuner.callbacks = [*tuner.callbacks, _StoreAtEnd(tuner)]
    guard_metadata(tuner)


def guard_metadata(tuner: Any) -> None:
    """Keeps the metadata of a running tuner; see :func:`store_safely_to_the_end`."""
    if not any(isinstance(callback, _KeepMetadata) for callback in tuner.callbacks):
        tuner.callbacks = [*tuner.callbacks, _KeepMetadata(tuner)]


def store_at_end(tuner: Any) -> None:
    """Stores a tuner that ends. If this fails, the tuner does not try again, and can still stop its trials."""
    if getattr(tuner, "save_tuner", False) and not _Saver()(tuner):
        tuner.save_tuner = False


def store_nothing(tuner: Any) -> None:
    """Makes a tuner that is refused at its start write nothing more: the folder is that of another run of its name.

    Syne Tune would store the tuner and an empty table of results there. If it is run again, after the other run has
    ended, it stores itself (:func:`store_safely_to_the_end`).
    """
    _refused.setdefault(tuner, tuner.save_tuner)
    tuner.save_tuner = False
    for callback in tuner.callbacks:
        if isinstance(callback, StoreResultsCallback):
            callback.csv_file = None


def keep_metadata(tuner: Any) -> None:
    """Stores the metadata of a tuner with trials again, if the file is that of another tuner."""
    for callback in tuner.callbacks:
        if isinstance(callback, _KeepMetadata):
            callback.on_loop_end()


class _StoreAtEnd(TunerCallback):
    """Stores the tuner when it ends."""

    def __init__(self, tuner: Any) -> None:
        self._tuner = tuner

    def on_tuning_end(self) -> None:
        store_at_end(self._tuner)


class _KeepMetadata(TunerCallback):
    """Stores the metadata of a running tuner again as soon as the file is that of another tuner.

    Syne Tune writes the metadata before the trials begin. A second tuner of the same name has then overwritten them
    before it is refused. What anybody has added to the file of this tuner stays.
    """

    #: The file, as it was when it was last compared. Callbacks that earlier versions stored lack it.
    _seen: tuple[int, ...] | None = None

    def __init__(self, tuner: Any) -> None:
        self._tuner = tuner
        self.on_loop_end()

    @property
    def _path(self) -> Path:
        return Path(self._tuner.tuner_path, ST_METADATA_FILENAME)  # a tuner that is loaded may have another one

    def on_loop_end(self) -> None:
        if self._look() != self._seen:
            self._store()
            self._seen = self._look()

    def _store(self) -> None:
        metadata, path = self._tuner.metadata, self._path
        try:
            if path.exists() and not _is_of(path, metadata):
                text = dump_json_with_numpy(metadata)
                new = path.with_name(f"{path.name}.new")
                new.write_text(text or "", encoding="utf-8")
                os.replace(new, path)
        except OSError as error:
            logger.warning("The metadata cannot be stored in %s (%s).", path, error.strerror or error)

    def _look(self) -> tuple[int, ...] | None:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


def _is_of(path: Path, metadata: Mapping[str, Any]) -> bool:
    """Whether a file of metadata is that of the tuner with these metadata."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(stored, dict) and stored.get(ST_TUNER_CREATION_TIMESTAMP) == metadata[ST_TUNER_CREATION_TIMESTAMP]


class _CarefulStore:
    """Stores the results of a callback; warns once if this fails."""

    def __init__(self, callback: StoreResultsCallback) -> None:
        self._callback = callback
        self._error: OSError | None = None

    def store(self) -> None:
        """Stores all results so far, and replaces the earlier file atomically."""
        path = self._callback.csv_file
        if path is not None:
            self._error = store_or_warn(self._callback.dataframe(), path, self._error)

    def end(self) -> None:
        """Stores all results, in a temporary folder if the experiment's folder has no room."""
        self.store()
        if self._error is not None and self._callback.csv_file is not None:
            store_elsewhere(self._callback.dataframe(), self._callback.csv_file, self._error)


class _Saver:
    """Stores a tuner; warns once if this fails."""

    def __init__(self) -> None:
        self._has_warned = False

    def __call__(self, tuner: Any) -> bool:
        """Stores the tuner. Returns whether it was stored."""
        folder = Path(tuner.tuner_path)
        aside = folder / _ASIDE
        try:
            aside.mkdir(parents=True, exist_ok=True)
            tuner.save(folder=str(aside))
            os.replace(aside / ST_TUNER_DILL_FILENAME, folder / ST_TUNER_DILL_FILENAME)
        except Exception as error:  # pickling may raise anything
            if not self._has_warned:
                self._has_warned = True
                logger.warning(
                    "The tuner cannot be stored in %s (%s). The tuning goes on.",
                    folder / ST_TUNER_DILL_FILENAME, getattr(error, "strerror", None) or error,
                )  # fmt: skip
            return False
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return True
