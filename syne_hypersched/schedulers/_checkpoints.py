"""The trials whose checkpoints are no longer needed, and the callback that removes them under Syne Tune's tuner."""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from syne_tune.tuner_callback import TunerCallback

from syne_hypersched.contract import RemovingScheduler


class NeededCheckpoints:
    """Separates the trials that a scheduler may resume from those that it never will.

    The scheduler passes its
    decisions to this class. A trial that has ended must not be resumed.

    Parameters
    ----------
    max_paused
        Largest number of trials that may be resumed at a time; by default any number.
    """

    def __init__(self, max_paused: int | None = None) -> None:
        self._max_paused = max_paused
        # Ordered, since the first one is to be found without a search however many are gone. With a maximum, the values
        # are the keys of the heap below.
        self._paused: OrderedDict[int, tuple[float, float, int] | None] = OrderedDict()
        #: The weakest first, with those that are paused no longer.
        self._weakest: list[tuple[float, float, int]] = []
        self._over: list[int] = []
        #: The same, to look one up.
        self._is_over: set[int] = set()

    @property
    def paused(self) -> tuple[int, ...]:
        """Trials that may be resumed; the one that was paused or used last is at the end."""
        return tuple(self._paused)

    def look_at(self, count: int) -> list[int]:
        """The next ``count`` trials that may be resumed, or all if there are fewer.

        Round robin: the trials returned move to the end of the queue.
        """
        trial_ids = [trial_id for trial_id, _ in zip(self._paused, range(count), strict=False)]
        for trial_id in trial_ids:
            self._paused.move_to_end(trial_id)
        return trial_ids

    def pause(self, trial_id: int, resource: float = 0.0, value: float = math.inf) -> None:
        """Records that a trial is paused at a resource level and a value; it may be resumed unless it is over."""
        if trial_id in self._is_over:
            return
        self._paused[trial_id] = None
        if self._max_paused is not None:
            self._paused[trial_id] = key = (resource, -value, -trial_id)
            heapq.heappush(self._weakest, key)

    def surplus(self) -> int | None:
        """The weakest trial, if more than the maximum may be resumed: at the lowest level, of the worst value there."""
        if self._max_paused is None or len(self._paused) <= self._max_paused:
            return None
        while self._paused.get(-self._weakest[0][2]) != self._weakest[0]:
            heapq.heappop(self._weakest)
        return -self._weakest[0][2]

    def leave(self, trial_id: int, resumable: bool, resource: float = 0.0, value: float = math.inf) -> None:
        """Records that a trial no longer runs: it is paused if it is resumable, else over."""
        if resumable:
            self.pause(trial_id, resource, value)
        else:
            self.end(trial_id)

    def resume(self, trial_id: int) -> None:
        """Records that a trial is resumed."""
        self._paused.pop(trial_id, None)

    def end(self, trial_id: int) -> None:
        """Records that a trial is over: it is never started again, nor is its checkpoint copied."""
        self._paused.pop(trial_id, None)
        if trial_id not in self._is_over:
            self._is_over.add(trial_id)
            self._over.append(trial_id)

    def __getstate__(self) -> dict[str, Any]:
        # A snapshot of a tuning with thousands of trials should be small.
        return {name: value for name, value in self.__dict__.items() if name != "_is_over"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._is_over = set(self._over)

    def over(self, since: int = 0) -> list[int]:
        """The trials that are over, in the order in which they ended, but for the first ``since``."""
        return self._over[since:]


class CheckpointRemoval(TunerCallback):
    """Removes the checkpoints that the scheduler no longer needs, once in every loop of the tuner.

    The tuner itself makes it, where the backend has ``delete_checkpoints=True``; see
    :meth:`~syne_hypersched.schedulers.base.MultiFidelityScheduler.callback_for_checkpoint_removal`. It works with
    Syne Tune's own local backend as well.

    Parameters
    ----------
    scheduler
        Says which they are.
    """

    def __init__(self, scheduler: RemovingScheduler) -> None:
        self._scheduler = scheduler
        self._delete: Callable[[int], None] | None = None
        #: How many trials that are over have been dealt with.
        self._num_removed = 0

    def on_tuning_start(self, tuner: Any) -> None:
        """Takes the backend, and begins with the first trial again: a resumed experiment may have died in between."""
        self._delete = tuner.trial_backend.delete_checkpoint
        self._num_removed = 0

    def on_loop_end(self) -> None:
        """Lets the backend remove the checkpoints that became superfluous in this loop.

        A callback that was given to the tuner, such as a :class:`~syne_hypersched.Journal`, is called before this one:
        what made a trial superfluous is on the disk when its checkpoint goes.
        """
        if self._delete is None:
            return
        for trial_id in self._scheduler.trials_checkpoints_can_be_removed(self._num_removed):
            self._delete(trial_id)
            self._num_removed += 1
