from __future__ import annotations

import random
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import dill
import numpy as np
import pytest
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice, loguniform, ordinal, randint
from syne_tune.optimizer.schedulers.searchers.multi_fidelity_searcher import IndependentMultiFidelitySearcher
from syne_tune.optimizer.schedulers.searchers.random_searcher import MultiObjectiveRandomSearcher
from syne_tune.optimizer.schedulers.searchers.random_searcher import RandomSearcher as StockRandomSearcher

from syne_hypersched import HyperSched
from syne_hypersched.schedulers.searchers import Searcher, default_searcher, make_searcher
from tests.schedulers.families import FAMILIES

SPACE = {"lr": loguniform(1e-4, 1), "n": randint(1, 9), "c": choice(["a", "b"]), "constant": 7}
POINTS = [{"lr": 0.5, "n": 2, "c": "b"}, {"lr": 0.25, "n": 9, "c": "a"}]
NAMES = ["random_search", "kde", "regularized_evolution", "bore"]
SEED = 3


def play(searcher: Searcher, num_trials: int, dill_at: int | None = None) -> list[dict[str, Any] | None]:
    configs = []
    for trial_id in range(num_trials):
        if trial_id == dill_at:
            searcher = dill.loads(dill.dumps(searcher))
        config = searcher.suggest()
        assert config is not None
        configs.append(config)
        for epoch in (1, 2):
            searcher.on_trial_result(trial_id, config, config["lr"] + 1 / epoch, epoch)
        if trial_id % 5 == 4:
            searcher.on_trial_error(trial_id)
        else:
            searcher.on_trial_end(trial_id)
    return configs


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (SPACE, "joint"),
        ({"lr": loguniform(1e-4, 1)}, "joint"),
        ({"width": ordinal([8, 32, 512]), "c": choice(["a", "b"])}, "joint"),
        ({"c": choice(["a", "b"]), "d": choice([1, 2])}, "random_search"),
        ({"c": choice(["a", "b"]), "n": randint(3, 3), "constant": 0.5}, "random_search"),
    ],
)
def test_the_model_is_the_default_where_a_hyperparameter_has_an_order(space: dict[str, Any], expected: str) -> None:
    assert default_searcher(space) == expected
    arguments: dict[str, Any] = {"max_t": 9, "num_devices": 2, "deadline_s": 60.0}
    assert HyperSched(space, "loss", "epoch", **arguments).searcher == expected
    assert HyperSched(space, "loss", "epoch", strategy="published", **arguments).searcher == "random_search"
    assert HyperSched(space, "loss", "epoch", searcher="random_search", **arguments).searcher == "random_search"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "bore" else ()) for name in NAMES]
)
def test_points_come_first_and_in_order(name: str) -> None:
    configs = play(make_searcher(name, SPACE, POINTS, SEED), 9)
    assert configs[:2] == POINTS
    assert POINTS[0] not in configs[2:]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "bore" else ()) for name in NAMES]
)
def test_one_seed_one_sequence_whatever_the_process_draws(name: str) -> None:
    sequences = []
    for process_seed, dill_at in ((1, None), (2, None), (3, 6)):
        random.seed(process_seed)
        np.random.seed(process_seed)
        states = random.getstate(), np.random.get_state()[1].tolist()
        sequences.append(play(make_searcher(name, SPACE, None, SEED), 9, dill_at))
        assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    assert sequences[0] == sequences[1] == sequences[2]
    assert sequences[0] != play(make_searcher(name, SPACE, None, SEED + 1), 9)


def test_model_based_search_finds_good_configurations() -> None:
    def mean_of_late(name: str) -> float:
        return float(np.mean([config["lr"] for config in play(make_searcher(name, SPACE, None, SEED), 60)[30:]]))

    # Trials are the better the smaller their learning rate, in the sum of which the middle of the log scale is 0.01.
    assert mean_of_late("kde") < mean_of_late("random_search") / 2


