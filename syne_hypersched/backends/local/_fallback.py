"""Which kept checkpoint a trial's next launch begins from, if the present one seems not to load."""

from __future__ import annotations

import signal

from syne_hypersched.checkpoints import Ending

_KILLED = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)


class CheckpointFallback:
    """Goes back by one checkpoint, once, after a launch that failed without a report and without writing anything."""

    def __init__(self) -> None:
        #: Reports before the present launch.
        self._num_before = 0
        #: The generation to go back from if this launch fails; the same after a launch that has failed.
        self._began_from: int | None = None
        self._go_back_from: int | None = None
        #: Whether that was done since the last report.
        self._went_back = False

    def begin_launch(self, num_reports: int) -> None:
        """A launch begins, after ``num_reports`` reports of the trial."""
        self._num_before, self._began_from = num_reports, None

    def begin_from(self, go_back_from: int | None) -> None:
        """Records that a launch has begun from this generation. If it fails, the next launch goes back from it."""
        self._began_from = go_back_from

    def hear(self) -> None:
        """The launch has reported."""
        self._went_back = False

    def fail(self, num_reports: int, ending: Ending | None, exit_code: int | None = None) -> None:
        """The launch has failed.

        Parameters
        ----------
        num_reports
            Reports of the trial so far.
        ending
            How the launch has left the checkpoint folder, if that is known. A launch that has changed it has gone on.
        exit_code
            Exit code of the process that failed first. If it was killed from outside, the checkpoint may be fine.
        """
        if exit_code in _KILLED:
            return
        was_idle = num_reports == self._num_before and ending is not None and not ending.has_changed
        if was_idle and self._began_from is not None and not self._went_back:
            self._go_back_from, self._went_back = self._began_from, True

    def state(self) -> dict[str, int]:
        """State for :meth:`restore`, if the next launch must go back."""
        return {} if self._go_back_from is None else {"go_back_from": self._go_back_from}

    def restore(self, go_back_from: int) -> None:
        """Continues from the :meth:`state` of a copy without a later launch."""
        self._go_back_from, self._went_back = go_back_from, True

    def take(self) -> int | None:
        """The generation from which the next launch goes back, or None; returned once."""
        go_back_from, self._go_back_from = self._go_back_from, None
        return go_back_from
