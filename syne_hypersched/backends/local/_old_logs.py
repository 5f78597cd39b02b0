"""Logs of an earlier run under the same name, which no trial of this one must read as its own."""

from __future__ import annotations

import logging
from pathlib import Path

from syne_hypersched.filenames import RANK_LOG

logger = logging.getLogger(__name__)


class OldLogs:
    """Sets aside what lies where a new trial writes its logs, and says so once."""

    def __init__(self) -> None:
        self._has_warned = False

    def set_aside(self, folder: Path) -> None:
        """Renames the logs in a trial's folder: ``std.out`` becomes ``std.out.1``, the next time ``std.out.2``...

        Parameters
        ----------
        folder
            The folder of a trial that has not been launched yet. It need not exist.

        Raises
        ------
        OSError
            A log cannot be renamed.
        """
        if not folder.is_dir():
            return
        names = {path.name for path in folder.iterdir()}
        logs = [name for name in names if RANK_LOG.fullmatch(name)]
        number = 1
        while any(f"{name}.{number}" in names for name in logs):
            number += 1
        for name in logs:
            (folder / name).rename(folder / f"{name}.{number}")
        if logs and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s has logs of an earlier run under this name. They are kept as %s. To keep runs apart, give each "
                "tuner a name of its own; to go on with a run, use resume_experiment.",
                folder, ", ".join(f"{name}.{number}" for name in sorted(logs)),
            )  # fmt: skip