def test_draws_cover_every_domain() -> None:
    configs = play(make_searcher("random_search", SPACE, None, SEED), 300)
    assert {config["n"] for config in configs} == set(range(1, 10))
    assert {config["c"] for config in configs} == {"a", "b"}
    assert {config["constant"] for config in configs} == {7}
    rates = np.log10([config["lr"] for config in configs])
    assert -4 <= rates.min() < -3.8
    assert -0.2 < rates.max() <= 0


class DrawsFromEverywhere:
    """A searcher object that uses the process-wide generators, PyTorch's among them."""

    def suggest(self) -> dict[str, Any]:
        import torch

        return {"lr": random.random(), "n": int(np.random.randint(1, 9)), "c": float(torch.rand(()))}

    def on_trial_result(self, trial_id: int, config: dict[str, Any], metric: float) -> None:
        np.random.rand()

    def on_trial_complete(self, trial_id: int, config: dict[str, Any], metric: float) -> None:
        random.random()

    def on_trial_error(self, trial_id: int) -> None:
        raise RuntimeError("the searcher has failed")


def test_an_objects_generators_are_its_own() -> None:
    torch = pytest.importorskip("torch")
    sequences = []
    for process_seed in (1, 2):
        random.seed(process_seed)
        np.random.seed(process_seed)
        torch.manual_seed(process_seed)
        searcher = make_searcher(DrawsFromEverywhere(), SPACE, None, SEED)
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        configs = [searcher.suggest() for _ in range(3)]
        searcher.on_trial_result(0, {"lr": 1.0}, 0.5, 1)
        searcher = dill.loads(dill.dumps(searcher))
        configs += [searcher.suggest() for _ in range(3)]
        with pytest.raises(RuntimeError, match="the searcher has failed"):
            searcher.on_trial_error(0)
        sequences.append(configs)
        assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states
    assert sequences[0] == sequences[1]
    assert len({config["c"] for config in sequences[0]}) == 6


