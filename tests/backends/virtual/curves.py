"""Trials in virtual time whose seconds are round numbers."""

from __future__ import annotations

from syne_hypersched.backends.virtual._costs import NO_COST
from syne_hypersched.backends.virtual._fleet import VirtualFleet
from syne_hypersched.backends.virtual._launcher import VirtualLauncher
from syne_hypersched.backends.virtual._speed import make_speed_up
from syne_hypersched.blackboxes import LearningCurve


class RoundCurves:
    """A user's own blackbox: epochs of ``epoch_s`` seconds (1 by default), a loss of ``x + 1 / epoch``."""

    elapsed_time_attr = "elapsed_s"

    def __init__(self, num_epochs=20, speed_up=None):
        self.num_epochs = num_epochs
        self.speed_up = speed_up

    def learning_curve(self, config, max_resource=None, seed=0):
        num_epochs = config.get("epochs", self.num_epochs)
        if max_resource is not None:
            num_epochs = min(num_epochs, max_resource)
        reports = [{"epoch": epoch, "loss": config.get("x", 0.0) + 1 / epoch} for epoch in range(1, num_epochs + 1)]
        return LearningCurve(reports, [config.get("epoch_s", 1.0)] * num_epochs, self.speed_up)


def make_fleet(num_devices=4, scaling="linear", cost=NO_COST, failures=None, num_epochs=20, devices_over_time=()):
    """A fleet and the list into which it records what happens."""
    curves = RoundCurves(num_epochs)
    launcher = VirtualLauncher(make_speed_up(scaling, num_devices), cost, failures)
    fleet = VirtualFleet(num_devices, curves.learning_curve, launcher, "elapsed_s", devices_over_time)
    events = []

    def record(event, trial_id=None, devices=(), launch=None, reason="", **details):
        events.append((fleet.time_s, event, trial_id, len(devices), reason, details))

    fleet.record = record
    return fleet, events


def look(fleet):
    """One poll: the time, and each report as (trial, epoch, devices)."""
    fleet.poll()
    reports, _ = fleet.take()
    return fleet.time_s, [(trial_id, report["epoch"], report["st_num_devices"]) for trial_id, report in reports]
