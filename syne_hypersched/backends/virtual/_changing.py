"""Processes that join and leave trials in virtual time, while these train."""

from __future__ import annotations

import math

from syne_hypersched.backends.shared.reconcile import CHANGING, RUNNING
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
        """A newer wish has come: what was prepared is given up."""
        self.record("withdraw", trial.trial_id, trial.devices, trial.launch, "another order", to=trial.becomes)
        self._give_back(trial, trial.num_training)
        self._launcher.cancel_change(trial)
        self._settle(trial)
        self.record("abandon", trial.trial_id, trial.devices, trial.launch, "another order")

    def _change(self, trial: VirtualTrial) -> None:
        """Processes join, or have left."""
        has_grown = trial.becomes > trial.num_training
        num_devices = trial.becomes
        self._launcher.change(trial, self.time_s)
        self._give_back(trial, num_devices)
        self._settle(trial)
        self.record(
            "joined" if has_grown else "left", trial.trial_id, trial.devices, trial.launch,
            pause_s=self._launcher.join_s,
        )  # fmt: skip

    def _give_back(self, trial: VirtualTrial, num_devices: int) -> None:
        """The trial keeps the devices that it got first."""
        if num_devices < trial.holds:
            self.pool.give_back(trial.trial_id, trial.devices[num_devices:])
            self._hold(trial, trial.devices[:num_devices])

    def _hold(self, trial: VirtualTrial, devices: tuple[str, ...]) -> None:
        self.device_seconds_held += trial.holds * (self.time_s - trial.held_from_s)
        trial.devices, trial.holds, trial.held_from_s = devices, len(devices), self.time_s

    def _settle(self, trial: VirtualTrial) -> None:
        trial.phase, trial.becomes, trial.change_s = RUNNING, 0, math.inf
        self._place(trial)
