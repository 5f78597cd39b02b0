from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syne_tune.config_space import (
    choice,
    finrange,
    lograndint,
    loguniform,
    ordinal,
    quniform,
    randint,
    reverseloguniform,
    uniform,
)

from syne_hypersched import ASHA, PASHA, HyperSched, simulate
from syne_hypersched.blackboxes import TableBlackbox
from syne_hypersched.recovery._snapshot import Snapshot, dump_snapshot, load_snapshot
from syne_hypersched.schedulers.joint import JointSearcher
from syne_hypersched.schedulers.searchers import make_searcher
from tests.thoroughness import examples

SPACE = {"x": uniform(0, 1), "lr": loguniform(1e-4, 1), "n": randint(1, 8), "kind": choice(["a", "b", "c"]), "k": 3}
MAX_T = 16
ODD_DOMAINS = (
    uniform(-1e308, 1e307), loguniform(1e-300, 1e300), randint(1, 3), lograndint(1, 10**9), choice(["a", "b"]),
    choice([1]), finrange(0.1, 1, 10), ordinal([1, 2, 8, 1000]), reverseloguniform(0.9, 0.999), quniform(0, 1, 0.25),
)  # fmt: skip


def loss(config, level):
    distance = (config["x"] - 0.7) ** 2 + (math.log10(config["lr"]) + 2) ** 2 / 8 + 0.2 * (config["kind"] != "b")
    return distance + 1 / level


def make(space=SPACE, seed=0, points=None, **kwargs) -> JointSearcher:
    searcher = make_searcher("joint", space, points, seed, kwargs, MAX_T)
    assert isinstance(searcher, JointSearcher)
    return searcher


def play(searcher, num_trials, value=loss, levels=(1, 2, 3), first=0) -> list[dict[str, Any]]:
    configs = []
    for trial_id in range(first, first + num_trials):
        config = searcher.suggest()
        configs.append(config)
        for level in levels:
            searcher.on_trial_result(trial_id, config, value(config, level), level)
        searcher.on_trial_end(trial_id)
    return configs


def test_it_finds_good_configurations_from_early_reports():
    late = [loss(config, 1) - 1 for config in play(make(random_share=0), 50)[30:]]
    random = [loss(config, 1) - 1 for config in play(make(random_share=1), 50)[30:]]
    assert np.median(late) < np.median(random) / 5


def test_some_suggestions_are_random_for_ever():
    configs = play(make(random_share=0.5), 80)[40:]
    far = [config for config in configs if config["kind"] != "b"]
    assert 0.2 < len(far) / len(configs) < 0.55


def told(value, seed):
    """A searcher that was told of forty random configurations, and has been asked for one."""
    searcher, random = make(random_share=0, seed=seed), make(random_share=1, seed=seed)
    for trial_id, config in enumerate(random.suggest() for _ in range(40)):
        for level in (1, 2):
            searcher.on_trial_result(trial_id, config, value(config, level), level)
        searcher.on_trial_end(trial_id)
    searcher.suggest()
    return searcher


def test_the_guard_trusts_a_model_that_predicts_and_rarely_one_that_cannot():
    state = np.random.RandomState(0)
    trusted = {
        name: sum(told(value, seed)._is_trusted for seed in range(20))
        for name, value in (("real", loss), ("noise", lambda config, level: float(state.normal())))
    }
    assert trusted["real"] == 20
    assert trusted["noise"] <= 9


def test_a_batch_before_any_report_is_diverse():
    def nearest(searcher):
        rows = np.array([searcher._encoding.units(searcher.suggest()) for _ in range(32)])
        squares = searcher._encoding.squares(rows, rows).sum(axis=0) + 99 * np.eye(32)
        return np.sqrt(squares.min(axis=0)).mean()

    random = [make(seed=seed) for seed in range(5)]
    for searcher in random:
        searcher._suggested = Forgetful()
    assert np.mean([nearest(make(seed=seed)) for seed in range(5)]) > np.mean(list(map(nearest, random)))


class Forgetful(dict):
    """Suggestions that nobody remembers."""

    def __setitem__(self, key, value):
        pass


def test_suggestions_without_a_report_in_between_differ():
    """64 devices ask at once, and get 64 configurations around and away from the best."""
    searcher = make(random_share=0)
    play(searcher, 30)
    batch = [searcher.suggest() for _ in range(64)]
    assert len({repr(config) for config in batch}) == 64
    # Nothing was reported in between: without the pending ones, each would be as near to the best as the first.
    far = [abs(config["x"] - batch[0]["x"]) for config in batch]
    assert np.mean(far[32:]) > np.mean(far[:4])


