"""Checks whether the disk has room for the checkpoints of a launch."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger(__name__)


NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Errors that a user can resolve while trials wait: the disk or a quota is full, or the disk is mounted read-only."""

UNWRITABLE = NO_ROOM | {errno.EPERM, errno.EACCES}
"""The same for a folder to which the tuner has written before: a user may also have write-protected it."""


def free_mb(folder: Path) -> float:
    """Megabytes (10^6 bytes) that may still be written below a folder, which need not exist yet.

    A file system that is mounted read-only has no room. One that does not report its free space counts as unlimited.
    """
    try:
        existing = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
        status = os.statvfs(existing)
    except OSError:
        return float("inf")
    return 0.0 if status.f_flag & os.ST_RDONLY else status.f_bavail * status.f_frsize / 1e6


class CheckpointRoom:
    """Delays launches while the disk of the checkpoints is full, and warns once each time.

    Training is lost if its checkpoints cannot be written. Besides, the tuner needs the remaining space for its results.

    Parameters
    ----------
    min_free_mb
        Free megabytes that a launch needs.
    on_missing
        Called each time the disk becomes full, with the trial and the free megabytes. It frees space if it can.

    Attributes
    ----------
    folder
        Where trials write their checkpoints.
    is_missing
        Whether there was too little space at the last request for a launch.
    """

    def __init__(self, min_free_mb: float, on_missing: Callable[[int, float], None]) -> None:
        self.folder = Path()
        self.is_missing = False
        self.min_free_mb = min_free_mb
        self._on_missing = on_missing

    def admits(self, trial_id: int, write_config: Callable[[], None]) -> bool:
        """Whether a trial may be launched now. If so, its configuration has been written to its folder.

        Parameters
        ----------
        trial_id
            The trial.
        write_config
            Writes the trial's configuration, unless it already exists.
        """
        free = free_mb(self.folder)
        lack = self._find_lack(free, write_config)
        was_missing, self.is_missing = self.is_missing, bool(lack)
        if self.is_missing and not was_missing:
            logger.warning(
                "%s: trials wait until there is room. No work is lost; they continue when files are removed.", lack
            )
            self._on_missing(trial_id, free)
        return not self.is_missing

    def _find_lack(self, free: float, write_config: Callable[[], None]) -> str:
        if free < self.min_free_mb:
            return (
                f"{free:.0f} MB can be written to {self.folder}, but a launch needs {self.min_free_mb:.0f} MB "
                "(min_free_mb)"
            )
        try:
            write_config()
        except OSError as error:
            return f"{self.folder} cannot be written to ({error.strerror or error})"
        return ""
