"""The adaptive strategy of HyperSched: explore on one device each, then a last stretch on all devices for the best.

*Exploring*: every trial holds one device; weak ones are paused at dense rungs, see :class:`PausingHalving`. *Last
stretch*: nothing new starts, and ever fewer of the best trials, running or paused, share the devices, see
:mod:`~syne_hypersched.allocation.stretch`. When it begins and how many trials go on follows from the time left, the
measured epoch times and launch costs, and the scaling.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from syne_hypersched._wording import seconds_text
from syne_hypersched.allocation import stretch
from syne_hypersched.allocation.forecast import mean_devices
from syne_hypersched.allocation.goodput import Outlook, Rates, allocate_goodput
from syne_hypersched.allocation.policies import GOODPUT, Policy, allocate
from syne_hypersched.allocation.scaling import LearntScaling, LinearScaling, Scaling
from syne_hypersched.allocation.timing import TrialTimes
from syne_hypersched.schedulers._reasons import NOT_FINITE, Reason, because, resizing
from syne_hypersched.schedulers.hypersched._last_stretch import LastStretch
from syne_hypersched.schedulers.hypersched._options import Adaptive
from syne_hypersched.schedulers.hypersched._paused import PausedTrials
from syne_hypersched.schedulers.hypersched._pausing import PausingHalving
from syne_hypersched.schedulers.hypersched._strategy import Strategy

POLICIES = ("uniform", "top_job", GOODPUT, "none")
"""How survivors share the devices in the last stretch: equally, the best first, or by the progress that devices bring.
``none``: no last stretch, exploration until the deadline."""


class AdaptiveStrategy(Strategy):
    """See the module.

    Parameters
    ----------
    times
        Times of the trials, which the scheduler keeps up to date.
    scaling
        Speed-up of a trial by number of devices, given or learnt.
    halving
        The rule for weak trials while exploring.
    num_devices
        Devices that all trials hold together.
    deadline_s
        Seconds after the start.
    max_t
        Maximum resource of a trial.
    policy
        One of :const:`POLICIES`.
    rates
        For ``goodput``: gives the resource per second of a trial on 1 to ``num_devices`` devices, or None.
    options
        The user's options of this strategy.
    """

    #: What :attr:`_full_size` has found, and for which sizes.
    _shares: tuple[tuple[int, ...], stretch.Shares] | None = None

    def __init__(
        self,
        times: TrialTimes,
        scaling: Scaling,
        halving: PausingHalving,
        num_devices: int,
        deadline_s: float,
        max_t: float,
        policy: Policy = "uniform",
        rates: Callable[[int], Rates | None] | None = None,
        options: Adaptive = Adaptive(),  # noqa: B008 (frozen)
    ) -> None:
        self._times = times
        self._scaling = scaling
        self._halving = halving
        #: All devices, and the devices available now for planning: at least one, for trials that wait.
        self._num_nominal = self._num_devices = num_devices
        self._deadline_s = deadline_s
        self._max_t = max_t
        self._policy = policy
        self._rates = rates
        self._options = options
        self._resizing = policy != "none"
        self._devices: dict[int, int] = {}
        #: Most devices on which a live trial can run, where it has failed on more.
        self._most: dict[int, int] = {}
        #: Best value so far of every trial that has not ended.
        self._best: dict[int, float] = {}
        #: Resource that each of them has reported.
        self._resource: dict[int, float] = {}
        self._paused = PausedTrials(self._devices, self._best)
        self._stretch: LastStretch | None = None
        self._closed = False
        #: Whether the searcher has no further configuration.
        self._all_suggested = False

    def __contains__(self, trial_id: object) -> bool:
        return trial_id in self._devices

    @property
    def allocation(self) -> dict[int, int]:
        """Devices that each live trial holds, or has been asked to go on with."""
        return dict(self._devices)

    @property
    def num_free(self) -> int:
        """Devices that no live trial holds when all are there."""
        return self._num_nominal - sum(self._devices.values())

    def set_present(self, num_devices: int, now_s: float) -> None:
        """Plans with another number of devices; a last stretch that has begun is planned anew for the time left."""
        self._num_devices = max(1, num_devices)
        if self._stretch is None:
            return
        shares, left_s = self._full_size, max(0.0, self._deadline_s - now_s)
        # Where trials cannot grow, as many go on as there are shares: the last stage of any plan.
        plan = stretch.stages(left_s, shares.size, self._times.relaunch_cost_s) or stretch.SURVIVORS[-1:]
        most = stretch.num_survivors(plan, 0.0, self._num_devices, shares.size)
        paused = sorted({*self._stretch.paused, *self._paused.take(most)})
        self._stretch = LastStretch(now_s, shares.size, plan, paused)

    @property
    def admission_open(self) -> bool:
        """Whether new trials may still start; none starts in the last stretch."""
        return not self._closed and self._stretch is None

    def close_if_due(self, now_s: float) -> Reason | None:
        """Begins the last stretch when it is time."""
        epoch_time_s = self._times.typical_epoch_time_s
        if not self._resizing or self._stretch is not None or epoch_time_s is None:
            return None
        shares, left_s, launch_cost_s = self._planned_size(now_s), self._deadline_s - now_s, self._times.relaunch_cost_s
        if not stretch.begins(
            left_s, self._deadline_s, self._max_t * epoch_time_s, shares, launch_cost_s, self._options.longest_stretch
        ):
            return None
        reason = self._stretch_reason(now_s, epoch_time_s)
        plan = stretch.stages(left_s, shares.size, launch_cost_s)
        most = stretch.num_survivors(plan, 0.0, self._num_devices, shares.size)
        self._stretch = LastStretch(now_s, shares.size, plan, self._paused.take(most))
        return None if self._closed else reason

    def admission(self, now_s: float) -> Reason:
        """When the last stretch begins, according to the measurements so far."""
        epoch_time_s = self._times.typical_epoch_time_s
        if self._resizing and epoch_time_s is not None:
            return self._stretch_reason(now_s, epoch_time_s)
        text = "no epoch time is known yet" if self._resizing else "no trial is resized, so there is no last stretch"
        return because(text, time_left_s=self._deadline_s - now_s)

    def _stretch_reason(self, now_s: float, epoch_time_s: float) -> Reason:
        shares, left_s, full_run_s = self._planned_size(now_s), self._deadline_s - now_s, self._max_t * epoch_time_s
        launch_cost_s = self._times.relaunch_cost_s
        planned_s = stretch.planned_s(self._deadline_s, full_run_s, shares.speed_up, self._options.longest_stretch)
        if not stretch.worthwhile(min(left_s, planned_s), shares, launch_cost_s):
            outcome = "there is no last stretch, since it would not pay"
        elif left_s > planned_s:
            outcome = f"the last stretch begins with {seconds_text(planned_s, 3)} s left"
        else:
            outcome = "the last stretch begins"
        left, whole, launch = (seconds_text(seconds, 3) for seconds in (left_s, full_run_s, launch_cost_s))
        return because(
            f"{outcome}: {left} s are left, a full run takes {whole} s on one device and {shares.speed_up:.3g} times "
            f"less on {shares.size}, and a launch costs {launch} s",
            time_left_s=left_s, stretch_s=planned_s, epoch_time_s=epoch_time_s, full_run_s=full_run_s,
            full_size=shares.size, speed_up=shares.speed_up, launch_cost_s=launch_cost_s,
        )  # fmt: skip

    def _planned_size(self, now_s: float) -> stretch.Shares:
        """Full size by what is known beforehand of the devices until the deadline, if anything is."""
        known = self._options.devices_over_time
        if not known:
            return self._full_size
        mean = mean_devices(known, self._num_nominal, now_s, self._deadline_s)
        return stretch.full_size(self._scaling, max(1, round(mean)), self._options.max_devices)

    @property
    def _full_size(self) -> stretch.Shares:
        # Asked for at each report. The sizes are another object as soon as the speed-ups change.
        sizes = self._scaling.usable_sizes(self._num_devices)
        if self._shares is None or self._shares[0] is not sizes:
            self._shares = sizes, stretch.full_size(self._scaling, self._num_devices, self._options.max_devices)
        return self._shares[1]

    def close(self) -> None:
        """Nothing starts or is resumed any more."""
        self._closed = True

    def set_deadline(self, deadline_s: float, reopen: bool) -> None:
        """Takes another deadline; with ``reopen`` it goes on exploring."""
        self._deadline_s = deadline_s
        if not reopen:
            return
        for pause in () if self._stretch is None else self._stretch.paused:
            self._paused.add(pause)
        self._stretch, self._closed = None, False
        self._devices.update(dict.fromkeys(self._devices, 1))

    def stretch_s(self, now_s: float) -> float | None:
        """As long as planned, and at most a share of the time that has passed at its end."""
        epoch_s, longest = self._times.typical_epoch_time_s, self._options.longest_stretch
        if self._stretch is not None or self._closed or epoch_s is None or not self._resizing:
            return 0.0 if not self._resizing else None
        shares, cost_s = self._planned_size(now_s), self._times.relaunch_cost_s
        return stretch.length_from_now_s(
            now_s, self._deadline_s - now_s, self._max_t * epoch_s, shares, cost_s, longest
        )

    def next_paused(self, now_s: float) -> tuple[int, Reason] | None:
        """While exploring a trial that is no longer weak; in the last stretch a paused survivor."""
        if self._closed:
            return None
        if self._stretch is None:
            trial_id = self._halving.promotable()
            return None if trial_id is None else (trial_id, because("no longer weak at its rung"))
        survivors = self._survivors(self._stretch, now_s)
        for rank, trial_id in enumerate(survivors, start=1):
            if trial_id not in self._devices:
                text = f"rank {rank} of {len(survivors)} survivors of the last stretch"
                return trial_id, because(text, rank=rank, num_survivors=len(survivors))
        return None

    def next_weak(self, now_s: float) -> tuple[int, Reason] | None:
        """While exploring, the paused trial with the best value."""
        self._all_suggested = True
        best = self._paused.first() if self.admission_open else None
        return None if best is None else (best[1], because("the best paused trial, and there is nothing new to start"))

    def begin(self, trial_id: int) -> None:
        """A trial is started or resumed, on one device."""
        if self.num_free < 1:
            raise ValueError(
                f"num_devices must be at least the tuner's n_workers, but trial {trial_id} is to run beside "
                f"{self.allocation} (devices by trial) and num_devices is {self._num_nominal}"
            )
        self._devices[trial_id] = 1
        self._halving.forget(trial_id)

    def end(self, trial_id: int, resumable: bool) -> None:
        """A trial has ended or is paused."""
        self._devices.pop(trial_id, None)
        self._most.pop(trial_id, None)
        if not resumable:
            self._halving.forget(trial_id)
            self._best.pop(trial_id, None)
            self._resource.pop(trial_id, None)
        elif trial_id in self._best:
            self._paused.add((self._best[trial_id], trial_id))

    def report(self, trial_id: int, resource: float, value: float, now_s: float) -> Reason | None:
        """Compares a trial with its rung while exploring, and with the other survivors in the last stretch."""
        self._resource[trial_id] = resource
        # A trial that has diverged is never resumed, however good it was before.
        self._best[trial_id] = min(value, self._best.get(trial_id, math.inf)) if value < math.inf else math.inf
        weak = self._halving.report(trial_id, resource, value)
        if value == math.inf:
            return NOT_FINITE
        if self._stretch is None:
            if weak and self._is_spared(trial_id):
                self._halving.forget(trial_id)
                return None
            return self._halving.why_weak(trial_id) if weak else None
        survivors = self._survivors(self._stretch, now_s)
        if trial_id in survivors:
            return None
        rank = self._ranked(self._stretch).index(trial_id) + 1
        return because(
            f"rank {rank}, not among the best {len(survivors)} in the last stretch",
            rank=rank,
            num_survivors=len(survivors),
            time_left_s=self._deadline_s - now_s,
        )

    def pause(self, trial_id: int) -> None:
        """Pauses a weak trial at its rung."""
        if self._stretch is None:
            self._halving.pause(trial_id)

    def never_resumes(self, trial_id: int) -> bool:
        """In the last stretch, if it was not among the best paused ones when that began."""
        return self._closed or (self._stretch is not None and trial_id not in self._stretch.resumable)

    def resize(self, trial_id: int, now_s: float) -> tuple[int, Reason] | None:
        """The number that the policy gives in the last stretch, or when nothing more can start, if it pays off."""
        if self._stretch is not None:
            survivors, full_size = self._survivors(self._stretch, now_s), self._stretch.size
        elif self._closed and self._resizing and self._times.typical_epoch_time_s is not None:
            survivors = sorted(self._devices, key=lambda i: (self._best.get(i, math.inf), i))
            full_size = self._full_size.size
        else:
            return None
        held = self._devices[trial_id]
        left_s, launch_cost_s, aim = self._deadline_s - now_s, self._times.resize_cost_s, ""
        wanted = self._share(trial_id, survivors, full_size, left_s, launch_cost_s)
        wanted = min(wanted, self._most.get(trial_id, wanted))
        if wanted > held:
            if not self._may_grow(trial_id):
                return None
            promised = 0 if self._closed else sum(i not in self._devices for i in survivors)
            num_free = self._num_devices - sum(self._devices.values())
            wanted = min(wanted, held + max(0, num_free - promised))
            wanted = max(size for size in self._scaling.usable_sizes(max(wanted, 1)) if size <= wanted)
            speed_ups = self._scaling.speed_up(held), self._scaling.speed_up(wanted)
            if wanted <= held or not stretch.pays(*speed_ups, left_s, launch_cost_s):
                return None
            aim = "" if self._scaling_is_known else ", and shows what more devices are worth"
        if wanted == held:
            return None
        self._devices[trial_id] = wanted
        return wanted, resizing(
            (held, wanted),
            survivors.index(trial_id) + 1,
            len(survivors),
            self._scaling.speed_up,
            left_s,
            launch_cost_s,
            aim,
        )

    def limit(self, trial_id: int, num_devices: int, most: int) -> None:
        """A live trial has failed on more devices than ``most``."""
        self._most[trial_id] = most
        if self._devices[trial_id] > most:
            self._devices[trial_id] = num_devices

    def _share(self, trial_id: int, survivors: list[int], most: int, left_s: float, launch_cost_s: float) -> int:
        """Devices that the policy gives one of the survivors, at most ``most``."""
        if len(survivors) > self._num_devices:
            return 1  # devices have gone, and some of them wait
        if self._policy == "uniform":
            # Unlike the policy of the published rules it leaves a remainder idle, rather than have it change hands, a
            # launch each time, whenever two survivors change places.
            return min(most, self._num_devices // len(survivors))
        sizes = self._scaling.usable_sizes(most)
        values = {survivor: self._best.get(survivor) for survivor in survivors}
        if self._rates is None:
            return allocate(self._policy, values, self._num_devices, sizes)[trial_id]
        outlooks = {
            survivor: Outlook(self._devices[survivor], self._resource[survivor], rates)
            for survivor in survivors
            if survivor in self._devices and (rates := self._rates(survivor)) is not None
        }
        return allocate_goodput(values, outlooks, self._num_devices, sizes, self._max_t, left_s, launch_cost_s)[
            trial_id
        ]

    def _may_grow(self, trial_id: int) -> bool:
        """With unknown scaling, one trial at a time measures the speed-up; its epoch time must be known."""
        if self._scaling_is_known:
            return True
        is_probing = any(num_devices > 1 for num_devices in self._devices.values())
        return not is_probing and self._times.learnt.epoch_time_s(trial_id, 1) is not None

    @property
    def _scaling_is_known(self) -> bool:
        return not isinstance(self._scaling, LearntScaling) or self._scaling.is_measured

    def never_resizes_because(self) -> str | None:
        """Devices, or their scaling, for which the last stretch would not pay even if launches cost nothing."""
        shares = self._full_size
        known = "" if self._scaling_is_known else " at best"
        if not self._scaling_is_known:
            shares = stretch.full_size(LinearScaling(), self._num_devices, self._options.max_devices)
        if not self._resizing or self._num_devices < 2 or stretch.worthwhile(self._deadline_s, shares, 0.0):
            return None
        return (
            f"with num_devices={self._num_devices}, {shares.in_words}, "
            f"{shares.speed_up:.3g} times as fast as one device{known}, would make "
            f"{shares.number * shares.speed_up:.3g} times the progress of one trial on one device. Below "
            f"{stretch.LEAST_PROGRESS:g} times it is better to go on exploring on one device each"
        )

    def never_resize(self) -> None:
        """Explores until the deadline: a last stretch pays only with trials that can be resized."""
        self._resizing, self._stretch = False, None

    def _is_spared(self, trial_id: int) -> bool:
        """Whether a weak trial goes on because no new trial can use its device and no paused trial is better."""
        if self._closed or not self._all_suggested:
            return self._closed
        best = self._paused.first()
        return best is None or best[0] >= self._best[trial_id]

    def _survivors(self, last: LastStretch, now_s: float) -> list[int]:
        """The best trials, best first: running ones and, as long as the tuner asks, paused ones."""
        length_s = self._deadline_s - last.began_s
        passed = min(1.0, (now_s - last.began_s) / length_s) if length_s > 0 else 1.0
        most = stretch.num_survivors(last.plan, passed, self._num_devices, last.size)
        ranked = self._ranked(last)[:most]
        return [i for i in ranked if i in self._devices or self._best[i] < math.inf]

    def _ranked(self, last: LastStretch) -> list[int]:
        """All trials that may yet be survivors, best first."""
        candidates = [(self._best.get(i, math.inf), i) for i in self._devices]
        if not self._closed:
            candidates += [entry for entry in last.paused if entry[1] in self._best and entry[1] not in self._devices]
        return [trial_id for _, trial_id in sorted(candidates)]
