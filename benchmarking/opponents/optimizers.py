"""Optimisers of other packages, each with its defaults: DEHB, SMAC with Hyperband, and NePS."""

from __future__ import annotations

import atexit
import importlib.metadata
import logging
import random
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from syne_tune.config_space import Categorical, Domain, FiniteRange, Integer, Ordinal

from benchmarking.opponents.ask_and_tell import Job, Optimizer
from syne_hypersched.comparison.asked import ordered_values, translated


class Space:
    """A configuration space of Syne Tune, as one of the package ConfigSpace.

    Ordered values are integers there, which count them.
    """

    def __init__(self, config_space: Mapping[str, Any], seed: int) -> None:
        import ConfigSpace

        self._config_space = dict(config_space)
        self.theirs = ConfigSpace.ConfigurationSpace(seed=seed)
        for name, domain in config_space.items():
            if isinstance(domain, Domain):
                self.theirs.add(self._entry(ConfigSpace, name, domain))

    @staticmethod
    def _entry(package: Any, name: str, domain: Domain) -> Any:
        return translated(
            name,
            domain,
            "ConfigSpace",
            lambda low, high, log: package.Float(name, (low, high), log=log),
            lambda low, high, log: package.Integer(name, (low, high), log=log),
            lambda values: package.Categorical(name, list(range(len(values)))),
        )

    def config(self, theirs: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration in terms of Syne Tune."""
        return {
            name: _value_of(domain, theirs[name]) if isinstance(domain, Domain) else domain
            for name, domain in self._config_space.items()
        }


def _value_of(domain: Domain, value: Any) -> Any:
    """A value of another package in terms of Syne Tune."""
    if isinstance(domain, (FiniteRange, Ordinal)):
        return ordered_values(domain)[int(value)]
    if isinstance(domain, Categorical):
        return domain.categories[int(value)]
    return int(value) if isinstance(domain, Integer) else float(value)


class Dehb:
    """DEHB (Awad et al., IJCAI 2021): Hyperband whose configurations evolve at each level."""

    def __init__(self, config_space: Mapping[str, Any], min_t: float, max_t: float, seed: int, folder: str) -> None:
        from dehb import DEHB
        from loguru import logger

        logger.remove()
        self._space = Space(config_space, seed)
        self._dehb = DEHB(
            cs=self._space.theirs,
            min_fidelity=min_t,
            max_fidelity=max_t,
            seed=seed,
            n_workers=1,
            save_freq="end",
            output_path=folder,
            log_level="ERROR",
        )

    def ask(self) -> Job:
        """The next job of its brackets, of which it begins a new one where all wait."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            asked = self._dehb.ask()
        return Job(self._space.config(dict(asked["config"])), float(asked["fidelity"]), asked["config_id"], asked)

    def tell(self, job: Job, value: float, seconds: float) -> None:
        """Takes the value."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self._dehb.tell(job.handle, {"fitness": value, "cost": seconds})


class Smac:
    """SMAC (Lindauer et al., JMLR 2022) with Hyperband: its ``MultiFidelityFacade``."""

    def __init__(self, config_space: Mapping[str, Any], min_t: float, max_t: float, seed: int, folder: str) -> None:
        from smac import MultiFidelityFacade, Scenario

        self._space = Space(config_space, seed)
        scenario = Scenario(
            self._space.theirs,
            output_directory=folder,
            deterministic=True,
            n_trials=10**6,
            min_budget=min_t,
            max_budget=max_t,
            seed=seed,
        )
        # Its default is a share of the number of trials, which nobody knows under a deadline.
        design = MultiFidelityFacade.get_initial_design(scenario, n_configs=10)
        self._smac = MultiFidelityFacade(
            scenario, lambda config, seed, budget: 0.0, initial_design=design, logging_level=False, overwrite=True
        )

    def ask(self) -> Job | None:
        """The next job of its intensifier."""
        try:
            asked = self._smac.ask()
        except StopIteration:
            return None
        return Job(self._space.config(dict(asked.config)), float(asked.budget), asked.config, asked)

    def tell(self, job: Job, value: float, seconds: float) -> None:
        """Takes the value."""
        from smac.runhistory.dataclasses import TrialValue

        self._smac.tell(job.handle, TrialValue(cost=value, time=seconds))


class Neps:
    """NePS with what it chooses for a space without priors that has a fidelity: Hyperband (Li et al., JMLR 2018).

    Its ifBO needs weights from a server, and its other models need priors or ignore the fidelity. Random numbers are
    those of the process: one optimiser at a time.
    """

    def __init__(self, config_space: Mapping[str, Any], min_t: float, max_t: float, seed: int, folder: str) -> None:
        import neps
        import numpy as np
        import torch

        del folder  # it writes nothing
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self._space = dict(config_space)
        #: Its names must be those of attributes, in an order of their own.
        searched = (name for name, domain in self._space.items() if isinstance(domain, Domain))
        self._names = {f"p{index}": name for index, name in enumerate(searched)}
        entries = {ours: self._entry(neps, name, self._space[name]) for ours, name in self._names.items()}
        theirs = type("Space", (neps.PipelineSpace,), entries | {"level": neps.FloatFidelity(min_t, max_t)})
        self._neps = neps.optimizers.ask_and_tell.AskAndTell(neps.algorithms.hyperband(theirs(), eta=3))

    @staticmethod
    def _entry(neps: Any, name: str, domain: Domain) -> Any:
        return translated(
            name,
            domain,
            "NePS",
            lambda low, high, log: neps.Float(low, high, log=log),
            lambda low, high, log: neps.Integer(low, high, log=log),
            lambda values: neps.Categorical(tuple(range(len(values)))),
        )

    def ask(self) -> Job:
        """The next job of its brackets, of which it begins a new one where all wait."""
        asked = self._neps.ask()
        values = {self._names[ours]: value for ours, value in asked.config.items() if ours in self._names}
        config = {
            name: _value_of(domain, values[name]) if isinstance(domain, Domain) else domain
            for name, domain in self._space.items()
        }
        key = asked.metadata.id.partition("_rung_")[0]
        return Job(config, float(asked.config["level"]), key, asked.metadata.id)

    def tell(self, job: Job, value: float, seconds: float) -> None:
        """Takes the value."""
        self._neps.tell(job.handle, {"objective_to_minimize": value, "cost": seconds})


OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {"dehb": Dehb, "smac": Smac, "neps": Neps}
#: The packages that are not called as their optimiser is.
_PACKAGES = {"neps": "neural-pipeline-search"}
LATE = "-late"
"""At the end of a name: the first rung is at a ninth of the last level, so that there are three rungs."""
NAMES = tuple(name + end for name in OPTIMIZERS for end in ("", LATE))


def make_optimizer(
    name: str, config_space: Mapping[str, Any], first_level: float, max_t: float, seed: int
) -> Optimizer:
    """The optimiser of a name of :const:`NAMES`.

    Parameters
    ----------
    name
        The name.
    config_space
        Configuration space.
    first_level, max_t
        First and last level of a trial.
    seed
        Seed of everything random.

    Raises
    ------
    ModuleNotFoundError
        Its package is not installed.
    """
    folder = tempfile.mkdtemp(prefix="opponents-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    logging.getLogger("smac").setLevel(logging.ERROR)
    min_t = max(first_level, max_t / 9) if name.endswith(LATE) else first_level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return OPTIMIZERS[name.removesuffix(LATE)](config_space, min_t, max_t, seed, folder)


def versions(names: Sequence[str]) -> dict[str, str]:
    """The versions of the packages of optimisers."""
    packages = dict.fromkeys(name.removesuffix(LATE) for name in names)
    return {package: importlib.metadata.version(_PACKAGES.get(package, package)) for package in packages}
