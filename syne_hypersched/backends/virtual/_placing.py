"""Which trials of a fleet in virtual time want devices or hold some, and which are not as they are to be."""

from __future__ import annotations

from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.reconcile import CHANGING, RUNNING
from syne_hypersched.backends.virtual._fleet_view import VirtualFleetView
from syne_hypersched.backends.virtual._trial import VirtualTrial


class PlacingVirtualFleet(VirtualFleetView):
    """See the module."""

    pool: DevicePool
    _unsettled: dict[int, VirtualTrial]
    _num_orders: int
    _num_wanting: int

    def _order(self, trial: VirtualTrial, wants: int) -> None:
        self._num_orders += 1
        trial.order = self._num_orders
        self._num_wanting += (wants > 0) - (trial.wants > 0)
        trial.wants = wants
        if not wants:
            trial.resized = False
        self._place(trial)

    def _place(self, trial: VirtualTrial) -> None:
        if trial.wants or trial.holds:
            self._active[trial.trial_id] = trial
        else:
            self._active.pop(trial.trial_id, None)
        self._place_among_unsettled(trial)

    def _place_among_unsettled(self, trial: VirtualTrial) -> None:
        if (
            trial.wants > trial.holds
            or (trial.phase is RUNNING and trial.wants < trial.holds)
            or (trial.phase is CHANGING and trial.wants != trial.becomes)
            or (self.pool.any_retiring and self.pool.num_retiring(trial.trial_id))
        ):
            self._unsettled[trial.trial_id] = trial
        else:
            self._unsettled.pop(trial.trial_id, None)
