"""The common part of schedulers that ask another package for configurations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import (
    Categorical,
    Domain,
    FiniteRange,
    Float,
    Integer,
    Ordinal,
    config_space_to_json_dict,
    is_log_space,
)
from syne_tune.optimizer.scheduler import TrialScheduler
from syne_tune.util import dump_json_with_numpy

Asked = TypeVar("Asked")
Theirs = TypeVar("Theirs")


def translated(
    name: str,
    domain: Domain,
    package: str,
    real: Callable[[float, float, bool], Theirs],
    integer: Callable[[int, int, bool], Theirs],
    choice: Callable[[list[Any]], Theirs],
) -> Theirs:
    """A domain in the terms of another package. Ordered values become integers there: the indices of the values.

    Parameters
    ----------
    name, domain
        An entry of a configuration space.
    package
        The package, for the message.
    real, integer
        Called with the bounds, and whether the scale is logarithmic.
    choice
        Called with the values.

    Raises
    ------
    TypeError
        The package does not support such a domain.
    """
    if isinstance(domain, Float):
        return real(domain.lower, domain.upper, is_log_space(domain))
    if isinstance(domain, Integer):
        return integer(domain.lower, domain.upper, is_log_space(domain))
    if isinstance(domain, (FiniteRange, Ordinal)):
        return integer(0, len(ordered_values(domain)) - 1, False)
    if isinstance(domain, Categorical):
        return choice(domain.categories)
    raise TypeError(f"config_space must have domains that {package} supports, but {name!r} is {domain!r}")


def ordered_values(domain: FiniteRange | Ordinal) -> list[Any]:
    """The values whose indices :func:`translated` uses."""
    return list(domain.values if isinstance(domain, FiniteRange) else domain.categories)


class AskedScheduler(TrialScheduler, Generic[Asked]):
    """Keeps which suggestion of the package became which trial, and describes itself to Syne Tune.

    Parameters
    ----------
    config_space
        Configuration space.
    metric, time_attr
        Names in a report: the metric that is optimised, and the resource level.
    max_t
        Maximum resource of a trial.
    do_minimize
        Whether ``metric`` is to be minimised.
    random_seed
        Seed of the scheduler; None: drawn at random.
    """

    def __init__(
        self,
        config_space: Mapping[str, Any],
        metric: str,
        time_attr: str,
        max_t: float,
        do_minimize: bool,
        random_seed: int | None = None,
    ) -> None:
        super().__init__(random_seed=random_seed)
        self.metric, self.time_attr, self.max_t, self.do_minimize = metric, time_attr, max_t, do_minimize
        self.config_space = dict(config_space)
        self._suggested: list[Asked] = []
        self._running: dict[int, Asked] = {}

    def on_trial_add(self, trial: Trial) -> None:
        """Notes that the suggestion has become a trial."""
        self._running[trial.trial_id] = self._suggested.pop(0)

    def metric_names(self) -> list[str]:
        """The metric, in a list with one element."""
        return [self.metric]

    def metric_mode(self) -> str:
        """``"min"`` or ``"max"``."""
        return "min" if self.do_minimize else "max"

    def metadata(self) -> dict[str, Any]:
        """Data stored with the results of an experiment."""
        return {
            "scheduler_name": type(self).__name__,
            "scheduler_kwargs": {"max_t": self.max_t},
            "config_space": dump_json_with_numpy(config_space_to_json_dict(self.config_space)),
            "metric": self.metric,
            "metric_names": self.metric_names(),
            "metric_mode": self.metric_mode(),
        }
