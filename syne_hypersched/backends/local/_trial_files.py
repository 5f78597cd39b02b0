"""Logs and checkpoints of trials, as a tuner asks a backend on this machine for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.local._processes import read_lines
from syne_hypersched.filenames import STDERR_FILENAME, STDOUT_FILENAME


class TrialFiles:
    """See the module."""

    _checkpoints: Checkpoints

    #: Folders of a trial, given by Syne Tune's own backend.
    trial_path: Callable[[int], Path]
    checkpoint_trial_path: Callable[[int], Path]

    def copy_checkpoint(self, src_trial_id: int, tgt_trial_id: int) -> None:
        """Copies the checkpoint of a trial, which may be running, to another one that is yet to be launched."""
        self._checkpoints.copies.order(src_trial_id, tgt_trial_id)

    def delete_checkpoint(self, trial_id: int) -> None:
        """Has the checkpoints of a trial removed, once it has no process and is not the incumbent; returns at once."""
        self._checkpoints.removal.request(trial_id)
        self._checkpoints.removal.remove()

    def stdout(self, trial_id: int) -> list[str]:
        """Lines of the standard output of a trial (of rank 0)."""
        return read_lines(self.trial_path(trial_id) / STDOUT_FILENAME)

    def stderr(self, trial_id: int) -> list[str]:
        """Lines of the standard error of a trial (of rank 0)."""
        return read_lines(self.trial_path(trial_id) / STDERR_FILENAME)
