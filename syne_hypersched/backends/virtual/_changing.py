"""Processes that join and leave trials in virtual time, while these train."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from syne_hypersched.backends.shared import pool_changes
from syne_hypersched.backends.shared.reconcile import CHANGING, RUNNING, TrialState
from syne_hypersched.backends.virtual._launcher import VirtualLauncher
from syne_hypersched.backends.virtual._placing import PlacingVirtualFleet
from syne_hypersched.backends.virtual._trial import VirtualTrial


class ChangingVirtualFleet(PlacingVirtualFleet):
    """See the module."""

    time_s: float
    device_seconds_held: float
    _launcher: VirtualLauncher

    def _can_change(self, trial: VirtualTrial) -> bool:
        """Whether processes can join and leave: the script must have come to its training."""
        has_begun = trial.phase is RUNNING and trial.segment_s <= self.time_s
        return self._launcher.prepare_s is not None and has_begun

    def _alter(self, trial: VirtualTrial, num_devices: int) -> None:
        """Orders another number of devices for a trial that trains on meanwhile."""
        prepare_s = 0.0
        if num_devices > trial.holds:
            prepare_s = self._launcher.prepare_s or 0.0
            self._hold(trial, (*trial.devices, *self.pool.extend(trial.trial_id, num_devices - trial.holds)))
            self.record("prepare", trial.trial_id, trial.devices, trial.launch, to=num_devices)
        trial.phase, trial.becomes = CHANGING, num_devices
        self._launcher.order_change(trial, self.time_s + prepare_s)
        self._place(trial)

    def _withdraw(self, trial: VirtualTrial) -> None:
        """Gives up the prepared change after a newer request."""
        self.record("withdraw", trial.trial_id, trial.devices, trial.launch, "another order", to=trial.becomes)
        back = self._give_back(trial, trial.devices[trial.num_training :])
        self._launcher.cancel_change(trial)
        self._settle(trial)
        self.record("abandon", trial.trial_id, trial.devices, trial.launch, "another order")
        pool_changes.tell_freed(self.pool, back, self.record)

    def _change(self, trial: VirtualTrial) -> None:
        """Processes join, or have left."""
        has_grown = trial.becomes > trial.num_training
        num_going = max(0, trial.holds - trial.becomes)
        self._launcher.change(trial, self.time_s)
        # Leaving devices are released first, then the ones acquired last.
        going = sorted(trial.devices, key=self.pool.is_present, reverse=True)
        back = self._give_back(trial, going[len(going) - num_going :])
        self._settle(trial)
        self.record(
            "joined" if has_grown else "left", trial.trial_id, trial.devices, trial.launch,
            pause_s=self._launcher.join_s,
        )  # fmt: skip
        pool_changes.tell_freed(self.pool, back, self.record)

    def _give_back(self, trial: VirtualTrial, devices: Sequence[str]) -> Sequence[str]:
        """The trial gives back some of its devices."""
        if devices:
            self.pool.give_back(trial.trial_id, devices)
            self._hold(trial, tuple(device for device in trial.devices if device not in devices))
        return devices

    def _state(self, trial: VirtualTrial) -> TrialState:
        """The state of a trial for reconciliation. The process on its first device leads every change, and stays."""
        can_change, num_retiring = self._can_change(trial), self.pool.num_retiring(trial.trial_id)
        if not num_retiring:
            return trial.state(in_place=can_change)
        can_leave = trial.can_change and self.pool.is_present(trial.devices[0])
        # Which devices are left is decided when they are.
        is_leaving = trial.phase is CHANGING and trial.num_training - trial.becomes >= num_retiring
        return replace(trial.state(num_retiring, can_change), can_leave=can_leave, is_leaving=is_leaving)

    def _hold(self, trial: VirtualTrial, devices: tuple[str, ...]) -> None:
        self.device_seconds_held += trial.holds * (self.time_s - trial.held_from_s)
        trial.devices, trial.holds, trial.held_from_s = devices, len(devices), self.time_s

    def _settle(self, trial: VirtualTrial) -> None:
        trial.phase, trial.becomes, trial.change_s = RUNNING, 0, math.inf
        self._place(trial)
