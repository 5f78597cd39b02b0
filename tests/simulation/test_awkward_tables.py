"""Tables that are hard for a scheduler: no run crashes or warns of arithmetic, and maximising mirrors minimising.

The tables are categorical, have few configurations, ties, NaN and infinite reports, or trials that fail.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from syne_tune.config_space import choice, finrange, loguniform, ordinal, randint

from syne_hypersched import ASHA, PASHA, HyperSched, LaunchCost, simulate
from syne_hypersched.backends import Failures
from syne_hypersched.blackboxes import TableBlackbox

MAX_T = 9
SCHEDULERS = {
    "default": lambda space, deadline_s, **arguments: HyperSched(
        space, "value", "epoch", MAX_T, num_devices=8, deadline_s=deadline_s, **arguments
    ),
    "published": lambda space, deadline_s, **arguments: HyperSched(
        space, "value", "epoch", MAX_T, num_devices=8, deadline_s=deadline_s, strategy="published", **arguments
    ),
    "stopping": lambda space, deadline_s, **arguments: ASHA(space, "value", "epoch", MAX_T, **arguments),
    "promotion": lambda space, deadline_s, **arguments: ASHA(
        space, "value", "epoch", MAX_T, type="promotion", **arguments
    ),
    "pasha": lambda space, deadline_s, **arguments: PASHA(space, "value", "epoch", MAX_T, **arguments),
}
SPACES = {
    "cells": {f"edge{index}": choice(["none", "skip", "conv1", "conv3", "pool"]) for index in range(3)},
    "265": {"lr": loguniform(1e-4, 1), "layers": randint(1, 5), "width": ordinal([1, 2, 4]), "p": finrange(0, 1, 5)},
    "three": {"kind": choice(["a", "b", "c"])},
}


def configurations(name):
    if name != "265":
        values = [domain.categories for domain in SPACES[name].values()]
        return [dict(zip(SPACES[name], row, strict=True)) for row in itertools.product(*values)]
    random_state = np.random.RandomState(0)
    return [{key: domain.sample(random_state=random_state) for key, domain in SPACES[name].items()} for _ in range(265)]


def with_nan_trials(values, random_state):
    values[random_state.uniform(size=len(values)) < 0.3] = np.nan


def with_nan_reports(values, random_state):
    values[random_state.uniform(size=values.shape) < 0.05] = np.nan


def with_infinities(values, random_state):
    draws = random_state.uniform(size=values.shape)
    values[draws < 0.05], values[draws > 0.95] = np.inf, -np.inf


def diverging(values, random_state):
    values[random_state.uniform(size=len(values)) < 0.4, 3:] = np.nan


def rounded(values, random_state):
    values[:] = np.round(values, 1)


CHANGES = {
    "as they are": lambda values, random_state: None,
    "NaN trials": with_nan_trials,
    "NaN reports": with_nan_reports,
    "only NaN": lambda values, random_state: values.fill(np.nan),
    "infinite reports": with_infinities,
    "diverging trials": diverging,
    "ties": rounded,
    "all alike": lambda values, random_state: values.fill(0.5),
    "huge values": lambda values, random_state: np.multiply(values, 1e300, out=values),
    "tiny values": lambda values, random_state: np.multiply(values, 1e-300, out=values),
}


def make_table(name, change, sign):
    rows, random_state = configurations(name), np.random.RandomState(1)
    quality = random_state.uniform(size=len(rows))[:, None]
    power = random_state.uniform(0.3, 1.0, (len(rows), 1))
    values = quality + np.arange(1, MAX_T + 1) ** -power + random_state.normal(0, 0.02, (len(rows), MAX_T))
    CHANGES[change](values, random_state)
    elapsed_s = np.arange(1, MAX_T + 1) * random_state.uniform(5, 15, (len(rows), 1))
    return TableBlackbox(rows, {"value": sign * values}, elapsed_s, configuration_space=SPACES[name])


def run(scheduler, table, searcher, do_minimize, failures):
    """All reports of a run, without the values, and what it has found."""
    deadline_s = 0.8 * table.full_run_s()
    arguments = {"configs": table.configurations} if searcher == "joint" else None
    made = SCHEDULERS[scheduler](
        table.configuration_space, deadline_s, searcher=searcher, searcher_kwargs=arguments, random_seed=3,
        do_minimize=do_minimize,
    )  # fmt: skip
    simulation = simulate(
        made, table, num_devices=8, deadline_s=deadline_s, launch_cost=LaunchCost(1.0), failures=failures
    )
    return simulation.results.drop(columns="value", errors="ignore").to_csv(), made.incumbent, simulation


def cases():
    """Every change with the default on every table, and the others on the cells; the joint searcher finds out most."""
    for scheduler, table, change in itertools.product(SCHEDULERS, SPACES, CHANGES):
        is_quick = (scheduler == "default" and table == "three") or (table == "cells" and change == "NaN reports")
        is_quick = is_quick or (scheduler, table) == ("stopping", "cells")
        for searcher in ("random_search", "joint"):
            marks = () if is_quick and searcher == "joint" else pytest.mark.slow
            yield pytest.param(scheduler, table, change, searcher, marks=marks)


@pytest.mark.parametrize(("scheduler", "table", "change", "searcher"), list(cases()))
def test_maximising_is_a_mirror_of_minimising(scheduler, table, change, searcher):
    # About one trial in twenty fails.
    failures = Failures(0.05 / MAX_T, seed=1)
    (minimised, best, simulation), (maximised, mirrored, _) = (
        run(scheduler, make_table(table, change, sign), searcher, sign == 1, failures) for sign in (1, -1)
    )
    assert minimised == maximised
    values = simulation.results.value.to_numpy()
    finite = values[np.isfinite(values)]
    assert len(values) >= 3
    assert (best is None) == (len(finite) == 0)
    if best is not None:
        assert (best.trial_id, best.resource, best.value) == (mirrored.trial_id, mirrored.resource, mirrored.value)
        assert best.value == finite.min()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_failing_trials_cost_only_themselves(scheduler):
    table = make_table("cells", "as they are", 1)
    _, best, simulation = run(scheduler, table, "joint", True, Failures(0.02, seed=1))
    _, _, without = run(scheduler, table, "joint", True, None)
    assert math.isfinite(best.value)
    # Devices of trials that have failed go on with others.
    assert simulation.utilisation > 0.7 * without.utilisation
    assert simulation.num_trials >= without.num_trials / 2
