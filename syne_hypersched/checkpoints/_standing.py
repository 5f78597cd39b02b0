"""The result in ``best/``, as far as the log of its trial confirms it.

A user may edit ``best/result.json``, or put another one there. It may then show a value that no trial has reached, so
that no later result would ever be better.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from syne_tune.constants import ST_WORKER_TIMESTAMP

from syne_hypersched._log_tail import LogTail
from syne_hypersched.checkpoints._published import published_result
from syne_hypersched.checkpoints._states import number_of
from syne_hypersched.filenames import BEST_DIRNAME, RESULT_FILENAME, STDOUT_FILENAME

logger = logging.getLogger(__name__)

#: The backend changes entries with this prefix, so they differ from the log.
_OF_SYNE_TUNE = "st_"


class Standing:
    """Reads the published result, and confirms it by the log. The log is read only if the result was changed.

    Parameters
    ----------
    folder_of
        Returns the checkpoint folder of a trial, which is beside its log.
    """

    def __init__(self, folder_of: Callable[[int], Path]) -> None:
        self._folder_of = folder_of
        self._seen: tuple[Path, bytes | None] | None = None
        self._result: dict[str, Any] | None = None
        #: Whether the result is as it was published.
        self.is_confirmed = True

    def trust(self, folder: Path) -> None:
        """Notes that the present content of ``folder/best`` was published a moment ago."""
        self._seen, self._result, self.is_confirmed = (folder, _content(folder)), published_result(folder), True

    def result(
        self, folder: Path, value_of: Callable[[Mapping[str, Any]], float | None], metric: str | None,
        time_attr: str | None,
    ) -> dict[str, Any] | None:  # fmt: skip
        """The result in ``folder/best``, with the metric from the log of its trial; None if there is no result.

        Parameters
        ----------
        folder
            The experiment's folder.
        value_of
            Returns the metric of a report, to be minimised; None if the report has no metric.
        metric, time_attr
            Names of the metric and the resource level in a report. None: not known.

        Returns
        -------
        dict or None
            None also if its trial has never reported such a resource level. A warning tells it once.
        """
        seen = folder, _content(folder)
        if seen != self._seen:
            found, is_confirmed = published_result(folder), True
            if found is not None and metric is not None and not metric.startswith(_OF_SYNE_TUNE):
                found, is_confirmed = self._confirm(found, value_of, metric, time_attr)
            if metric is None:
                return found
            self._seen, self._result, self.is_confirmed = seen, found, is_confirmed
            if not is_confirmed:
                logger.warning(
                    "%s does not agree with the log of its trial: %s. It was changed by hand, or belongs to another "
                    "experiment. It will be renamed to %s-before when a better result is published.",
                    folder / BEST_DIRNAME / RESULT_FILENAME,
                    "no such report" if found is None else f"{metric} is {found[metric]} there", BEST_DIRNAME,
                )  # fmt: skip
        return self._result

    def _confirm(
        self, found: dict[str, Any], value_of: Callable[[Mapping[str, Any]], float | None], metric: str,
        time_attr: str | None,
    ) -> tuple[dict[str, Any] | None, bool]:  # fmt: skip
        trial_id = found.get("trial_id")
        if not isinstance(trial_id, int) or trial_id < 0:
            return None, False
        tail = LogTail(self._folder_of(trial_id).with_name(STDOUT_FILENAME))
        reports = [report.values for report in tail.reports(to_the_end=True)]
        tail.close()
        alike = [
            (value, report) for report in reports
            if (value := value_of(report)) is not None and _may_be(report, found, time_attr)
        ]  # fmt: skip
        if not any(metric in report for report in reports):
            return found, True  # nothing is known about its reports
        if value_of(found) in [value for value, _ in alike]:
            return found, True
        if not alike:
            return (found, True) if value_of(found) is None else (None, False)
        return {**found, metric: min(alike, key=lambda entry: entry[0])[1][metric]}, False


def _may_be(report: Mapping[str, Any], found: Mapping[str, Any], time_attr: str | None) -> bool:
    """Whether a report of the log may be the published one."""
    if ST_WORKER_TIMESTAMP in report and ST_WORKER_TIMESTAMP in found:
        return bool(report[ST_WORKER_TIMESTAMP] == found[ST_WORKER_TIMESTAMP])
    if time_attr is None or time_attr.startswith(_OF_SYNE_TUNE):
        return True
    return number_of(report.get(time_attr)) == number_of(found.get(time_attr))


def _content(folder: Path) -> bytes | None:
    try:
        with open(os.path.join(folder, BEST_DIRNAME, RESULT_FILENAME), "rb") as file:
            return file.read()
    except OSError:
        return None
