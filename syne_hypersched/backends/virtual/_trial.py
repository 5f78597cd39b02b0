"""One trial of a :class:`~syne_hypersched.backends.virtual._fleet.VirtualFleet`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from syne_tune.backend.trial_status import Status
from syne_tune.constants import ST_TUNER_TIME, ST_WORKER_ITER, ST_WORKER_TIME, ST_WORKER_TIMESTAMP

from syne_hypersched.backends.shared.reconcile import IDLE, RUNNING, Phase, TrialState
from syne_hypersched.blackboxes import LearningCurve
from syne_hypersched.contract import (
    ST_DEVICE_TIME,
    ST_IN_PLACE,
    ST_LAUNCH,
    ST_NUM_DEVICES,
    ST_RESIZE_PAUSE_S,
    ST_SIGNAL_TO_REPORT_S,
)

_BEGINNING = datetime(1970, 1, 1)


class Next(Enum):
    """What happens next to a trial that was launched."""

    REPORT = "report"
    """An epoch ends and is reported."""
    COMPLETE = "complete"
    """It ends, since it has nothing left to train."""
    FAIL = "fail"
    """It fails in the middle of an epoch."""
    EXIT = "exit"
    """It has been drained."""
    CHANGE = "change"
    """Processes join it, or leave."""


REPORT, COMPLETE, FAIL, EXIT, CHANGE = Next
"""The members by themselves, see :const:`~syne_hypersched.backends.shared.reconcile.RUNNING`."""


@dataclass(slots=True, eq=False)
class VirtualTrial:
    """The state of a trial, its next step, and its reports."""

    trial_id: int
    curve: LearningCurve
    config: dict[str, Any] = field(default_factory=dict)
    status: str = Status.in_progress
    """In the tuner's terms."""

    # Wishes and devices, as in TrialState.
    wants: int = 0
    phase: Phase = Phase.IDLE
    resized: bool = False
    order: int = 0
    devices: tuple[str, ...] = ()
    holds: int = 0

    # The launch that is going on.
    launch: int = -1
    """Its index, counted from 0; -1 before the first."""
    launch_order: int = 0
    """Its position among the launches of all trials."""
    kind: str = "start"
    """``"start"``, ``"resume"`` or ``"resize"``: what the launch costs depends on it."""
    signal_s: float = 0.0
    """When the order or the drain was given that led to it; during a drain, when the drain was."""
    held_from_s: float = 0.0
    speed_up: float = 1.0
    first_of_launch: bool = True
    """Whether it has not reported yet."""
    drain_reason: str = ""
    num_training: int = 0
    """Devices that train; more are held while processes get ready to join."""
    can_change: bool = False
    """Whether processes can join and leave."""
    becomes: int = 0
    """Devices to which it changes."""
    change_s: float = math.inf
    """When it does."""
    pause_s: float | None = None
    """Seconds that changes have taken since the last report; None without changes."""
    killed: bool = False
    """Whether the deadline leaves its drain less time than a drain takes."""

    # Training.
    num_trained: int = 0
    """Epochs in its checkpoint."""
    num_reports: int = 0
    worker_s: float = 0.0
    """Seconds of training, without lost ones."""
    device_s: float = 0.0
    """The same, each second counted as often as there were devices."""
    epoch_s: float = 0.0
    """Seconds of the epoch that is being trained, on the devices held."""
    segment_s: float = 0.0
    """When that epoch begins."""
    epoch_next: Next = Next.REPORT
    """How and when it ends, if nothing happens before."""
    epoch_end_s: float = math.inf
    correction_s: float = 0.0
    """Device-seconds of the epoch on other numbers of devices than the present one."""
    next: Next = Next.REPORT
    ticket: int = -1
    """Which entry of the queue is about this trial; others are void."""

    # Reports.
    delivered: list[dict[str, Any]] = field(default_factory=list)
    """Those of the last poll that gave any."""
    kept: list[dict[str, Any]] = field(default_factory=list)
    """Reports after the decision to pause, for a resume."""

    def state(self, retiring: int = 0, in_place: bool = False) -> TrialState:
        """The trial's state for :func:`~syne_hypersched.backends.shared.reconcile.reconcile`.

        Parameters
        ----------
        retiring
            Devices among those held that are to go.
        in_place
            Whether processes can join and leave now.
        """
        return TrialState(
            self.trial_id, self.wants, self.holds, self.phase, self.resized, self.order, retiring,
            in_place=in_place, becomes=self.becomes,
        )  # fmt: skip

    def begin_launch(self, devices: tuple[str, ...], launch_order: int, time_s: float) -> None:
        """A launch begins on these devices."""
        self.devices, self.holds, self.held_from_s = devices, len(devices), time_s
        self.num_training, self.segment_s, self.pause_s = len(devices), math.inf, None
        self.launch += 1
        self.launch_order = launch_order
        self.phase, self.resized, self.drain_reason, self.first_of_launch = RUNNING, False, "", True

    def report(self, time_s: float, elapsed_time_attr: str, spent_s: float) -> dict[str, Any]:
        """Ends the present epoch; returns its report for the tuner.

        Parameters
        ----------
        time_s
            Now.
        elapsed_time_attr
            Entry for the seconds that the trial has trained.
        spent_s
            Device-seconds of the epoch.
        """
        self.worker_s = worker_s = self.worker_s + self.epoch_s
        self.device_s = device_s = self.device_s + spent_s
        num_trained, num_reports = self.num_trained, self.num_reports
        self.num_trained = num_trained + 1
        self.num_reports = num_reports + 1
        report = {**self.curve.reports[num_trained]}
        # One by one: in the same display they would be put into a dictionary of their own first, which takes as long.
        report[elapsed_time_attr] = worker_s
        report[ST_WORKER_TIMESTAMP] = report[ST_TUNER_TIME] = time_s
        report[ST_WORKER_TIME] = worker_s
        report[ST_DEVICE_TIME] = device_s
        report[ST_WORKER_ITER] = num_reports
        report[ST_NUM_DEVICES] = self.num_training
        report[ST_LAUNCH] = self.launch
        if self.first_of_launch:
            self.first_of_launch = False
            report[ST_SIGNAL_TO_REPORT_S] = time_s - self.signal_s
            if self.can_change:
                report[ST_IN_PLACE] = True
        if self.pause_s is not None:
            report[ST_RESIZE_PAUSE_S] = self.pause_s
            self.pause_s = None
        return report

    def end_launch(self) -> None:
        """Records that the launch has ended."""
        self.devices, self.holds, self.phase, self.drain_reason, self.ticket = (), 0, IDLE, "", -1
        self.becomes, self.change_s = 0, math.inf

    def keep_after(self, report: Mapping[str, Any] | None) -> None:
        """Keeps the reports that were delivered after this one, which the tuner will not look at."""
        if report is None:
            return
        position = next((i for i, delivered in enumerate(self.delivered) if delivered is report), None)
        if position is not None:
            self.kept += self.delivered[position + 1 :]
            self.delivered = []


def virtual_moment(time_s: float) -> datetime:
    """A virtual time as a date: the seconds are counted from the beginning of 1970.

    Raises
    ------
    ValueError
        The time is beyond the year 9999.
    """
    try:
        return _BEGINNING + timedelta(0, time_s)
    except OverflowError:
        raise ValueError(
            f"the virtual time must be at most 2.5e11 seconds, which is the year 9999, but has come to {time_s:.4g} s: "
            "give the times of the curves in seconds, or end the simulation with deadline_s or max_num_results"
        ) from None
