"""From wishes to actions: which trial to drain and which to launch, decided on values alone.

A trial *wants* a number of devices (0: it is not to run) and is in one of three phases: *idle* (no process, no device),
*running* or *draining* (asked to checkpoint and exit; it holds its devices until its last process is reaped).
:func:`reconcile` compares the two for all trials and says what to do next. It is called at every change and every poll,
so one missed step is no loss, and it keeps five promises:

1. Shrinking comes first: a trial that holds more than it wants, or a device that is to go, is drained at once.
2. A running trial is drained in order to grow only when what it needs in addition is free and stays reserved for it.
3. A trial that was drained for a resize, or because a device went, is launched before any new one, on what it wants or,
   if that is more than is free, on as much as there is.
4. Launches never need more devices than are free, on one node where they must be on one.
5. No trial waits for more devices than are there: where fewer are, it is launched on all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from syne_hypersched.backends.shared.placement import most_at_once, place


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
    retiring: int = 0
    """Devices among those held that are to go or are lost: they are not free when the trial gives them back."""
    nodes: Mapping[str, int] = field(default_factory=dict)
    """Devices among those held that stay, by node; needed only where a launch must be on one node."""


@dataclass(frozen=True)
class Drain:
    """Ask the trial's processes to checkpoint and exit."""

    trial_id: int


@dataclass(frozen=True)
class Launch:
    """Start the trial's processes on ``num_devices`` free devices."""

    trial_id: int
    num_devices: int
    nodes: Mapping[str, int] = field(default_factory=dict, compare=False)
    """On which nodes, if all must be of one; else it is free to choose."""


Action = Drain | Launch

_ONE = ""
"""The node of all devices where nodes do not matter."""


def reconcile(
    trials: Iterable[TrialState],
    free: int | Mapping[str, int],
    *,
    num_present: int | None = None,
    one_node: bool = False,
) -> list[Action]:
    """Says what has to happen next so that every trial gets what it wants.

    Parameters
    ----------
    trials
        All trials that want devices or hold some; others may be left out.
    free
        Number of free devices, or that of each node.
    num_present
        Devices that are there and are not to go, free or held: nobody gets more. None: as many as anybody wants.
    one_node
        Whether all devices of a launch must be of one node. Then ``free`` is by node, and trials say on which nodes the
        devices are that they hold.

    Returns
    -------
    list of Drain or Launch
        To be carried out in this order; launches fit into ``free`` together. Empty when there is nothing to do but
        wait.
    """
    in_order = sorted(trials, key=lambda trial: (trial.order, trial.trial_id))
    wants = {trial.trial_id: trial.wants for trial in in_order}
    if num_present is not None:
        wants = {trial_id: min(wanted, num_present) for trial_id, wanted in wants.items()}
    room = _NodeRoom(free) if one_node else _Room(free)

    running = [trial for trial in in_order if trial.phase is Phase.RUNNING]
    must_drain = {trial.trial_id for trial in running if trial.retiring or wants[trial.trial_id] < trial.holds}
    actions: list[Action] = [Drain(trial.trial_id) for trial in running if trial.trial_id in must_drain]

    # A trial that comes back gives back only what it holds and what stays: the rest is reserved for it (promise 2).
    for trial in in_order:
        is_draining = trial.phase is Phase.DRAINING or trial.trial_id in must_drain
        if is_draining and wants[trial.trial_id] > trial.holds - trial.retiring:
            room.reserve(trial, wants[trial.trial_id])
    idle = [trial for trial in in_order if trial.phase is Phase.IDLE and wants[trial.trial_id] > 0]
    is_waiting = False
    for trial in sorted(idle, key=lambda trial: not trial.resized):
        wanted = wants[trial.trial_id]
        num_devices = min(wanted, room.most) if trial.resized else wanted
        nodes = room.take(num_devices)
        if nodes is None:
            is_waiting = True
        else:
            actions.append(Launch(trial.trial_id, num_devices, nodes))

    # Trials that wait for a device come before trials that want another one.
    for trial in () if is_waiting else running:
        wanted = wants[trial.trial_id]
        if trial.holds < wanted and not trial.retiring and room.reserve(trial, wanted, in_part=False):
            actions.append(Drain(trial.trial_id))
    return actions


class _Room:
    """Free devices that are not spoken for, where nodes do not matter."""

    def __init__(self, free: int | Mapping[str, int]) -> None:
        self.most = free if isinstance(free, int) else most_at_once(free)

    def take(self, num_devices: int) -> Mapping[str, int] | None:
        """Takes devices for a launch, and says of which nodes if that matters; None: there are not enough."""
        if not 1 <= num_devices <= self.most:
            return None
        self.most -= num_devices
        return {}

    def reserve(self, trial: TrialState, wanted: int, in_part: bool = True) -> bool:
        """Reserves what a trial needs in addition to what it gives back; whether it will have all of it then."""
        extra = wanted - (trial.holds - trial.retiring)
        if extra > self.most and not in_part:
            return False
        is_enough = extra <= self.most
        self.most = max(0, self.most - extra)
        return is_enough


class _NodeRoom:
    """The same where all devices of a launch must be of one node."""

    def __init__(self, free: int | Mapping[str, int]) -> None:
        self._free = {"": free} if isinstance(free, int) else dict(free)

    @property
    def most(self) -> int:
        """The most devices that one launch can get."""
        return most_at_once(self._free, one_node=True)

    def take(self, num_devices: int) -> Mapping[str, int] | None:
        """See :class:`_Room`."""
        nodes = place(self._free, num_devices, one_node=True)
        for node, number in nodes.items():
            self._free[node] -= number
        return nodes or None

    def reserve(self, trial: TrialState, wanted: int, in_part: bool = True) -> bool:
        """See :class:`_Room`; on the node where the trial is, if it can be there."""
        own, kept = max(trial.nodes.items(), key=lambda entry: entry[1], default=("", 0))
        free = self._free.get(own, 0)
        if free + kept >= wanted or (in_part and self.most < wanted):
            self._free[own] = max(0, free - (wanted - kept))
            return free + kept >= wanted
        return self.take(wanted) is not None