def test_a_suggestion_is_pending_until_its_trial_says_something_or_has_ended():
    searcher = make()
    configs = [searcher.suggest() for _ in range(3)]
    for trial_id, config in enumerate(configs[:2]):
        searcher.on_trial_result(trial_id, config, 0.5, 1)
    assert len(searcher._pending) == 3, "first reports alone say nothing"
    searcher.on_trial_result(0, configs[0], 0.4, 2)
    assert len(searcher._pending) == 2
    searcher.on_trial_end(1)
    assert len(searcher._pending) == 1
    searcher.on_trial_diverged(2, configs[2])
    assert not searcher._pending


def test_one_seed_one_sequence_also_from_a_copy_in_the_middle():
    first = play(make(), 30)
    searcher = make()
    assert play(searcher, 15) == first[:15]
    assert play(copy.deepcopy(searcher), 15, first=15) == first[15:]
    assert play(pickle.loads(pickle.dumps(searcher)), 15, first=15) == first[15:]
    assert play(make(seed=1), 30) != first


def test_a_snapshot_of_it_is_data():
    """A snapshot may hold only classes of the schedulers and of NumPy."""
    scheduler = ASHA(SPACE, "loss", "epoch", MAX_T, searcher="joint", random_seed=0)
    play(scheduler._searcher, 20)
    stored = load_snapshot(dump_snapshot(Snapshot(1, scheduler))).scheduler
    assert play(stored._searcher, 10, first=20) == play(scheduler._searcher, 10, first=20)


def test_points_come_first():
    points = [{"x": 0.5, "lr": 0.1, "n": 2, "kind": "c"}, {"x": 0.25, "lr": 0.2, "n": 3, "kind": "a"}]
    assert play(make(points=points), 6)[:2] == points


def test_no_configuration_is_suggested_twice_by_the_model_and_small_spaces_go_on():
    space = {"a": choice([1, 2, 3]), "b": randint(0, 3)}
    configs = play(make(space, random_share=0), 40, lambda config, level: config["a"] + config["b"])
    assert len({repr(config) for config in configs}) == 12
    assert {repr(config) for config in configs[:20]} == {repr(config) for config in configs}


@pytest.mark.parametrize(
    "space", [{"x": uniform(0, 1)}, {"n": randint(1, 200)}, {"a": randint(1, 12), "b": randint(1, 9)}]
)
@pytest.mark.parametrize("random_share", [0.2, 1.0])
def test_no_random_configuration_was_suggested_before(space, random_share):
    """Neither by chance, nor because the model draws its candidates from the same numbers."""
    for seed in range(10):
        configs = play(
            make(space, seed, random_share=random_share), 30, lambda config, level: next(iter(config.values()))
        )
        assert len({repr(config) for config in configs}) == 30


def test_a_list_alone_is_suggested_each_once():
    rows = [{"x": x, "lr": 0.1, "n": 1, "kind": "a"} for x in np.linspace(0, 1, 21).tolist()]
    searcher = make(configs=[*rows, rows[0]], random_share=0)
    configs = play(searcher, 21)
    assert sorted(config["x"] for config in configs) == [row["x"] for row in rows]
    assert searcher.suggest() is None
    # In the order of the list, those far from the best one, at 0.7, would be the first.
    assert abs(configs[-1]["x"] - 0.7) > 0.25


def test_a_point_of_the_list_is_suggested_once():
    rows = [{"x": number / 10} for number in range(5)]
    searcher = make({"x": uniform(0, 1)}, points=[rows[3], {"x": 0.95}], configs=rows)
    configs = play(searcher, 6, lambda config, level: config["x"])
    assert configs[:2] == [rows[3], {"x": 0.95}]
    assert sorted(config["x"] for config in configs[2:]) == [row["x"] for row in rows if row != rows[3]]
    assert searcher.suggest() is None


def test_diverged_and_failed_trials_are_no_obstacle():
    searcher, xs = make(random_share=0), []
    for trial_id in range(60):
        config = searcher.suggest()
        if config["x"] > 0.5:
            searcher.on_trial_diverged(trial_id, config)
        elif trial_id % 10 == 0:
            searcher.on_trial_error(trial_id)
        else:
            play_one(searcher, trial_id, config)
        xs.append(config["x"])
    assert np.mean([x <= 0.5 for x in xs[30:]]) > 0.65


def play_one(searcher, trial_id, config):
    for level in (1, 2):
        searcher.on_trial_result(trial_id, config, loss(config, level), level)
    searcher.on_trial_end(trial_id)


