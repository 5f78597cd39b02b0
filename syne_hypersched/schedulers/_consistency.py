"""Whether a scheduler, its backend and its tuner were told the same, looked at when the first trials start.

Only the tuner knows both sides, and it tells neither. What a trial says of its backend
(:class:`~syne_hypersched.contract.SituatedTrial`) and how many trials start before the first report are enough.
"""

from __future__ import annotations

import logging
import math

from syne_tune.backend.trial_status import Trial

from syne_hypersched._wording import counted
from syne_hypersched.contract import SituatedTrial

logger = logging.getLogger(__name__)

#: How much later than the backend's deadline the scheduler's may be, and how much earlier, as a share of the former.
LATE_SHARE, EARLY_SHARE = 0.02, 0.1
#: Seconds by which the two may differ in any case: they are counted from different moments.
SLACK_S = 0.5


class Workers:
    """Finds out how many trials the tuner runs at a time: the number that starts before the first report."""

    def __init__(self) -> None:
        self._num_started = 0
        self._num_devices: int | None = None
        self._num_devices_per_trial = 1
        #: Whether there is nothing left to find out.
        self.are_known = False

    def add(self, trial: Trial) -> None:
        """Records that a trial is started."""
        if self.are_known or not isinstance(trial, SituatedTrial):
            return
        self._num_started += 1
        self._num_devices = trial.num_devices_total
        self._num_devices_per_trial = max(1, getattr(trial, "num_devices", 1))

    def give_up(self) -> None:
        """Records that nothing more can start: the number of trials then says nothing about the tuner."""
        self.are_known = True

    def report(self, num_planned: int | None = None) -> None:
        """Records a report; at the first one, warns if devices are idle.

        Parameters
        ----------
        num_planned
            Number of devices that the scheduler uses, if it was given; a warning about unused ones has been issued.
        """
        if self.are_known:
            return
        self.are_known = True
        if self._num_devices is None:
            return
        usable = min(self._num_devices, num_planned or self._num_devices)
        most = usable // self._num_devices_per_trial
        if 0 < self._num_started < most:
            logger.warning(
                "The tuner runs %s at a time, but the backend has %d devices, enough for %d: the others are "
                "idle. Use Tuner(n_workers=%d), or num_devices=%d for the backend.",
                counted(self._num_started, "trial"), self._num_devices, most, most,
                self._num_started * self._num_devices_per_trial,
            )  # fmt: skip


def agree_on_devices(trial: Trial, num_devices: int | None) -> int:
    """Number of a scheduler's devices: its argument, else the backend's number.

    Parameters
    ----------
    trial
        The first trial.
    num_devices
        The scheduler's argument, if given.

    Raises
    ------
    ValueError
        The backend has fewer, or neither side knows the number.
    """
    total = trial.num_devices_total if isinstance(trial, SituatedTrial) else None
    if num_devices is None:
        if total is None:
            raise ValueError("num_devices must be given, since this backend does not say how many devices it has")
        return total
    if total is not None and num_devices > total:
        raise ValueError(
            f"num_devices must be at most {total}, the devices of the backend, but the scheduler got {num_devices}: no "
            "trial can be given as many. With num_devices=None it takes the number from the backend"
        )
    if total is not None and num_devices < total:
        logger.warning(
            "The scheduler has num_devices=%d, but the backend has %d devices: the others are idle. With "
            "num_devices=None the scheduler takes those of the backend.", num_devices, total,
        )  # fmt: skip
    return num_devices


def agree_on_deadline(trial: Trial, deadline_s: float | None) -> float:
    """The deadline of a scheduler: its argument, else the backend's deadline.

    Parameters
    ----------
    trial
        The first trial. Its backend is told of the deadline if it knows of none.
    deadline_s
        The scheduler's argument (s), if given.

    Raises
    ------
    ValueError
        Neither side knows the deadline.
    """
    ends_s = trial.deadline_s if isinstance(trial, SituatedTrial) else None
    if deadline_s is None:
        if ends_s is None or ends_s == math.inf:
            raise ValueError(
                "deadline_s must be given, since the backend knows of no deadline: it does with "
                "Tuner(..., stop_criterion=Deadline(seconds, trial_backend=backend))"
            )
        return ends_s
    if not isinstance(trial, SituatedTrial) or trial.num_devices_total is None or ends_s == math.inf:
        return deadline_s
    if ends_s is None:
        if not trial.plan_for(deadline_s):
            logger.warning(
                "The scheduler plans for a deadline of %g s, but the backend knows of none, so that trials are not "
                "ended by then. Use Tuner(..., stop_criterion=Deadline(%g, trial_backend=backend)), not a "
                "StoppingCriterion with max_wallclock_time, nor a Deadline without the backend.",
                deadline_s, deadline_s,
            )  # fmt: skip
        return deadline_s
    late_s = deadline_s - ends_s
    if late_s > max(SLACK_S, LATE_SHARE * ends_s):
        logger.warning(
            "The scheduler plans for a deadline of %g s, but the tuning ends at %g s, so its plans for the last %g s "
            "are not carried out. Give both the same number, or deadline_s=None to the scheduler.",
            deadline_s, ends_s, late_s,
        )  # fmt: skip
    elif -late_s > max(SLACK_S, EARLY_SHARE * ends_s):
        logger.warning(
            "The scheduler plans for a deadline of %g s, but the tuning ends at %g s: the last %g s are not used, "
            "since every trial that reports after the scheduler's deadline is stopped. Give both the same number, or "
            "deadline_s=None to the scheduler.", deadline_s, ends_s, -late_s,
        )  # fmt: skip
    return deadline_s
