"""From requests to actions: decides on values alone which trial to drain and which to launch.

A trial *wants* a number of devices (0: it is not to run) and is in one of four phases: *idle* (no process, no device),
*running*, *changing* (running while processes join or leave) or *draining* (asked to checkpoint and exit; it holds its
devices until its last process is reaped).
:func:`reconcile` compares the two for all trials and says what to do next. It is called at every change and every poll,
so one missed step is no loss, and it keeps five promises:

1. Shrinking comes first: a trial that holds more than it wants, or a device that is to go, is drained at once.
2. A running trial is drained in order to grow only when what it needs in addition is free and stays reserved for it.
3. A trial that was drained for a resize, or because a device went, is launched before any new one, on what it wants or,
   if that is more than is free, on as much as there is.
4. Launches never need more devices than are free, on one node where they must be on one.
5. No trial waits for more devices than are there: where fewer are, it is launched on all of them.
6. A trial whose processes can join and leave while it trains is *changed* instead of drained. It then trains on while
   new processes, whose devices it holds as well, get ready, or until some have left. A newer wish withdraws the change.
7. Where such a trial can leave the devices that are to go, it does so at once, as their owner waits for them. It trains
   on with those that stay, and new processes get ready on free devices then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Protocol

from syne_hypersched.backends.shared.placement import most_at_once, place
from syne_hypersched.backends.shared.shares import fitting


class Phase(Enum):
    """What a trial's processes are doing."""

    IDLE = "idle"
    """No process exists and no device is held."""
    RUNNING = "running"
    """Processes exist (or are being started) on the devices held."""
    CHANGING = "changing"
    """Processes train, while others prepare to join or some are about to leave; all devices are held."""
    DRAINING = "draining"
    """Processes were asked to checkpoint and exit; devices are held until the last one is reaped."""


IDLE, RUNNING, CHANGING, DRAINING = Phase
"""The members by themselves: before Python 3.12 it takes 0.15 µs to look one up in the class, often in a simulation."""


@dataclass(frozen=True)
class TrialState:
    """What :func:`reconcile` knows of one trial."""

    trial_id: int
    wants: int
    """Requested number of devices; 0 if the trial is paused, stopped or has ended."""
    holds: int = 0
    """Devices that its processes hold now; 0 exactly when ``phase`` is idle."""
    phase: Phase = Phase.IDLE
    resized: bool = False
    """Whether an idle trial was drained for a resize and waits for devices (it then comes before new trials)."""
    order: int = 0
    """Position of the last order or wish for this trial; earlier ones are served first."""
    retiring: int = 0
    """Number of held devices that are retiring or lost: they do not become free when the trial releases them."""
    nodes: Mapping[str, int] = field(default_factory=dict)
    """Held devices that stay, by node; needed only if a launch must be on one node."""
    in_place: bool = False
    """Whether processes can join and leave a running trial."""
    becomes: int = 0
    """Devices to which a changing trial changes; 0 in any other phase."""
    can_leave: bool = False
    """Whether the processes on leaving devices can leave while the trial trains on."""
    is_leaving: bool = False
    """Whether the change in progress releases all leaving devices."""


class AloneTrial(Protocol):
    """What :func:`reconcile_alone` looks at, see :class:`TrialState`."""

    wants: int
    phase: Phase
    resized: bool


class Free(Protocol):
    """What :func:`reconcile_alone` asks of a :class:`~syne_hypersched.backends.shared.devices.DevicePool`."""

    @property
    def num_free(self) -> int:
        """Number of free devices."""
        ...

    @property
    def num_present(self) -> int:
        """Number of devices that are there and are not to go."""
        ...


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
    """On which nodes, if that matters; else the pool is free to choose."""


@dataclass(frozen=True)
class Alter:
    """Resize the trial to ``num_devices`` devices while it trains. Leaving devices are released first."""

    trial_id: int
    num_devices: int


@dataclass(frozen=True)
class Withdraw:
    """Give up the change of a trial, unless it has begun. Ordered again until the trial changes no more."""

    trial_id: int


Action = Drain | Launch | Alter | Withdraw


