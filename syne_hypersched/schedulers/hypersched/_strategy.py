"""What HyperSched asks of a strategy: which trials are weak, who may start, who holds how many devices."""

from __future__ import annotations

from abc import ABC, abstractmethod

from syne_hypersched.schedulers._checkpoints import NeededCheckpoints
from syne_hypersched.schedulers._reasons import Reason

_GIVEN_UP_AT_ONCE = 64
"""Paused trials that are looked at in one call of :meth:`Strategy.give_up`."""


class Strategy(ABC):
    """The decisions of HyperSched, in values alone: no trial objects, no clock, no searcher.

    Values are to be minimised; ``+inf`` stands for NaN and infinities. A *live* trial is one that holds devices or is
    ordered to.
    """

    @abstractmethod
    def __contains__(self, trial_id: object) -> bool:
        """Whether the trial is live."""

    @property
    @abstractmethod
    def allocation(self) -> dict[int, int]:
        """Devices that each live trial holds, or has been asked to go on with."""

    @property
    @abstractmethod
    def num_free(self) -> int:
        """Devices that no live trial holds when all are there."""

    @abstractmethod
    def set_present(self, num_devices: int, now_s: float) -> None:
        """Sets how many devices are available now, perhaps none; later plans are for this number.

        A trial whose devices have gone continues on fewer or waits for one; it stays live.
        """

    @property
    @abstractmethod
    def admission_open(self) -> bool:
        """Whether new trials may still start. Once closed, admission stays closed."""

    @abstractmethod
    def close_if_due(self, now_s: float) -> Reason | None:
        """Closes admission if it is time; then says why."""

    @abstractmethod
    def admission(self, now_s: float) -> Reason:
        """What speaks for or against new trials at this time, whether admission is still open or not."""

    @abstractmethod
    def close(self) -> None:
        """Closes admission: there is nothing left to start, and the tuner will not ask again.

        Where that was not because of the time left, no trial is paused for being weak until the time is up: nobody
        could resume it, and nothing else needs its device.
        """

    @abstractmethod
    def set_deadline(self, deadline_s: float, reopen: bool) -> None:
        """Takes another deadline; with ``reopen`` admission opens again, and every live trial holds one device."""

    def stretch_s(self, now_s: float) -> float | None:
        """Seconds that a last stretch would take if it began now, 0 if it would not pay; None once it has begun."""
        return None

    @abstractmethod
    def next_paused(self, now_s: float) -> tuple[int, Reason] | None:
        """The paused trial that is to go on before anything new starts, if there is one, and why."""

    @abstractmethod
    def next_weak(self, now_s: float) -> tuple[int, Reason] | None:
        """The paused trial that is to go on although it is weak, since there is nothing new to start, and why.

        From the first call on the searcher has no further configuration. A weak trial is then paused only for the sake
        of another one that is paused and ahead of it.
        """

    @abstractmethod
    def begin(self, trial_id: int) -> None:
        """A trial is started or resumed, on one device.

        Raises
        ------
        ValueError
            All devices are held.
        """

    @abstractmethod
    def end(self, trial_id: int, resumable: bool) -> None:
        """A trial has ended or, if it is resumable, is paused; it holds no devices any more."""

    @abstractmethod
    def report(self, trial_id: int, resource: float, value: float, now_s: float) -> Reason | None:
        """A live trial has reported: None if it may go on, else why it is to be paused."""

    @abstractmethod
    def pause(self, trial_id: int) -> None:
        """Keeps a trial that :meth:`report` has called weak for :meth:`next_paused`."""

    @abstractmethod
    def never_resumes(self, trial_id: int) -> bool:
        """Whether a paused trial stays paused, whatever others report from now on.

        As long as admission is open, any trial with a finite value may be good enough once others have done worse.
        """

    def give_up(self, checkpoints: NeededCheckpoints) -> None:
        """Ends paused trials that are never resumed, so that none of them can be, and says so.

        A few at a time, since thousands may be paused when admission closes, and no report is to wait for all of them.
        """
        for trial_id in () if self.admission_open else checkpoints.look_at(_GIVEN_UP_AT_ONCE):
            if self.never_resumes(trial_id):
                self.end(trial_id, resumable=False)
                checkpoints.end(trial_id)

    @abstractmethod
    def resize(self, trial_id: int, now_s: float) -> tuple[int, Reason] | None:
        """Devices on which a live trial that has just reported is to go on, and why; None if it goes on as it is."""

    @abstractmethod
    def limit(self, trial_id: int, num_devices: int, most: int) -> None:
        """Limits a live trial that failed on more devices than ``most``; it continues on ``num_devices``."""

    def never_resizes_because(self) -> str | None:
        """Why it is certain from the start that no trial will be resized; None if it is not."""
        return None

    def never_resize(self) -> None:  # noqa: B027
        """The backend cannot resize trials."""
