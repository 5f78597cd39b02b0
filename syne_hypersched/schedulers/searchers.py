"""How a scheduler asks any searcher for configurations and tells it results.

``"random_search"`` is a seeded random search of our own, because Syne Tune's draws from NumPy's process-wide
generator and refits with every trial. ``"joint"`` is ours, too. All other searchers are Syne Tune's own. Some of
those draw from process-wide generators as well, so they are called with these generators in states of their own: one
seed gives one sequence, and nobody else's generator moves.
"""

from __future__ import annotations

import inspect
import math
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from syne_tune.config_space import Domain, remove_constant_and_cast
from syne_tune.optimizer.schedulers.searchers.last_value_multi_fidelity_searcher import LastValueMultiFidelitySearcher
from syne_tune.optimizer.schedulers.searchers.searcher_factory import searcher_cls
from syne_tune.optimizer.schedulers.searchers.searcher_factory import searchers as searcher_names

from syne_hypersched._extras import needs_extra
from syne_hypersched.schedulers._arguments import Config, checked_points
from syne_hypersched.schedulers.joint import JointSearcher, has_order

JOINT = "joint"
"""Name of the searcher of our own with a model."""
RANDOM = "random_search"
"""Name of random search."""


class Searcher(Protocol):
    """What a scheduler knows of a searcher. Metric values are finite and to be minimised."""

    def suggest(self) -> Config | None:
        """The next configuration, which may lack the constants of the space; None if there is none left."""
        ...

    def on_trial_result(self, trial_id: int, config: Mapping[str, Any], value: float, resource: float) -> None:
        """Takes the metric value that a trial has reported at a resource level."""
        ...

    def on_trial_diverged(self, trial_id: int, config: Mapping[str, Any]) -> None:
        """Takes that the value of a trial is no longer finite."""
        ...

    def on_trial_end(self, trial_id: int) -> None:
        """Ends a trial that was paused or stopped, or has completed: its last result is the final one."""
        ...

    def on_trial_error(self, trial_id: int) -> None:
        """Ends a trial that has failed."""
        ...


def default_searcher(config_space: Mapping[str, Any]) -> str:
    """The name of the searcher that suits a space: the model, where it has something to learn from neighbours.

    Among choices alone, which are all equally far apart, the model has not been better than random search.
    """
    return JOINT if has_order(config_space) else RANDOM


def make_searcher(
    searcher: str | object,
    config_space: Mapping[str, Any],
    points_to_evaluate: Sequence[Config] | None,
    random_seed: int,
    searcher_kwargs: Mapping[str, Any] | None = None,
    max_t: float = math.inf,
) -> Searcher:
    """The searcher that a scheduler's arguments describe.

    Parameters
    ----------
    searcher
        ``"random_search"``, ``"joint"``, the name of another searcher of Syne Tune, or a searcher object, whose
        ``on_trial_result`` may take a ``resource_level`` or not.
    config_space
        Configuration space: names to domains or constants.
    points_to_evaluate
        Configurations to suggest first, in this order, each with a value for every domain of ``config_space``. Without
        them, ``searcher_kwargs["points_to_evaluate"]`` is used, as by Syne Tune.
    random_seed
        Seed of everything random.
    searcher_kwargs
        More arguments for the class that ``searcher`` names.
    max_t
        Maximum resource of a trial.

    Returns
    -------
    Searcher
        The searcher.

    Raises
    ------
    TypeError
        ``searcher`` is neither a name nor a searcher object, or ``searcher_kwargs`` is unknown to the named class.
    ValueError
        ``searcher`` is an unknown name, or a point does not fit ``config_space``.
    """
    kwargs = dict(searcher_kwargs or {})
    points = kwargs.pop("points_to_evaluate", None) if isinstance(searcher, str) else None
    if points is not None and points_to_evaluate is not None:
        raise ValueError("points_to_evaluate must be given once, but is also in searcher_kwargs")
    points = checked_points(points_to_evaluate if points_to_evaluate is not None else points or [], config_space)
    if not isinstance(searcher, str):
        if kwargs:
            raise TypeError(f"searcher_kwargs must be None when searcher is an object, but got {kwargs!r}")
        return StockSearcher(searcher, config_space, points, random_seed)
    if searcher == JOINT:
        _check_kwargs(searcher, JointSearcher, kwargs)
        if kwargs.get("configs") is not None:
            kwargs["configs"] = checked_points(kwargs["configs"], config_space, "configs")
        explore = RandomSearcher(config_space, [], random_seed)
        return JointSearcher(config_space, points, random_seed, max_t, explore, **kwargs)
    if searcher not in searcher_names:
        raise ValueError(
            f"searcher must be one of {', '.join((*searcher_names, JOINT))} or an object, but got {searcher!r}"
        )
    if searcher == RANDOM:
        if kwargs:
            raise TypeError(f"searcher_kwargs of random_search may only have points_to_evaluate, but got {kwargs!r}")
        return RandomSearcher(config_space, points, random_seed)
    with needs_extra(f"searcher {searcher!r}", "searchers"):
        named = searcher_cls(searcher)
        _check_kwargs(searcher, named, kwargs)
        stock = LastValueMultiFidelitySearcher(
            config_space=dict(config_space), random_seed=random_seed, searcher=named, searcher_kwargs=kwargs
        )
    return StockSearcher(stock, config_space, points, random_seed)


