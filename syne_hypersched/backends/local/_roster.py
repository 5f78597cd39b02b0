"""The records of trials' processes, kept until a trial has ended for good."""

from __future__ import annotations

from collections.abc import Collection, Container

from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.shared.reconcile import Phase


class Roster(dict[int, TrialProcesses]):
    """Records by trial id. Of a trial that has ended for good only its status is kept, so that thousands cost little.

    Attributes
    ----------
    ended
        Final status of each trial whose record is gone, by trial id.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ended: dict[int, str] = {}
        self._active: dict[int, TrialProcesses] = {}
        #: Trials that have become idle and may have ended.
        self._idle: dict[int, TrialProcesses] = {}
        #: Trials whose logs have not been read to their ends.
        self._behind: set[int] = set()

    @property
    def active(self) -> tuple[TrialProcesses, ...]:
        """Trials that want devices or hold some, in the order in which they began to."""
        return tuple(self._active.values())

    def look(self, grown: Collection[int] | None = None) -> set[int]:
        """Has the logs of active trials read, which may be many megabytes: no lock is to be held meanwhile.

        Parameters
        ----------
        grown
            Trials whose logs may have grown; None: all.

        Returns
        -------
        set of int
            Trials whose logs have something to take.
        """
        active, found, behind = self._active, set(), set()
        for trial_id in list(active) if grown is None else {*grown, *self._behind}:
            if (trial := active.get(trial_id)) is None:
                continue
            tail = trial.reports.tail
            tail.look()
            if not tail.is_idle:
                found.add(trial_id)
            if tail.is_behind:
                behind.add(trial_id)
        self._behind = behind
        return found

    def place(self, trial: TrialProcesses) -> None:
        """Takes into account that a trial wants or holds other devices than before."""
        is_active = trial.wants or trial.phase is not Phase.IDLE
        to, other = (self._active, self._idle) if is_active else (self._idle, self._active)
        other.pop(trial.trial_id, None)
        to[trial.trial_id] = trial

    def forget_ended(self, watched: Container[int]) -> None:
        """Drops the records of trials that have ended for good.

        Parameters
        ----------
        watched
            Trials that the tuner still asks for. It may pause a trial at the last report of a script that has ended.
        """
        for trial_id, trial in [item for item in self._idle.items() if item[0] not in watched]:
            del self._idle[trial_id]
            if _has_ended(trial):
                self.ended[trial_id] = trial.status
                self.pop(trial_id, None)


def _has_ended(trial: TrialProcesses) -> bool:
    """Whether the trial can neither be resumed nor has reports to deliver."""
    has_ended = trial.status in (Status.completed, Status.failed)
    return trial.status == Status.stopped or (has_ended and not trial.reports.waiting)