def test_a_space_of_constants_but_one_value_and_unknown_trials_are_no_obstacle():
    searcher = make({"a": choice([1]), "b": 2})
    assert searcher.suggest() == {"a": 1, "b": 2}
    searcher.on_trial_end(7)
    searcher.on_trial_error(8)
    searcher.on_trial_result(0, {"a": 1, "b": 2}, 0.5, 2)
    assert searcher.suggest() == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("name", "do_minimize"),
    [
        ("hypersched", True),
        ("promotion", False),
        *(
            pytest.param(name, do_minimize, marks=pytest.mark.slow)
            for name in ("hypersched", "asha", "promotion", "pasha")
            for do_minimize in (True, False)
            if (name, do_minimize) not in (("hypersched", True), ("promotion", False))
        ),
    ],
)
def test_every_scheduler_may_use_it_for_either_direction(name, do_minimize):
    sign = 1 if do_minimize else -1
    state = np.random.RandomState(0)
    rows = [dict(zip("xyz", row, strict=True)) for row in state.uniform(size=(600, 3)).tolist()]
    far = [sum((value - 0.3) ** 2 for value in row.values()) for row in rows]
    values = [[sign * (distance + 1 / level) for level in range(1, 17)] for distance in far]
    table = TableBlackbox(rows, {"loss": values}, [list(range(1, 17))] * len(rows))
    space = dict.fromkeys("xyz", uniform(0, 1))
    kinds: dict[str, Any] = {
        "hypersched": lambda *args, **kw: HyperSched(*args, num_devices=4, deadline_s=150.0, **kw),
        "asha": lambda *args, **kw: ASHA(*args, grace_period=2, **kw),
        "promotion": lambda *args, **kw: ASHA(*args, type="promotion", **kw),
        "pasha": PASHA,
    }
    found = []
    for searcher in ("joint", "random_search"):
        scheduler = kinds[name](space, "loss", "epoch", 16, do_minimize=do_minimize, searcher=searcher, random_seed=0)
        run = simulate(scheduler, table, num_devices=4, deadline_s=100.0, scaling="none")
        xyz = run.results.groupby("trial_id")[["config_x", "config_y", "config_z"]].first().iloc[15:]
        found.append(((xyz - 0.3) ** 2).sum(axis=1).median())
    assert found[0] < 0.75 * found[1]


@settings(max_examples=examples(40), deadline=None)
@given(
    st.lists(st.sampled_from(range(len(ODD_DOMAINS))), max_size=6), st.sampled_from([0.5, 1, 27, 1e9]),
    st.floats(1e-300, 1e300), st.sampled_from(["noise", "constant", "steep"]), st.integers(0, 999),
)  # fmt: skip
def test_no_values_nor_levels_nor_domains_are_an_obstacle(domains, max_t, scale, curve, seed):
    space = {f"h{place}": ODD_DOMAINS[index] for place, index in enumerate(domains)} | {"constant": 3}
    searcher, draw = make_searcher("joint", space, None, seed, None, max_t), np.random.RandomState(seed)
    levels: dict[int, float] = {}
    configs = []
    for trial_id in range(20):
        config = searcher.suggest()
        assert config is not None
        assert set(config) == set(space)
        configs.append(config)
        levels[trial_id] = 0.0
        for running in list(levels):
            levels[running] += draw.choice([1.0, max_t / 27, 0.1])
            noise, level = float(draw.standard_normal()), levels[running]
            value = {"noise": noise * scale, "constant": scale, "steep": math.exp(min(700.0, 300 * abs(noise)))}[curve]
            searcher.on_trial_result(running, configs[running], value, level)
            event = draw.uniform()
            if event < 0.4:
                del levels[running]
                ends = (searcher.on_trial_end, searcher.on_trial_error)
                if event < 0.05:
                    searcher.on_trial_diverged(running, configs[running])
                else:
                    ends[event < 0.1](running)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"random_share": 1.5}, ValueError, "random_share must be a number from 0 to 1, but got 1.5"),
        ({"random_share": -0.5}, ValueError, "random_share must be a number from 0 to 1, but got -0.5"),
        ({"random_share": "x"}, TypeError, "random_share"),
        ({"configs": []}, ValueError, "configs must have at least one configuration, but got none"),
        ({"configs": [{"x": 0.5}]}, ValueError, r"configs\[0\] must have the names of config_space"),
        ({"config": []}, TypeError, "searcher_kwargs of joint may only have configs, random_share, but got config"),
    ],
)
def test_wrong_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        make(**kwargs)


def test_wrong_numbers():
    explore = make()._explore
    with pytest.raises(TypeError, match=r"random_seed must be an integer, but got 1\.5"):
        JointSearcher(SPACE, [], 1.5, MAX_T, explore)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_t must be a positive number, but got 0"):
        JointSearcher(SPACE, [], 0, 0, explore)
