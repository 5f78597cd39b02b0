"""Launches, epochs and drains in virtual time: when the next thing happens to each launched trial."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush, heapreplace

from syne_hypersched.backends.shared.reconcile import DRAINING
from syne_hypersched.backends.virtual._costs import Failures, LaunchCost
from syne_hypersched.backends.virtual._trial import CHANGE, COMPLETE, EXIT, FAIL, REPORT, Next, VirtualTrial
from syne_hypersched.blackboxes import LearningCurve


class VirtualLauncher:
    """A queue of events, at most one for each trial; a new one replaces it.

    Events at the same time come in the order in which their trials were launched.

    Parameters
    ----------
    speed_up
        Speed-up of a learning curve on a number of devices.
    launch_cost
        Durations of launches and drains.
    failures
        Trials that fail; None without failures.
    """

    def __init__(
        self, speed_up: Callable[[LearningCurve, int], float], launch_cost: LaunchCost, failures: Failures | None
    ) -> None:
        self.drain_s = float(launch_cost.drain_s)
        self.launch_s = launch_cost.by_kind
        self.prepare_s = None if launch_cost.prepare_s is None else float(launch_cost.prepare_s)
        self.join_s = float(launch_cost.join_s)
        self._speed_up = speed_up
        self._failures = failures
        self._is_plain = failures is None and self.prepare_s is None
        #: A heap of (time, launch, ticket, trial); an entry is void unless the trial has that ticket.
        self.queue: list[tuple[float, int, int, VirtualTrial]] = []
        self._num_launches = self._num_tickets = 0

    def launch(self, trial: VirtualTrial, devices: tuple[str, ...], time_s: float) -> None:
        """Launches a trial on these devices, which it holds from now on."""
        self._num_launches += 1
        trial.begin_launch(devices, self._num_launches, time_s)
        trial.can_change = self.prepare_s is not None
        trial.speed_up = self._speed_up(trial.curve, len(devices))
        self.train(trial, time_s + self.launch_s[trial.kind])

    def train(self, trial: VirtualTrial, time_s: float) -> None:
        """A launched trial begins its next epoch at a time; without one, it completes."""
        epoch, epochs_s = trial.num_trained, trial.curve.epoch_s
        if self._is_plain and epoch < len(epochs_s):
            # As below, where the epoch may fail or be changed: nothing of this is needed here.
            trial.epoch_s = epoch_s = epochs_s[epoch] / trial.speed_up
            trial.ticket = self._num_tickets = ticket = self._num_tickets + 1
            trial.next = REPORT
            heappush(self.queue, (time_s + epoch_s, trial.launch_order, ticket, trial))
            return
        trial.segment_s, trial.correction_s = time_s, 0.0
        if epoch >= len(epochs_s):
            self._push_earliest(trial, COMPLETE, time_s)
            return
        trial.epoch_s = epoch_s = epochs_s[epoch] / trial.speed_up
        share = None if self._failures is None else self._failures.share_trained(trial.trial_id, epoch)
        if share is None:
            self._push_earliest(trial, REPORT, time_s + epoch_s)
        else:
            self._push_earliest(trial, FAIL, time_s + share * epoch_s)

    def train_on(self, trial: VirtualTrial, time_s: float) -> None:
        """The trial of the first event, the end of an epoch that is not its last one, begins the next one."""
        if self._is_plain:
            trial.epoch_s = epoch_s = trial.curve.epoch_s[trial.num_trained] / trial.speed_up
            trial.ticket = self._num_tickets = ticket = self._num_tickets + 1
            heapreplace(self.queue, (time_s + epoch_s, trial.launch_order, ticket, trial))
        else:
            heappop(self.queue)
            self.train(trial, time_s)

    def order_change(self, trial: VirtualTrial, time_s: float) -> None:
        """Schedules the time at which processes join or leave a trial."""
        trial.change_s = time_s
        self._push_earliest(trial, trial.epoch_next, trial.epoch_end_s)

    def cancel_change(self, trial: VirtualTrial) -> None:
        """The trial trains on as it is."""
        trial.change_s = math.inf
        self._push_earliest(trial, trial.epoch_next, trial.epoch_end_s)

    def change(self, trial: VirtualTrial, time_s: float) -> None:
        """The rest of the epoch is trained on the devices that the trial changes to."""
        speed_up = self._speed_up(trial.curve, trial.becomes)
        rest_s = trial.epoch_end_s - time_s
        new_rest_s = self.join_s + rest_s * trial.speed_up / speed_up
        so_far_s = trial.epoch_s - rest_s
        trial.correction_s += so_far_s * (trial.num_training - trial.becomes)
        trial.epoch_s = so_far_s + new_rest_s
        trial.speed_up, trial.num_training, trial.change_s = speed_up, trial.becomes, math.inf
        trial.pause_s = self.join_s + (trial.pause_s or 0.0)
        self._push_earliest(trial, trial.epoch_next, time_s + new_rest_s)

    def drain(self, trial: VirtualTrial, time_s: float, kill_at_s: float) -> None:
        """Asks a trial to checkpoint and exit; what it has trained since its last report is lost.

        Parameters
        ----------
        trial, time_s
            The trial, and now.
        kill_at_s
            When it is killed if it has not ended by itself.
        """
        end_s = time_s + self.drain_s
        trial.phase, trial.signal_s, trial.killed = DRAINING, time_s, end_s > kill_at_s
        trial.becomes, trial.change_s = 0, math.inf
        self._push(trial, EXIT, end_s if end_s <= kill_at_s else max(time_s, kill_at_s))

    def next_s(self) -> float:
        """The time of the next event, infinite if there is none."""
        queue = self.queue
        while queue:
            time_s, _, ticket, trial = queue[0]
            if ticket == trial.ticket:
                return time_s
            heappop(queue)
        return math.inf

    def forget_all(self) -> None:
        """Removes all future events."""
        self.queue = []

    def _push_earliest(self, trial: VirtualTrial, what: Next, time_s: float) -> None:
        """Schedules the end of the epoch, or the change that comes before it."""
        trial.epoch_next, trial.epoch_end_s = what, time_s
        if trial.change_s < time_s:
            what, time_s = CHANGE, trial.change_s
        self._push(trial, what, time_s)

    def _push(self, trial: VirtualTrial, what: Next, time_s: float) -> None:
        self._num_tickets += 1
        trial.next, trial.ticket = what, self._num_tickets
        heappush(self.queue, (time_s, trial.launch_order, trial.ticket, trial))
