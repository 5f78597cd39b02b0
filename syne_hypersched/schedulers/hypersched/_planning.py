"""A scheduler that plans with devices and a deadline, which its backend may be the one to know."""

from __future__ import annotations

from typing import Any

from syne_tune.backend.trial_status import Trial

from syne_hypersched.allocation.policies import Policy
from syne_hypersched.allocation.scaling import check_scaling, make_scaling
from syne_hypersched.allocation.timing import TrialTimes
from syne_hypersched.schedulers._checkpoints import NeededCheckpoints
from syne_hypersched.schedulers._consistency import agree_on_deadline, agree_on_devices
from syne_hypersched.schedulers._reasons import Reason, because
from syne_hypersched.schedulers.hypersched._explained import ExplainedScheduler
from syne_hypersched.schedulers.hypersched._options import Adaptive, Options, described
from syne_hypersched.schedulers.hypersched._strategies import PAUSED_PER_DEVICE, make_strategy


class PlanningScheduler(ExplainedScheduler):
    """The part of :class:`~syne_hypersched.HyperSched` that makes its strategy."""

    #: Any of the two is None until the first trial is added, if it is for the backend to say.
    num_devices: Any
    deadline_s: Any
    policy: Policy
    options: Options
    scaling: dict[int, float] | None
    _times: TrialTimes
    #: What the strategy is made of, scaling and first rung, until it is made.
    _unplanned: tuple[Any, float | None] | None
    #: The arguments as they were given, where some were filled in later.
    _given: dict[str, Any] | None
    _has_agreed: bool
    #: Devices that are there now, of those that the strategy was made for.
    _num_present: int

    @property
    def admission_open(self) -> bool:
        """Whether new trials may still start."""
        return self._unplanned is not None or self._strategy.admission_open

    @property
    def allocation(self) -> dict[int, int]:
        """Devices that each live trial holds, or has been asked to go on with."""
        return {} if self._unplanned is not None else self._strategy.allocation

    def _admission(self) -> Reason:
        return because("no trial has started yet") if self._unplanned is not None else super()._admission()

    def metadata(self) -> dict[str, Any]:
        """See :class:`~syne_hypersched.schedulers.base.MultiFidelityScheduler`; a default is what it was at first."""
        metadata = super().metadata()
        kwargs = dict(self._given if self._given is not None else metadata["scheduler_kwargs"])
        return metadata | {"scheduler_kwargs": kwargs | {"strategy": described(self.options)}}

    def _prepare(self, scaling: Any, first_rung: float | None) -> None:
        """Makes the strategy, if it is known how many devices and how much time there are, else when it is.

        Parameters
        ----------
        scaling
            As it was given.
        first_rung
            Level of the first rung, None for the strategy's own choice.
        """
        check_scaling(scaling)
        self.scaling = None
        self._unplanned, self._given, self._has_agreed = (scaling, first_rung), None, False
        if self.num_devices is not None and self.deadline_s is not None:
            self._plan()

    def _agree(self, trial: Trial) -> None:
        """The first trial is added: compares with what its backend was told, and takes from it what was left open."""
        if self._has_agreed:
            return
        if self._unplanned is not None:
            self._given = super().metadata()["scheduler_kwargs"]
        self.num_devices = agree_on_devices(trial, self.num_devices)
        self.deadline_s = agree_on_deadline(trial, self.deadline_s)
        self._has_agreed = True
        if self._unplanned is not None:
            self._plan()

    def _plan(self) -> None:
        assert self._unplanned is not None
        (scaling, first_rung), self._unplanned = self._unplanned, None
        if self.max_paused is None and isinstance(self.options, Adaptive):
            self.max_paused = PAUSED_PER_DEVICE * self.num_devices
            self._checkpoints = NeededCheckpoints(self.max_paused)
        given = make_scaling(scaling, self.num_devices, learnt=self._times.learnt)
        # A callable is asked once and not kept: the state must survive dill, and metadata is JSON.
        self.scaling = None if scaling is None else {n: given.speed_up(n) for n in range(1, self.num_devices + 1)}
        self._num_present = self.num_devices
        self._strategy = make_strategy(
            self.options,
            num_devices=self.num_devices,
            deadline_s=self.deadline_s,
            max_t=self.max_t,
            policy=self.policy,
            grace_period=first_rung,
            reduction_factor=self.reduction_factor,
            random_state=self.random_state,
            times=self._times,
            scaling=given,
        )
