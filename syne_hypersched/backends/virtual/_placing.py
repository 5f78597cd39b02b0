"""The trials of a fleet in virtual time that request or hold devices, and those that need an action.

Also what the tuner is told: reports carry the number of devices that are there, where some are missing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from syne_hypersched.backends.shared import pool_changes
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.reconcile import CHANGING, RUNNING
from syne_hypersched.backends.virtual._fleet_view import VirtualFleetView
from syne_hypersched.backends.virtual._launcher import VirtualLauncher
from syne_hypersched.backends.virtual._outbox import Outbox, Reports
from syne_hypersched.backends.virtual._schedule import PoolClock
from syne_hypersched.backends.virtual._trial import VirtualTrial


class PlacingVirtualFleet(VirtualFleetView):
    """See the module."""

    pool: DevicePool
    #: Whether devices may ever be to go.
    _pool_changes: bool = False
    _unsettled: dict[int, VirtualTrial]
    _news: Outbox
    _num_orders: int
    _num_wanting: int
    _launcher: VirtualLauncher
    _changes: PoolClock
    #: When trials are drained for the deadline.
    _drain_at_s: float
    time_s: float
    closed: bool

    def _order(self, trial: VirtualTrial, wants: int) -> None:
        self._want(trial, wants)
        self._place(trial)

    def _want(self, trial: VirtualTrial, wants: int) -> None:
        self._num_orders += 1
        trial.order = self._num_orders
        self._num_wanting += (wants > 0) - (trial.wants > 0)
        trial.wants = wants
        if not wants:
            trial.resized = False

    def _place(self, trial: VirtualTrial) -> None:
        wants, holds, phase, trial_id = trial.wants, trial.holds, trial.phase, trial.trial_id
        if wants or holds:
            self._active[trial_id] = trial
        elif trial_id in self._active:
            del self._active[trial_id]
        if (
            wants > holds
            or (phase is RUNNING and wants < holds)
            or (phase is CHANGING and wants != trial.becomes)
            or (self._pool_changes and self.pool.num_retiring(trial_id))
        ):
            self._unsettled[trial_id] = trial
        elif trial_id in self._unsettled:
            del self._unsettled[trial_id]

    def take(self, trial_ids: Collection[int] | None = None) -> tuple[Reports, list[int]]:
        """The reports of these trials, or of all, and the trials that have ended; see :meth:`Outbox.take`."""
        news = self._news.take(trial_ids)
        if self._pool_changes:
            for _, report in news[0]:
                self.pool.tell(report)
        return news

    def take_all(self) -> tuple[list[tuple[VirtualTrial, dict[str, Any]]], list[int]]:
        """The same as :meth:`take`, faster; see :meth:`Outbox.take_all`."""
        news = self._news.take_all()
        if self._pool_changes:
            for _, report in news[0]:
                self.pool.tell(report)
        return news

    def poll_all(self) -> tuple[list[tuple[VirtualTrial, dict[str, Any]]], list[int]]:
        """As polling and then :meth:`take_all`, for a tuner that looks at all trials, as it does at each event."""
        news, queue = self._news, self._launcher.queue
        if not self.closed and not self._pool_changes:
            if queue and queue[0][0] <= self.time_s:
                self._let_happen()
            if not news.due and (next_s := self._launcher.next_s()) < self._drain_at_s:
                self.time_s = next_s
                self._let_happen()
                return news.take_all()
        self.poll()
        return self.take_all()

    def _next_s(self) -> float:
        """When anything happens next; infinite: nothing ever does."""
        next_s = self._launcher.next_s()
        # Where nothing runs, a tuner starts something now rather than wait for the deadline, or for a device.
        if not self._active or self.closed:
            return next_s
        if self._pool_changes:
            next_s = min(next_s, self._changes.next_s)
        return next_s if next_s <= self._drain_at_s else self._drain_at_s

    def _set_present(self, wanted: int) -> None:
        """Sets the number of present devices; trials release leaving devices."""
        leading = {trial.devices[0] for trial in self._active.values() if trial.devices}
        leaving, joining = pool_changes.change_to(self.pool, wanted, spared=self._incumbent, leading=leading)
        pool_changes.retire(self.pool, leaving, self.record, "devices_over_time")
        pool_changes.join(self.pool, joining, self.record, "devices_over_time")
        for trial in self._active.values():
            self._place(trial)
        self._reconcile()

    def poll(self) -> None:
        raise NotImplementedError

    def _reconcile(self) -> None:
        raise NotImplementedError
