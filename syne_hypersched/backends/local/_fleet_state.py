"""What the parts of a fleet share: devices, trials and launches, and the lock that guards them. It knows no part."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

from syne_hypersched.backends.local import _fleet_log as log
from syne_hypersched.backends.local._checkpoints import Checkpoints
from syne_hypersched.backends.local._failures import FailurePolicy
from syne_hypersched.backends.local._launches import Launches
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.local._roster import Roster
from syne_hypersched.backends.local._shares import NOT_SHARED, GpuShares
from syne_hypersched.backends.local._states import IllegalStateError
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.backends.shared.levels import Relaunches
from syne_hypersched.contract import ST_SIGNAL_TO_REPORT_S

logger = logging.getLogger(__name__)

VALIDATE = "SYNE_HYPERSCHED_VALIDATE"
"""Environment variable. Unless it is empty or 0, everything that holds between two steps is checked after each, as in
the tests of this package. A check costs about as much as a poll."""


class FleetState:
    """See the module. A part changes it within :meth:`step` in the tuner's thread, :meth:`told` in the launcher's.

    Parameters
    ----------
    pool, launches, events, checkpoints
        The devices, the live launches, the log of events, and the manager of checkpoints.
    policy
        How failed launches are handled.
    grace_s
        Seconds from SIGTERM to SIGKILL.
    shares
        How GPUs are shared; by default they are not.

    Attributes
    ----------
    one_node
        Whether all devices of a launch must be of one node.
    trials
        The records of the trials' processes, by trial.
    relaunches
        Number of relaunches that started from the beginning.
    num_orders
        Number of orders so far.
    validates
        Whether every step is checked.
    lock, changed
        Guards all of this; and is notified when a process has ended.
    fault
        An exception in the launcher's thread, which is a bug of this package; the tuner's thread raises it.
    """

    def __init__(
        self,
        pool: DevicePool,
        launches: Launches,
        events: EventLog,
        checkpoints: Checkpoints,
        policy: FailurePolicy,
        grace_s: float,
        shares: GpuShares = NOT_SHARED,
    ) -> None:
        self.pool = pool
        self.launches = launches
        self.events = events
        self.checkpoints = checkpoints
        self.policy = policy
        self.grace_s = grace_s
        self.shares = shares
        self.one_node = False
        self.trials = Roster()
        self.relaunches = Relaunches()
        self.num_orders = 0
        self.validates = os.environ.get(VALIDATE, "") not in ("", "0")
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.fault: IllegalStateError | None = None
        #: Whether Ctrl-C or SIGTERM has interrupted a step; the rest is done when everything is stopped.
        self._is_interrupted = False

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Holds the lock for one step in the tuner's thread."""
        with self.lock:
            try:
                yield
            except (KeyboardInterrupt, SystemExit):
                self._is_interrupted = True
                raise
            if self.validates and self.fault is None and not self._is_interrupted:
                self.check()

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """The same in the launcher's thread; the tuner's thread raises an exception at its next poll."""
        try:
            with self.step():
                yield
        except IllegalStateError as fault:
            logger.error("%s", fault)
            self.fault = self.fault or fault

    def check(self) -> None:
        """Checks the invariants between two steps.

        Raises
        ------
        IllegalStateError
            An invariant is broken; the message has the history of the trial.
        """
        active, launches = self.trials.active, self.launches.trial_ids
        for trial in self.trials.values():
            trial.check(len(self.pool.held_by(trial.trial_id)))
            if (trial in active) == trial.is_at_rest:
                trial.fail_with(f"is {'' if trial.is_at_rest else 'not '}among the active trials")
            if trial.handle is not None and launches.get(trial.handle) != trial.trial_id:
                trial.fail_with(f"has handle {trial.handle}, which is not known: {launches}")
        holders = set(self.pool.holders)
        handles = {handle for trial in active if trial.crew is not None for handle in trial.crew.handles}
        if not holders <= {trial.trial_id for trial in active} or handles != set(launches):
            raise IllegalStateError(
                f"trials {sorted(holders)} hold devices and launches {launches} live, but the active trials are "
                f"{[(trial.trial_id, trial.handle) for trial in active]}. This is a fault of syne_hypersched"
            )

    def next_order(self) -> int:
        """The position of a new order among all orders."""
        self.num_orders += 1
        return self.num_orders

    def trial_of(self, handle: int) -> TrialProcesses:
        """The trial of a launch that lives."""
        return self.trials[self.launches.trial_ids[handle]]

    def going(self, trial_id: int) -> list[str]:
        """The leaving devices that a trial holds."""
        if not self.pool.num_retiring(trial_id):
            return []
        return [device for device in self.pool.held_by(trial_id) if not self.pool.is_present(device)]

    def record(self, event: str, trial: TrialProcesses, reason: str = "", **details: Any) -> None:
        """Writes an event of a trial, with the devices that it holds."""
        self.events.write(event, trial.trial_id, self.pool.held_by(trial.trial_id), trial.launch, reason, **details)

    def read_reports(self, trial: TrialProcesses, to_the_end: bool = False) -> None:
        """Reads a trial's new reports from its log, and updates the record of the launch."""
        for report in trial.read(self.checkpoints.time_attr, to_the_end):
            if report.beginning is not None:
                log.tell_beginning(trial, report.beginning, self.relaunches, self.record)
            if report.is_new and ST_SIGNAL_TO_REPORT_S in report.values:
                self.record("first_report", trial, signal_to_report_s=report.values[ST_SIGNAL_TO_REPORT_S])