@pytest.mark.slow
def test_searching_does_not_import_pytorch() -> None:
    code = """
import sys
from tests.schedulers.test_searchers import SPACE, make_searcher, play
play(make_searcher("kde", SPACE, None, 3), 8)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_searcher_for_several_fidelities_receives_the_resource_level() -> None:
    stock = IndependentMultiFidelitySearcher(SPACE, searcher="kde", random_seed=1)
    searcher = make_searcher(stock, SPACE, POINTS, SEED)
    assert play(searcher, 10)[:2] == POINTS
    assert list(stock.searchers) == [1, 2]
    assert all(len(level.y) == 10 for level in stock.searchers.values())


def test_a_searcher_for_one_fidelity_receives_the_last_value_of_every_trial_that_did_not_fail() -> None:
    from syne_tune.optimizer.schedulers.searchers.kde import KernelDensityEstimator

    stock = KernelDensityEstimator(SPACE, random_seed=1)
    searcher = make_searcher(stock, SPACE, None, SEED)
    configs = play(searcher, 10)
    told = [config["lr"] + 1 / 2 for trial_id, config in enumerate(configs) if trial_id % 5 != 4]
    np.testing.assert_allclose(stock.y, told)
    searcher.on_trial_end(0)
    assert len(stock.y) == len(told)


def test_an_objects_own_points_come_after_the_schedulers() -> None:
    stock = StockRandomSearcher(SPACE, points_to_evaluate=[POINTS[1]], random_seed=1)
    searcher = make_searcher(stock, SPACE, [POINTS[0]], SEED)
    assert play(searcher, 2) == POINTS


def test_points_may_be_given_as_syne_tune_does() -> None:
    given = {"points_to_evaluate": POINTS}
    assert play(make_searcher("random_search", SPACE, None, SEED, given), 2) == POINTS
    assert given == {"points_to_evaluate": POINTS}
    with pytest.raises(ValueError, match="points_to_evaluate must be given once"):
        make_searcher("random_search", SPACE, POINTS, SEED, given)


@pytest.mark.parametrize(
    ("searcher", "points", "kwargs", "error", "message"),
    [
        ("grid", None, None, ValueError, "searcher must be one of random_search, .* or an object, but got 'grid'"),
        ("random_search", None, {"debug": 1}, TypeError, "searcher_kwargs of random_search may only have points"),
        ("kde", None, {1: 1, "gama": 1}, TypeError, "searcher_kwargs of kde may only have .*, but got 1, gama"),
        ("kde", None, {"gama": 1}, TypeError, "searcher_kwargs of kde may only have .*, but got gama"),
        ("kde", None, {"random_seed": 1}, TypeError, "searcher_kwargs of kde may only have .*, but got random_seed"),
        (42, None, None, TypeError, r"searcher must be a name or a searcher object, but got 42 without suggest\(\)"),
        (DrawsFromEverywhere(), None, {"a": 1}, TypeError, "searcher_kwargs must be None when searcher is an object"),
        (MultiObjectiveRandomSearcher(SPACE, random_seed=1), None, None, TypeError, "for a single objective"),
        ("kde", [{"lr": 0.1}], None, ValueError, r"points_to_evaluate\[0\] .* lacks \['c', 'n'\] and has \[\]"),
        ("kde", [POINTS[0] | {"m": 1}], None, ValueError, r"lacks \[\] and has \['m'\] beyond it"),
        ("kde", [("lr", 0.1)], None, TypeError, r"points_to_evaluate\[0\] must be a dictionary"),
    ],
)
def test_refuses(searcher: Any, points: Any, kwargs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_searcher(searcher, SPACE, points, SEED, kwargs)


def test_named_searchers_take_their_own_arguments() -> None:
    searcher = make_searcher("kde", SPACE, None, SEED, {"top_n_percent": 30})
    assert len(play(searcher, 8)) == 8


@pytest.mark.parametrize("draws", [True, False])
def test_a_searcher_that_draws_nothing_leaves_the_generators_of_the_process_in_place(draws):
    class Looks:
        draws_at_random = draws

        def suggest(self):
            self.state = random.getstate()
            return {"lr": 0.5}

        def on_trial_result(self, trial_id, config, metric):
            pass

        on_trial_complete = on_trial_error = on_trial_result

    looks = Looks()
    outer = random.getstate()
    make_searcher(looks, {"lr": loguniform(0.1, 1)}, None, 0).suggest()
    assert (looks.state == outer) is not draws
    assert random.getstate() == outer


class ForOneValue:
    """A searcher that learns one value of each trial."""

    def __init__(self) -> None:
        self.completed: list[tuple[int, float]] = []

    def suggest(self) -> dict[str, Any]:
        return {"x": 1.0}

    def on_trial_result(self, trial_id: int, config: dict[str, Any], metric: float) -> None:
        pass

    def on_trial_complete(self, trial_id: int, config: dict[str, Any], metric: float) -> None:
        self.completed.append((trial_id, metric))

    def on_trial_error(self, trial_id: int) -> None:
        pass


@pytest.mark.parametrize("name", FAMILIES)
def test_every_scheduler_tells_the_searcher_of_a_trial_that_completes(name: str) -> None:
    searcher = ForOneValue()
    scheduler = FAMILIES[name](searcher=searcher)
    trial = Trial(0, scheduler.suggest().config, datetime(2026, 1, 1))
    scheduler.on_trial_add(trial=trial)
    result = {"loss": 0.25, "epoch": 1, "st_tuner_time": 1.0, "st_worker_time": 1.0}
    scheduler.on_trial_result(trial=trial, result=result)
    assert searcher.completed == []
    scheduler.on_trial_complete(trial=trial, result=result)
    assert searcher.completed == [(0, 0.25)]
