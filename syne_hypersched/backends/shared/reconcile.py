"""From wishes to actions: which trial to drain and which to launch, decided on values alone.

A trial *wants* a number of devices (0: it is not to run) and is in one of three phases: *idle* (no process, no device),
*running* or *draining* (asked to checkpoint and exit; it holds its devices until its last process is reaped).
:func:`reconcile` compares the two for all trials and says what to do next. It is called at every change and every poll,
so one missed step is no loss, and it keeps four promises:

1. Shrinking comes first: a trial that holds more than it wants is drained at once.
2. A running trial is drained in order to grow only when what it needs in addition is free and stays reserved for it.
3. A trial that was drained for a resize is launched before any new one, on what it wants or, if its wish grew meanwhile
   beyond what is free, on as much as there is.
4. Launches never need more devices than are free.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """What a trial's processes are doing."""

    IDLE = "idle"
    """No process exists and no device is held."""
    RUNNING = "running"
    """Processes exist (or are being started) on the devices held."""
    DRAINING = "draining"
    """Processes were asked to checkpoint and exit; devices are held until the last one is reaped."""


@dataclass(frozen=True)
class TrialState:
    """What :func:`reconcile` knows of one trial."""

    trial_id: int
    wants: int
    """Devices on which the trial is to run; 0 if it is paused, stopped or has ended."""
    holds: int = 0
    """Devices that its processes hold now; 0 exactly when ``phase`` is idle."""
    phase: Phase = Phase.IDLE
    resized: bool = False
    """Whether an idle trial was drained for a resize and waits to go on (then it comes before new trials)."""
    order: int = 0
    """Position of the last order or wish for this trial; earlier ones are served first."""


@dataclass(frozen=True)
class Drain:
    """Ask the trial's processes to checkpoint and exit."""

    trial_id: int


@dataclass(frozen=True)
class Launch:
    """Start the trial's processes on ``num_devices`` free devices."""

    trial_id: int
    num_devices: int


Action = Drain | Launch


def reconcile(trials: Iterable[TrialState], num_free: int) -> list[Action]:
    """Says what has to happen next so that every trial gets what it wants.

    Parameters
    ----------
    trials
        All trials that want devices or hold some; others may be left out.
    num_free
        Number of free devices.

    Returns
    -------
    list of Drain or Launch
        To be carried out in this order; launches fit into ``num_free`` together. Empty when there is nothing to do but
        wait.
    """
    in_order = sorted(trials, key=lambda trial: (trial.order, trial.trial_id))
    running = [trial for trial in in_order if trial.phase is Phase.RUNNING]
    actions: list[Action] = [Drain(trial.trial_id) for trial in running if trial.wants < trial.holds]

    # A draining trial that is to come back larger gives back only what it holds: the rest stays reserved (promise 2).
    reserved = sum(max(0, trial.wants - trial.holds) for trial in in_order if trial.phase is Phase.DRAINING)
    available = max(0, num_free - reserved)
    waiting = 0
    idle = [trial for trial in in_order if trial.phase is Phase.IDLE and trial.wants > 0]
    for trial in sorted(idle, key=lambda trial: not trial.resized):
        num_devices = min(trial.wants, available) if trial.resized else trial.wants
        if 1 <= num_devices <= available:
            actions.append(Launch(trial.trial_id, num_devices))
            available -= num_devices
        else:
            waiting += trial.wants

    # Trials that wait for a device come before trials that want another one.
    available -= waiting
    for trial in running:
        extra = trial.wants - trial.holds
        if 0 < extra <= available:
            actions.append(Drain(trial.trial_id))
            available -= extra
    return actions
