"""Finds reports that a script has printed to a place that is not read."""

from __future__ import annotations

import os
from pathlib import Path

from syne_hypersched._report_lines import TAG
from syne_hypersched.filenames import RANK_LOG, STDERR_FILENAME, STDOUT_FILENAME

#: Maximum number of bytes of a log to search.
_NUM_BYTES = 1 << 20


def hint_of_misplaced_reports(trial_path: Path) -> str:
    """A hint that a trial without reports has printed reports elsewhere; empty if it has not.

    Reports count only on the standard output of rank 0. A script may have replaced ``sys.stdout``, a logger may print
    to standard error, or another rank may have reported.

    Parameters
    ----------
    trial_path
        Folder of the trial's logs. Only the beginning of each log is read.
    """
    try:
        names = sorted(name for name in os.listdir(trial_path) if RANK_LOG.fullmatch(name))
    except OSError:
        return ""
    if STDERR_FILENAME in names and _has_report(trial_path / STDERR_FILENAME):
        return (
            f" There are reports in {trial_path / STDERR_FILENAME}, but only standard output is read. Print them to "
            "standard output (check whether the script or a library replaces sys.stdout)."
        )
    others = [name for name in names if name not in (STDERR_FILENAME, STDOUT_FILENAME)]
    found = next((name for name in others if _has_report(trial_path / name)), None)
    if found is None:
        return ""
    return f" There are reports in {trial_path / found}: only reports of rank 0 count, so let rank 0 report."


def _has_report(log: Path) -> bool:
    try:
        with log.open("rb") as file:
            return TAG + b"{" in file.read(_NUM_BYTES)
    except OSError:
        return False
