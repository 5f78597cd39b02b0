"""HyperSched as it was published: retrospective rung rule, admission rule, resize rule (Liaw et al., SoCC 2019)."""

from __future__ import annotations

import math

from syne_hypersched._wording import seconds_text
from syne_hypersched.allocation.admission import admission_closes, exploration_closes, time_needed_s
from syne_hypersched.allocation.allocator import Allocator
from syne_hypersched.allocation.timing import TrialTimes
from syne_hypersched.schedulers._reasons import NOT_FINITE, Reason, because, resizing
from syne_hypersched.schedulers.hypersched._options import PublishedRules
from syne_hypersched.schedulers.hypersched._retrospective import RetrospectiveHalving
from syne_hypersched.schedulers.hypersched._strategy import Strategy


class PublishedStrategy(Strategy):
    """See the module and :class:`~syne_hypersched.HyperSched`, whose arguments these are.

    Parameters
    ----------
    times
        Times of the trials, which the scheduler keeps up to date.
    halving, allocator
        The rules for weak trials and for devices.
    deadline_s, max_t, reduction_factor
        As in :class:`~syne_hypersched.HyperSched`.
    options
        The user's options of this strategy.
    """

    def __init__(
        self,
        times: TrialTimes,
        halving: RetrospectiveHalving,
        allocator: Allocator,
        deadline_s: float,
        max_t: float,
        reduction_factor: float,
        options: PublishedRules,
    ) -> None:
        self._times = times
        self._halving = halving
        self._allocator = allocator
        self._deadline_s = deadline_s
        self._max_t = max_t
        self._reduction_factor = reduction_factor
        self._options = options
        self._admission_open = True
        #: Whether the searcher has no further configuration, and whether too little time is left for a new trial.
        self._all_suggested = self._time_is_up = False
        self._resizing = True

    def __contains__(self, trial_id: object) -> bool:
        return trial_id in self._allocator

    @property
    def allocation(self) -> dict[int, int]:
        """Devices that each live trial holds, or has been asked to go on with."""
        return self._allocator.allocation

    @property
    def num_free(self) -> int:
        """Devices that no live trial holds when all are there."""
        return self._allocator.num_free

    def set_present(self, num_devices: int, now_s: float) -> None:
        """Divides another number of devices; when admission closes does not depend on it."""
        self._allocator.set_present(num_devices)

    @property
    def admission_open(self) -> bool:
        """Whether new trials may still start."""
        return self._admission_open

    def close_if_due(self, now_s: float) -> Reason | None:
        """Closes admission when a new trial can no longer win."""
        if self._time_is_up or self._times.longest_trial_s is None:
            # Before the first report nothing says yet whether time is simulated.
            return None
        if self._options.fixed_exploration is not None:
            closes = exploration_closes(now_s, self._deadline_s, self._options.fixed_exploration)
        else:
            left_s = self._deadline_s - now_s
            # Cold starts, which make it less, are looked for among all trials only when it matters.
            closes = admission_closes(left_s, self._time_needed_s(cold_starts=True))
            closes = closes and admission_closes(left_s, self._time_needed_s())
        if not closes:
            return None
        self._time_is_up, was_open = True, self._admission_open
        self._halving.end_pardons()
        self.close()
        return self.admission(now_s) if was_open else None

    def admission(self, now_s: float) -> Reason:
        """The time left, and what a new trial needs to become the best."""
        left_s = max(self._deadline_s - now_s, 0.0)
        share = self._options.fixed_exploration
        if share is not None:
            return because(
                f"{seconds_text(now_s, 3)} s have passed, and admission closes after the share {share:g} of "
                f"{seconds_text(self._deadline_s, 3)} s",
                time_left_s=left_s,
                exploration=share,
            )
        needed_s = self._time_needed_s()
        return because(
            f"{seconds_text(left_s, 3)} s are left and a new trial needs {seconds_text(needed_s, 3)} s to win",
            time_left_s=left_s,
            time_needed_s=needed_s,
            longest_trial_s=self._times.longest_trial_s,
            epoch_time_s=self._times.epoch_time_s,
            launch_cost_s=self._launch_cost_s,
        )

    def close(self) -> None:
        """Closes admission."""
        self._admission_open = False

    def set_deadline(self, deadline_s: float, reopen: bool) -> None:
        """Sets another deadline; with ``reopen`` the rule for admission is applied again."""
        self._deadline_s = deadline_s
        if reopen:
            self._admission_open, self._time_is_up = True, False
            self._allocator.take_back()

    def next_paused(self, now_s: float) -> tuple[int, Reason] | None:
        """The best paused trial that no rung would pause again, while admission is open."""
        trial_id = self._halving.promotable() if self._admission_open else None
        return None if trial_id is None else (trial_id, because("no longer weak at any rung"))

    def next_weak(self, now_s: float) -> tuple[int, Reason] | None:
        """While admission is open, the best paused trial at the highest rung with any."""
        self._all_suggested = True
        trial_id = self._halving.best_paused() if self._admission_open else None
        if trial_id is None:
            return None
        self._halving.pardon(trial_id)
        return trial_id, because("the best paused trial, and there is nothing new to start")

    def begin(self, trial_id: int) -> None:
        """Records that a trial is started or resumed, on one device."""
        self._allocator.begin(trial_id)
        self._halving.forget(trial_id)

    def end(self, trial_id: int, resumable: bool) -> None:
        """Records that a trial has ended or is paused."""
        self._allocator.end(trial_id)
        if not resumable:
            self._halving.forget(trial_id)

    def report(self, trial_id: int, resource: float, value: float, now_s: float) -> Reason | None:
        """Compares a trial with the rungs that it has passed."""
        self._allocator.report(trial_id, value, resource)
        if not self._halving.report(trial_id, resource, value):
            return None
        if value == math.inf:
            return NOT_FINITE
        if self._is_spared(trial_id):
            self._halving.pardon(trial_id)
            return None
        return self._halving.why_weak(trial_id)

    def _is_spared(self, trial_id: int) -> bool:
        """Whether a weak trial goes on, since no other trial could use its devices."""
        if self._admission_open:
            return self._all_suggested and not self._halving.is_outdone(trial_id)
        # What the paper leaves open: without the last trial the time that is left would bring nothing.
        return not self._time_is_up or not self._resizing or len(self._allocator) == 1

    def pause(self, trial_id: int) -> None:
        """Pauses a trial at the highest rung where it is weak."""
        self._halving.pause(trial_id)

    def never_resumes(self, trial_id: int) -> bool:
        """Once admission is closed no trial is resumed."""
        return not self._admission_open

    def resize(self, trial_id: int, now_s: float) -> tuple[int, Reason] | None:
        """Applies the resize rule, once admission is closed."""
        if self._admission_open:
            return None
        held, left_s, in_place_s = self._allocator.held(trial_id), self._deadline_s - now_s, self._times.in_place_cost_s
        launch_cost_s = self._launch_cost_s if in_place_s is None else min(in_place_s, self._launch_cost_s)
        num_devices = self._allocator.resize(trial_id, left_s, launch_cost_s)
        if num_devices is None:
            return None
        rank, speed_up = self._allocator.rank(trial_id), self._allocator.speed_up(trial_id)
        return num_devices, resizing((held, num_devices), rank, len(self._allocator), speed_up, left_s, launch_cost_s)

    def never_resize(self) -> None:
        """No trial can be resized, so the devices of a paused trial stay idle once admission is closed."""
        self._resizing = False

    def limit(self, trial_id: int, num_devices: int, most: int) -> None:
        """Limits a live trial that failed on more devices than ``most``."""
        self._allocator.limit(trial_id, num_devices, most)

    @property
    def _launch_cost_s(self) -> float:
        return 0.0 if self._options.ignore_overhead else self._times.launch_cost_s

    def _time_needed_s(self, cold_starts: bool = False) -> float:
        """What a new trial needs to win; with ``cold_starts`` as in the paper, which takes them for training."""
        if not self._options.job_limit:
            return 0.0
        longest_s, epoch_s = self._times.longest_trial_s, self._times.epoch_time_s
        if not self._options.ignore_overhead and longest_s is not None and not cold_starts:
            # One cold start, which the paper does not speak of, says nothing of how long a new trial has to train.
            trained_s = self._times.longest_training_s
            longest_s = None if trained_s is None else min(longest_s, trained_s + self._launch_cost_s)
        return time_needed_s(longest_s, self._launch_cost_s, self._reduction_factor, self._max_t, epoch_s)
