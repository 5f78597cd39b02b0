"""HyperSched: the best model by a deadline, on trials that change their number of devices while they run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from syne_hypersched.allocation.policies import Policy
from syne_hypersched.allocation.scaling import ScalingName
from syne_hypersched.allocation.timing import TrialTimes
from syne_hypersched.checks import integer, plain_number
from syne_hypersched.schedulers.clock import TuningClock
from syne_hypersched.schedulers.decisions import DecisionLog
from syne_hypersched.schedulers.hypersched._deciding import DecidingScheduler
from syne_hypersched.schedulers.hypersched._notices import Notices
from syne_hypersched.schedulers.hypersched._options import (
    FORMER_POSITIONAL,
    MOVED,
    Adaptive,
    FormerAttribute,
    Options,
    StrategyName,
    options_of,
    translated,
)
from syne_hypersched.schedulers.hypersched._pausing import REDUCTION_FACTOR
from syne_hypersched.schedulers.hypersched._spending import Spending
from syne_hypersched.schedulers.hypersched._strategies import check_policy_for
from syne_hypersched.schedulers.searchers import RANDOM, default_searcher
from syne_hypersched.stability import former_arguments


class HyperSched(DecidingScheduler):
    """Maximises the best metric at a deadline, by Liaw et al. (HyperSched, SoCC 2019).

    Example::

        backend = ElasticLocalBackend("train.py", num_devices=8)
        scheduler = HyperSched(space, metric="val_loss", time_attr="epoch", max_t=81, scaling="resnet50")
        Tuner(backend, scheduler, Deadline(3600, trial_backend=backend), n_workers=8).run()

    Trials compete in rungs as in asynchronous successive halving, and a weak one is paused. Once too little time is
    left for a new trial to become the best, admission closes for good, and the devices that paused trials leave are
    given to those still running, which are relaunched from their checkpoints on more devices.

    The *adaptive* strategy explores trials on one device each, and has the best few share all devices in a last
    stretch. When it begins, how many go on, and whether resizing pays at all follows from what is measured (see
    ``docs/adaptive.md``).

    The *published* strategy has the rules of the paper, with the faults of the authors' code mended: a trial without a
    report ranks worst, a paused trial is resumed only if no rung would pause it again at once, the cost of a launch is
    measured as a whole, growing keeps to the allocation grid, no number of devices that slows a trial down is used, and
    there is one clock. Beyond the paper, a trial that reports NaN or an infinity is paused at once and never resumed, a
    report after the deadline stops its trial, the rule for admission does not take a cold start for training (a first
    epoch that nothing can be compared with yet, a first launch that took unusually long), and the last trial that runs
    is not paused when none can be resumed, since the time that is left would bring nothing.

    A searcher may run out of configurations: a grid, a small space, a list of points. Then a free device goes to the
    best paused trial, weak as it is, and a weak trial is paused only for the sake of one that is ahead of it. Where
    there is none for it (more workers than configurations), Syne Tune's tuner asks for no trial to resume from then on.
    Trials then share the devices, and none is paused for being weak until the time is up: until the last stretch
    begins, or admission would have closed.

    A first level of 0 or below, as of a baseline before training, is no unit: the rungs of the adaptive strategy begin
    at twice the first level that is at least one in 2,048 of ``max_t``.

    Parameters
    ----------
    config_space
        Configuration space: names to domains of ``syne_tune.config_space`` or to constants.
    metric
        Entry of a report that is optimised.
    time_attr
        Entry of a report that is the resource level, for example the number of epochs trained.
    max_t
        Maximum resource of a trial, which is stopped there.
    num_devices
        Devices that all trials hold together, at least ``n_workers`` of the tuner. By default those of the backend,
        which must be one of this package's.
    deadline_s
        Seconds after the start of the tuning. Results that come later count for nothing. By default that of the
        :class:`~syne_hypersched.Deadline` that the backend is told of.
    do_minimize
        Whether ``metric`` is to be minimised.
    scaling
        Speed-up of a trial by number of devices: the name of a published table such as ``"resnet50"`` (see
        :data:`~syne_hypersched.allocation.scaling.ScalingName`), ``"linear"``, ``"none"``, a table that contains 1, or
        a callable. By default it is learnt from the epoch times reported; the policy ``"goodput"`` then learns it for
        each trial.
    clock
        Gives the seconds since the start. By default a simulated backend's time where reports carry
        ``st_tuner_time``, else wall time since the first call of :meth:`suggest`.
    policy
        How trials share the devices once nothing new starts: ``"uniform"`` (alike; with the published rules round
        robin, best first), ``"top_job"`` (all to the best trial), ``"none"``, beyond the paper ``"goodput"`` (where
        they bring the most expected progress, see :mod:`~syne_hypersched.allocation.goodput`), and for the published
        rules ``"softmax"`` (in proportion to the exponential of the metric) and ``"random"`` (drawn again when a trial
        comes or goes).
    grace_period
        Level of the lowest rung. By default twice the level of the very first report (see above), and 1 with the
        published rules.
    reduction_factor
        One in this many trials is kept at a rung, by default 3, and 4 with the published rules. Neighbouring rungs of
        the adaptive strategy have the ratio 2, those of the published rules the ratio ``reduction_factor``.
    strategy
        ``"adaptive"`` or ``"published"``, see above, or the same with options of its own: :class:`Adaptive` or
        :class:`PublishedRules`.
    max_paused
        Most paused trials that may be resumed at a time, so that a backend with ``delete_checkpoints=True`` keeps no
        more checkpoints. When there are more, the worst one at the lowest rung is given up. By default ten for each
        device; with the published rules any number, as in the paper.
    searcher
        ``"joint"`` (a model over configuration and resource, see ``docs/searching.md``), ``"random_search"``, another
        name of a Syne Tune searcher (``"kde"``, ``"bore"``, ``"cqr"``, ``"botorch"``,
        ``"regularized_evolution"``), which then learns from the last value of every trial, or a searcher object. By
        default ``"joint"`` where a hyperparameter is a number or has an order, and ``"random_search"`` for choices
        alone and with the published rules.
    searcher_kwargs
        More arguments for the class that ``searcher`` names.
    points_to_evaluate
        Configurations to try first, in this order, each with a value for every domain of ``config_space``.
    random_seed
        Seed of everything random, non-negative. By default it is drawn from the operating system; the metadata has it.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range; the message names it.
    """

    @former_arguments("0.1.0", "0.2.0", positional=FORMER_POSITIONAL, moved=MOVED, translate=translated)
    def __init__(
        self,
        config_space: dict[str, Any],
        metric: str,
        time_attr: str,
        max_t: float,
        num_devices: int | None = None,
        deadline_s: float | None = None,
        *,
        do_minimize: bool = True,
        scaling: ScalingName | Mapping[int, float] | Callable[[int], float] | None = None,
        clock: Callable[[], float] | None = None,
        policy: Policy = "uniform",
        grace_period: float | None = None,
        reduction_factor: float | None = None,
        strategy: StrategyName | Options = "adaptive",
        max_paused: int | None = None,
        searcher: str | object | None = None,
        searcher_kwargs: dict[str, Any] | None = None,
        points_to_evaluate: Sequence[dict[str, Any]] | None = None,
        random_seed: int | None = None,
    ) -> None:
        self.options = options_of(strategy)
        self.strategy = self.options.name
        if reduction_factor is None:
            reduction_factor = REDUCTION_FACTOR if self.strategy == "adaptive" else 4
        super().__init__(
            config_space,
            metric,
            time_attr,
            max_t,
            do_minimize,
            searcher=searcher,
            searcher_kwargs=searcher_kwargs,
            points_to_evaluate=points_to_evaluate,
            random_seed=random_seed,
            grace_period=1 if grace_period is None else grace_period,
            reduction_factor=reduction_factor,
            max_paused=max_paused,
        )
        # Any of the two is None until the first trial is added, if it is for the backend to say.
        self.num_devices: Any = None if num_devices is None else integer("num_devices", num_devices, at_least=1)
        self.deadline_s: Any = None if deadline_s is None else _seconds_after(deadline_s, 0)
        check_policy_for(self.options, policy)
        self.policy = policy
        self._clock = TuningClock(clock)
        self._times = TrialTimes()
        self._decisions = DecisionLog()
        if grace_period is None and self.strategy == "adaptive":
            self._reports.lowest_rung = None
        self._prepare(scaling, None if grace_period is None else self.grace_period)
        self._unheard = {}
        limits = self.options if isinstance(self.options, Adaptive) else Adaptive()
        self._spending = Spending(limits.budget_device_hours, limits.min_gain)
        self._end_s = self._gain_ends_s = math.inf
        self._resizable = True
        self._notices = Notices()
        self._all_suggested = False

    def _searcher_or_default(self, searcher: object) -> object:
        if searcher is not None:
            return searcher
        return RANDOM if self.strategy == "published" else default_searcher(self.config_space)

    def assume_deadline(self, deadline_s: float) -> None:
        """Takes another deadline than that of the constructor, before anything has happened."""
        self.deadline_s = _seconds_after(deadline_s, 0)
        if self._unplanned is None:
            self._strategy.set_deadline(self.deadline_s, reopen=False)

    def extend_deadline(self, deadline_s: float) -> None:
        """Goes on until a later deadline, see :class:`~syne_hypersched.contract.ExtendableScheduler`.

        Admission opens again, and the rule that closes it is applied again. Paused trials that were given up when it
        was closed are not resumed.

        Raises
        ------
        TypeError, ValueError
            ``deadline_s`` is no number, or not later than the deadline.
        """
        self.deadline_s = _seconds_after(deadline_s, self.deadline_s)
        if self._unplanned is not None:
            return
        self._strategy.set_deadline(self.deadline_s, reopen=True)
        self._end_s = self._gain_ends_s = math.inf
        self._decisions.reopen()
        self._notices.reopen()


# What was an argument in version 0.1.0, and so an attribute.
for _name in MOVED:
    setattr(HyperSched, _name, FormerAttribute(_name))


def _seconds_after(deadline_s: float, earlier_s: float) -> float:
    return plain_number("deadline_s", deadline_s, f"a finite number greater than {earlier_s}", above=earlier_s)