class RandomSearcher:
    """Random search: every hyperparameter is drawn from its domain, independently and with replacement.

    A suggestion costs the same whatever has been suggested or reported before. Parameters as in :func:`make_searcher`.
    """

    def __init__(self, config_space: Mapping[str, Any], points: Sequence[Config], random_seed: int) -> None:
        self._config_space = dict(config_space)
        self._points = _Points(points)
        # Domains draw from a RandomState, whose streams NumPy keeps unchanged from version to version.
        self._random_state = np.random.RandomState(random_seed)

    def suggest(self) -> Config | None:
        """The next point, then a random configuration."""
        point = self._points.pop()
        if point is not None:
            return point
        return {
            name: domain.sample(random_state=self._random_state) if isinstance(domain, Domain) else domain
            for name, domain in self._config_space.items()
        }

    def on_trial_result(self, trial_id: int, config: Mapping[str, Any], value: float, resource: float) -> None:
        """Learns nothing."""

    def on_trial_diverged(self, trial_id: int, config: Mapping[str, Any]) -> None:
        """Learns nothing."""

    def on_trial_end(self, trial_id: int) -> None:
        """Learns nothing."""

    def on_trial_error(self, trial_id: int) -> None:
        """Learns nothing."""


class StockSearcher:
    """A searcher object of Syne Tune, or one with the same methods.

    ``on_trial_result`` is passed on, with ``resource_level`` where it takes it. A searcher that does not is made for
    one value per trial, which Syne Tune hands it by ``on_trial_complete``; it gets the last value of a trial in this
    way when the trial ends. A paused trial ends, too: it may never be resumed.

    Other parameters as in :func:`make_searcher`.

    Parameters
    ----------
    searcher
        The object.

    Raises
    ------
    TypeError
        The object lacks a method of a searcher, or its ``on_trial_result`` does not take ``metric``.
    """

    def __init__(
        self, searcher: Any, config_space: Mapping[str, Any], points: Sequence[Config], random_seed: int
    ) -> None:
        for method in ("suggest", "on_trial_result", "on_trial_complete", "on_trial_error"):
            if not callable(getattr(searcher, method, None)):
                raise TypeError(
                    f"searcher must be a name or a searcher object, but got {searcher!r} without {method}()"
                )
        if not _takes(searcher.on_trial_result, "metric"):
            raise TypeError(
                "searcher must be one for a single objective, whose on_trial_result() takes metric, "
                f"but got {type(searcher).__name__}"
            )
        self.searcher = searcher
        self._config_space = dict(config_space)
        self._points = _Points(points)
        # A searcher that says draws_at_random = False is spared the exchange of generators at each report.
        self._generators = _ProcessWideGenerators(random_seed, getattr(searcher, "draws_at_random", True))
        self._takes_resource_level = _takes(searcher.on_trial_result, "resource_level")
        self._last: dict[int, tuple[Config, float]] = {}

    def suggest(self) -> Config | None:
        """The next point, then what the object suggests."""
        point = self._points.pop()
        if point is not None:
            return point
        with self._generators.installed():
            config: Config | None = self.searcher.suggest()
        return config

    def on_trial_result(self, trial_id: int, config: Mapping[str, Any], value: float, resource: float) -> None:
        """Passes the result on."""
        searched = remove_constant_and_cast(dict(config), self._config_space)
        with self._generators.installed():
            if self._takes_resource_level:
                self.searcher.on_trial_result(trial_id, searched, metric=value, resource_level=resource)
            else:
                self.searcher.on_trial_result(trial_id, searched, metric=value)
                self._last[trial_id] = (searched, value)

    def on_trial_diverged(self, trial_id: int, config: Mapping[str, Any]) -> None:
        """Passes nothing on: models cannot be fitted to a value that is not finite."""

    def on_trial_end(self, trial_id: int) -> None:
        """Passes the last result on as the trial's one result, where the searcher is made for one."""
        last = self._last.pop(trial_id, None)
        if last is not None:
            config, value = last
            with self._generators.installed():
                self.searcher.on_trial_complete(trial_id, config, metric=value)

    def on_trial_error(self, trial_id: int) -> None:
        """Passes the failure on."""
        self._last.pop(trial_id, None)
        with self._generators.installed():
            self.searcher.on_trial_error(trial_id)