def reconcile(
    trials: Iterable[TrialState],
    free: int | Mapping[str, int],
    *,
    num_present: int | None = None,
    one_node: bool = False,
    shares_per_gpu: int = 1,
) -> list[Action]:
    """Returns the next actions by which every trial gets the requested devices.

    Parameters
    ----------
    trials
        All trials that want devices or hold some; others may be left out.
    free
        Number of free devices, or that of each node.
    num_present
        Number of present devices, free or held, which limits each trial. None: no limit.
    one_node
        Whether all devices of a launch must be of one node. Then ``free`` is by node, and trials say on which nodes the
        devices are that they hold.
    shares_per_gpu
        If above 1, devices are shares of GPUs, which are the nodes: a trial gets one share, or all of some GPUs.

    Returns
    -------
    list of Drain, Launch, Alter or Withdraw
        To be carried out in this order; launches fit into ``free`` together. Empty when there is nothing to do but
        wait.
    """
    in_order = sorted(trials, key=lambda trial: (trial.order, trial.trial_id))
    wants = {trial.trial_id: trial.wants for trial in in_order}
    if num_present is not None:
        wants = {trial_id: fitting(min(wanted, num_present), shares_per_gpu) for trial_id, wanted in wants.items()}
    if shares_per_gpu > 1:
        room: _Room | _NodeRoom | _ShareRoom = _ShareRoom(free, shares_per_gpu)
    else:
        room = _NodeRoom(free) if one_node else _Room(free)

    running = [trial for trial in in_order if trial.phase is RUNNING]
    actions: list[Action] = []
    for trial in running:
        to = _on_what_stays(trial, wants[trial.trial_id])
        if trial.retiring or to < trial.holds:
            actions.append(Alter(trial.trial_id, to) if _can_go_on(trial, to) else Drain(trial.trial_id))
    for trial in in_order:
        to = _on_what_stays(trial, wants[trial.trial_id])
        if trial.phase is CHANGING and (to != trial.becomes or (trial.retiring and not trial.is_leaving)):
            actions.append(Withdraw(trial.trial_id) if _can_go_on(trial, to) else Drain(trial.trial_id))
    must_drain = {action.trial_id for action in actions if isinstance(action, Drain)}

    # A trial that comes back, or leaves devices, gives back only what stays: the rest is reserved for it (promise 2).
    for trial in in_order:
        gives_back = trial.phase is DRAINING or trial.trial_id in must_drain or (trial.retiring and trial.holds)
        if gives_back and wants[trial.trial_id] > trial.holds - trial.retiring:
            room.reserve(trial, wants[trial.trial_id])
    idle = [trial for trial in in_order if trial.phase is IDLE and wants[trial.trial_id] > 0]
    is_waiting = False
    for trial in sorted(idle, key=lambda trial: not trial.resized):
        wanted = wants[trial.trial_id]
        num_devices = fitting(min(wanted, room.most), shares_per_gpu) if trial.resized else wanted
        nodes = room.take(num_devices)
        if nodes is None:
            is_waiting = True
        else:
            actions.append(Launch(trial.trial_id, num_devices, nodes))

    # Trials that wait for a device come before trials that want another one.
    for trial in () if is_waiting else running:
        wanted = wants[trial.trial_id]
        if trial.holds < wanted and not trial.retiring and room.reserve(trial, wanted, in_part=False):
            actions.append(Alter(trial.trial_id, wanted) if trial.in_place else Drain(trial.trial_id))
    return actions


def _on_what_stays(trial: TrialState, wanted: int) -> int:
    """Number of devices that a running trial should have now: the requested number, or fewer if some are leaving."""
    return min(wanted, trial.holds - trial.retiring) if trial.retiring else wanted


def _can_go_on(trial: TrialState, num_devices: int) -> bool:
    """Whether a trial can change to this number of devices, or give up a change, while it trains."""
    can_change = trial.in_place or trial.phase is CHANGING
    return num_devices > 0 and can_change and (not trial.retiring or trial.can_leave)


def reconcile_alone(trial: AloneTrial, pool: Free) -> Literal["drain"] | int | None:
    """The result of :func:`reconcile` if a single trial needs an action, without lists.

    This is almost always the case in a simulation, where :func:`reconcile` would take most of the time.

    Parameters
    ----------
    trial
        The trial; none of its devices is to go.
    pool
        The devices. They are counted only where the number matters.

    Returns
    -------
    "drain", int or None
        Whether it is to be drained, or else the number of devices to launch it on: 0 where it has to wait. None: ask
        :func:`reconcile`.
    """
    if trial.phase is IDLE:
        wanted, free, present = trial.wants, pool.num_free, pool.num_present
        if wanted > present:
            wanted = present
        if wanted <= free:
            return wanted
        return free if trial.resized else 0
    if trial.phase is DRAINING:
        return 0
    return "drain" if trial.phase is RUNNING and not trial.wants else None


class _Room:
    """Free devices that are not spoken for, where nodes do not matter."""

    def __init__(self, free: int | Mapping[str, int]) -> None:
        self.most = free if isinstance(free, int) else most_at_once(free)

    def take(self, num_devices: int) -> Mapping[str, int] | None:
        """Takes devices for a launch; returns their nodes if these matter. None if there are not enough."""
        if not 1 <= num_devices <= self.most:
            return None
        self.most -= num_devices
        return {}

    def reserve(self, trial: TrialState, wanted: int, in_part: bool = True) -> bool:
        """Reserves the devices that a trial needs beyond its own; returns whether that is enough."""
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


class _ShareRoom:
    """The same where devices are shares of GPUs: one share, where most are free, or whole GPUs."""

    def __init__(self, free: int | Mapping[str, int], shares_per_gpu: int) -> None:
        self._free = {"": free} if isinstance(free, int) else dict(free)
        self._shares = shares_per_gpu

    @property
    def most(self) -> int:
        """The most shares that one launch can get."""
        num_whole = sum(free == self._shares for free in self._free.values())
        return num_whole * self._shares or min(1, sum(self._free.values()))

    def take(self, num_devices: int) -> Mapping[str, int] | None:
        """See :class:`_Room`."""
        if not 1 <= num_devices <= self.most:
            return None
        if num_devices == 1:
            nodes = {max(self._free, key=lambda gpu: self._free[gpu]): 1}
        else:
            whole = [gpu for gpu, free in self._free.items() if free == self._shares]
            nodes = dict.fromkeys(whole[: num_devices // self._shares], self._shares)
        for gpu, number in nodes.items():
            self._free[gpu] -= number
        return nodes

    def reserve(self, trial: TrialState, wanted: int, in_part: bool = True) -> bool:
        """See :class:`_Room`; GPUs of which the trial has a share come first."""
        if wanted == 1:
            return self.take(1) is not None
        whole = [gpu for gpu, free in self._free.items() if free + trial.nodes.get(gpu, 0) == self._shares]
        whole.sort(key=lambda gpu: gpu not in trial.nodes)
        chosen = whole[: wanted // self._shares]
        is_enough = len(chosen) == wanted // self._shares
        for gpu in chosen if is_enough or in_part else ():
            self._free[gpu] = 0
        return is_enough
