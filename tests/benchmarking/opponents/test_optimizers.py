"""The optimisers of other packages, where these are installed."""

from __future__ import annotations

import pytest
from syne_tune.config_space import choice, finrange, loguniform, ordinal, randint, uniform

from benchmarking.opponents.optimizers import LATE, NAMES, Space, make_optimizer, versions

SPACE = {
    "lr": loguniform(1e-4, 1), "x": uniform(0, 1), "n": randint(1, 8), "kind": choice(["a", "b"]),
    "width": ordinal([1, 2, 4]), "p": finrange(0.0, 1.0, 5), "data": "mnist",
}  # fmt: skip


def test_names_are_of_packages_with_an_early_and_a_late_first_rung():
    assert set(NAMES) == {name + end for name in ("dehb", "smac", "neps") for end in ("", "-late")}
    assert versions([]) == {}


def test_configurations_are_of_the_space():
    pytest.importorskip("ConfigSpace")
    space = Space(SPACE, seed=0)
    for theirs in space.theirs.sample_configuration(30):
        config = space.config(dict(theirs))
        assert list(config) == list(SPACE)
        assert config["data"] == "mnist"
        assert config["width"] in (1, 2, 4)
        assert config["p"] in (0.0, 0.25, 0.5, 0.75, 1.0)
        assert all(SPACE[name].is_valid(config[name]) for name in ("lr", "x", "n", "kind"))


@pytest.mark.parametrize("name", NAMES)
def test_an_optimiser_takes_the_best_of_the_first_rung_further(name):
    pytest.importorskip(name.removesuffix(LATE))
    optimizer = make_optimizer(name, {"x": uniform(0, 1)}, 1, 9, seed=0)
    asked = []
    for _ in range(13):
        asked.append(optimizer.ask())
        optimizer.tell(asked[-1], asked[-1].config["x"], 1.0)
    assert [job.level for job in asked] == [1.0] * 9 + [3.0] * 3 + [9.0]
    first = sorted(asked[:9], key=lambda job: job.config["x"])
    assert {job.key for job in asked[9:12]} == {job.key for job in first[:3]}
    assert asked[12].key == first[0].key