class _Points:
    """Points to evaluate, each handed out once and in order."""

    def __init__(self, points: Sequence[Config]) -> None:
        self._points = [dict(point) for point in points]
        self._num_popped = 0

    def pop(self) -> Config | None:
        if self._num_popped == len(self._points):
            return None
        self._num_popped += 1
        return dict(self._points[self._num_popped - 1])


class _ProcessWideGenerators:
    """One searcher's states of Python's, NumPy's and (once it is imported) PyTorch's process-wide generators."""

    def __init__(self, random_seed: int, are_used: bool = True) -> None:
        self._are_used = are_used
        self._random_seed = random_seed
        self._python: Any = random.Random(random_seed).getstate()
        self._numpy: Any = np.random.RandomState(random_seed).get_state()
        self._torch: Any = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Swaps these states in, and afterwards those of the process back in, even after an exception."""
        if not self._are_used:
            yield
            return
        # Whether PyTorch is there is decided on entry: a searcher that imports it inside meets its default state.
        torch = sys.modules.get("torch")
        outer_python, outer_numpy = random.getstate(), np.random.get_state()
        outer_torch = None if torch is None else torch.get_rng_state()
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        if torch is not None:
            if self._torch is None:
                # A generator of its own: torch.manual_seed would move the GPUs' generators, too.
                self._torch = torch.Generator().manual_seed(self._random_seed).get_state().numpy()
            torch.set_rng_state(torch.from_numpy(self._torch))
        try:
            yield
        finally:
            self._python, self._numpy = random.getstate(), np.random.get_state()
            random.setstate(outer_python)
            np.random.set_state(outer_numpy)
            if torch is not None:
                self._torch = torch.get_rng_state().numpy()
                torch.set_rng_state(outer_torch)


def _check_kwargs(name: str, searcher_class: type, kwargs: Mapping[str, Any]) -> None:
    parameters = inspect.signature(searcher_class).parameters
    ours = {"config_space", "random_seed", "points_to_evaluate", "points", "max_t", "explore"}
    known = sorted(set(parameters) - ours)
    unknown = sorted(map(str, kwargs.keys() - set(known)))
    if unknown:
        raise TypeError(f"searcher_kwargs of {name} may only have {', '.join(known)}, but got {', '.join(unknown)}")


def _takes(method: Any, name: str) -> bool:
    parameters = inspect.signature(method).parameters
    return name in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
