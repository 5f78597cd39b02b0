"""Renames logs and journal of an earlier run with the same name, so that they do not mix with those of this run."""

from __future__ import annotations

import logging
from pathlib import Path

from syne_hypersched._file_lock import FileLock
from syne_hypersched.filenames import JOURNAL_DIRNAME, LOCK_FILENAME, RANK_LOG

logger = logging.getLogger(__name__)


class OldLogs:
    """Renames old logs in the folder of a new trial, and warns once."""

    def __init__(self) -> None:
        self._has_warned = self._has_looked = False

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

    def set_aside_journal(self, folder: Path) -> None:
        """Renames a journal that no tuner writes: the run goes on without one, and a resume would replay the old run.

        Looks only once: a journal that is made later is not old.

        Parameters
        ----------
        folder
            The experiment's folder. It need not exist.

        Raises
        ------
        OSError
            The journal cannot be renamed.
        """
        has_looked, self._has_looked = self._has_looked, True
        journal = folder / JOURNAL_DIRNAME
        if has_looked or not (journal / LOCK_FILENAME).is_file():
            return
        lock = FileLock(journal / LOCK_FILENAME)
        try:
            if not lock.acquire():  # that of this run
                return
            number = 1
            while (before := folder / f"{JOURNAL_DIRNAME}.{number}").exists():
                number += 1
            journal.rename(before)
        finally:
            lock.close()
        logger.warning(
            "%s has the journal of an earlier run under this name, and this run keeps none. The old one is kept as %s: "
            "hypersched resume would replay the earlier run.", folder, before.name,
        )  # fmt: skip
