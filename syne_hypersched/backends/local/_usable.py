"""Reports that a scheduler of another package can use: one that it cannot would end the tuning with an error.

Schedulers of this package read reports themselves, and leave out what they cannot use.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from syne_hypersched.checks import is_number

logger = logging.getLogger(__name__)

_SHOWN = 60
"""Characters of a value that a message shows at most."""


class UsableReports:
    """Leaves out reports that lack what the scheduler compares trials by. One warning says so."""

    def __init__(self) -> None:
        #: Entries that must be numbers; none as long as they are not known, or if the scheduler reads reports itself.
        self._names: tuple[str, ...] = ()
        #: Trials of which all reports so far were left out.
        self._silent: set[int] = set()
        self._heard: set[int] = set()
        self._has_warned = False

    def require(self, *names: str | None) -> None:
        """The scheduler needs these entries, those that are known."""
        self._names = tuple(name for name in names if name is not None)

    def of(self, trial_id: int, reports: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of some reports of a trial that the scheduler can use."""
        lacking = [next((name for name in self._names if not is_number(report.get(name))), None) for report in reports]
        usable = [report for report, lacks in zip(reports, lacking, strict=True) if lacks is None]
        if len(usable) < len(reports) and not self._has_warned:
            self._has_warned = True
            index, name = next((index, lacks) for index, lacks in enumerate(lacking) if lacks is not None)
            found = f"{name}={reports[index][name]!r:.{_SHOWN}}" if name in reports[index] else f"no {name!r}"
            logger.warning(
                "Trial %d has reported %s, where the scheduler needs a number: the report is left out, and so are "
                "others like it. If it is a last one with a test score, nothing is lost; else have the script report "
                "%r as a number every time.", trial_id, found, name,
            )  # fmt: skip
        if usable:
            self._heard.add(trial_id)
            self._silent.discard(trial_id)
        elif reports and trial_id not in self._heard:
            self._silent.add(trial_id)
        return usable

    def is_silent(self, trial_id: int) -> bool:
        """Whether a trial has reported, but nothing that the scheduler can use."""
        return trial_id in self._silent
