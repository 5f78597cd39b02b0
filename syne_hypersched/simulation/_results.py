"""The results of a simulation."""

from __future__ import annotations

import math
import shutil
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from syne_tune.constants import (
    ST_DECISION,
    ST_METADATA_FILENAME,
    ST_RESULTS_DATAFRAME_FILENAME,
    ST_STATUS,
    ST_TRIAL_ID,
    ST_TUNER_TIME,
)
from syne_tune.util import dump_json_with_numpy

from syne_hypersched import checks
from syne_hypersched._tables import csv_of
from syne_hypersched.filenames import EVENTS_FILENAME

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd


Decided = tuple[int, dict[str, Any], str, dict[str, Any], str]
"""A report: trial, configuration, status, the report itself, and the scheduler's decision. It is a plain tuple, because
a named tuple takes five times as long to make, and a simulation makes one for each result."""


@dataclass(frozen=True)
class Simulation:
    """The results of :func:`simulate`.

    .. code-block:: python

        run = simulate(scheduler, load_digits(), num_devices=8, deadline_s=3.5)
        print(run.num_trials, run.best("val_accuracy", do_minimize=False), run.utilisation)

    Attributes
    ----------
    num_devices
        Number of devices.
    num_trials
        Number of trials that were started.
    end_s
        Virtual seconds until the last device was free again.
    device_seconds_held
        Seconds for which trials held devices, summed over devices.
    device_seconds_training
        The part of these seconds that was spent on reported epochs. The rest is launches, drains and lost work.
    metadata
        The metadata that Syne Tune stores with the results: the scheduler and its arguments.
    events_path
        The file with the events, if they were written.
    """

    num_devices: int
    num_trials: int
    end_s: float
    device_seconds_held: float
    device_seconds_training: float
    metadata: dict[str, Any]
    events_path: Path | None = None

    _results: list[Decided] = field(default_factory=list, repr=False)

    @property
    def num_results(self) -> int:
        """Number of reports that the scheduler has received."""
        return len(self._results)

    @property
    def utilisation(self) -> float:
        """Share of the devices' time until the end that was spent on reported epochs; 0 if there was none."""
        return self.device_seconds_training / (self.num_devices * self.end_s) if self.end_s else 0.0

    @cached_property
    def results(self) -> pd.DataFrame:
        """All reports in order of time, with the columns that the tuner stores.

        Columns: the entries of the report, ``st_decision``, ``st_status``, ``trial_id`` and ``config_...``. Virtual
        seconds are in ``st_tuner_time``.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                result
                | {ST_DECISION: decision, ST_STATUS: status, ST_TRIAL_ID: trial_id}
                | {f"config_{name}": value for name, value in config.items()}
                for trial_id, config, status, result, decision in self._results
            ]
        )

    def best(self, metric: str, do_minimize: bool = True) -> float:
        """The best finite value that was reported; NaN if there was none.

        Parameters
        ----------
        metric
            Name in the reports.
        do_minimize
            Whether the smallest value is the best.

        Raises
        ------
        ValueError
            There are reports, but none has this entry.
        """
        _, best = self.trajectory(metric, do_minimize)
        return float(best[-1]) if len(best) else float("nan")

    def trajectory(
        self, metric: str, do_minimize: bool = True
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The best value so far, over time.

        Parameters
        ----------
        metric
            Name in the reports. A missing value, or one that is not a finite number, counts as no value, as for the
            schedulers.
        do_minimize
            Whether the smallest value is the best.

        Returns
        -------
        tuple of ndarray, each of shape (num_results,)
            Virtual seconds of each report (ascending), and the best value up to that time.

        Raises
        ------
        ValueError
            There are reports, but none has this entry.
        """
        reports = [report for _, _, _, report, _ in self._results]
        if reports and not any(metric in report for report in reports):
            raise ValueError(
                f"metric must be an entry of the reports, one of {', '.join(reports[0])}, but got {metric!r}"
            )
        times_s = np.array([report[ST_TUNER_TIME] for report in reports], dtype=float)
        values = np.array([_number(report.get(metric)) for report in reports], dtype=float)
        return times_s, (np.fmin if do_minimize else np.fmax).accumulate(values)

    def save(self, path: Path | str) -> None:
        """Stores metadata, results and (if written) events, so that Syne Tune's ``load_experiment`` can read them.

        The same simulation gives the same bytes.

        Parameters
        ----------
        path
            Folder of the experiment. It is created if necessary.
        """
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        dump_json_with_numpy(self.metadata, path / ST_METADATA_FILENAME)
        # pandas would store the time of writing in the file.
        name = ST_RESULTS_DATAFRAME_FILENAME.removesuffix(".zip")
        with zipfile.ZipFile(path / ST_RESULTS_DATAFRAME_FILENAME, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(name), csv_of(self.results), zipfile.ZIP_DEFLATED)
        events_path = path / EVENTS_FILENAME
        if self.events_path is not None and self.events_path.resolve() != events_path.resolve():
            shutil.copyfile(self.events_path, events_path)


def _number(entry: object) -> float:
    number = float(entry) if checks.is_number(entry) else math.nan
    return number if math.isfinite(number) else math.nan
