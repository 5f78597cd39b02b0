from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from benchmarking.studies.regret_tables import (
    ADAPTIVE,
    DEADLINES,
    PUBLISHED,
    SCHEDULERS,
    TITLES,
    draw,
    gain_lines,
    gains,
    gains_over_best,
    mean_by_seed,
    per_table_lines,
    regret_lines,
    scaling_lines,
    verdict,
    verdict_lines,
)
from syne_hypersched.comparison.statistics import Interval, mean_interval

NUM_SEEDS = 4


def rows(
    levels: Mapping[str, float], benchmarks: tuple[str, ...] = ("a", "b"), scaling: str = "linear"
) -> pd.DataFrame:
    """Regrets around a level of each scheduler, a little less at longer deadlines."""
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {"benchmark": benchmark, "scaling": scaling, "scheduler": scheduler, "deadline": deadline, "seed": seed}
        | {"regret": levels[scheduler] / (1 + index) + 0.001 * generator.standard_normal()}
        for benchmark in benchmarks
        for scheduler in levels
        for index, deadline in enumerate(DEADLINES)
        for seed in range(NUM_SEEDS)
    )


@pytest.fixture
def table() -> pd.DataFrame:
    return rows({scheduler: 0.5 + 0.1 * index for index, scheduler in enumerate(reversed(SCHEDULERS))})


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_seed_is_one_sample(table: pd.DataFrame) -> None:
    regret = mean_by_seed(table)
    assert list(regret.columns) == list(DEADLINES)
    assert len(regret) == len(SCHEDULERS) * NUM_SEEDS
    here = table[(table.scheduler == "random") & (table.deadline == "1x") & (table.seed == 2)]
    assert len(here) == 2
    assert regret.loc[("random", 2), "1x"] == pytest.approx(here.regret.mean())


def test_gains_are_paired_by_seed() -> None:
    luck = np.array([0.0, 1.0, 2.0, 3.0])
    table = rows({"random": 2.0, PUBLISHED: 2.0}, ("a",))
    for scheduler, level in (("random", 2.0), (PUBLISHED, 1.5)):
        chosen = table.scheduler == scheduler
        table.loc[chosen, "regret"] = level + luck[table.seed[chosen]]
    (gain, *_) = gains(mean_by_seed(table), PUBLISHED, "random")
    # The luck of a seed, which both have, is no uncertainty of the difference.
    assert (gain.mean, gain.half_width) == pytest.approx((0.5, 0.0))


def test_the_best_of_the_others_is_found_at_each_deadline(table: pd.DataFrame) -> None:
    table.loc[(table.scheduler == "pasha") & (table.deadline == "4x"), "regret"] = 0.01
    regret = mean_by_seed(table)
    found = gains_over_best(regret, ADAPTIVE)
    assert found[:4] == gains(regret, ADAPTIVE, PUBLISHED)[:4]
    assert found[4] == gains(regret, ADAPTIVE, "pasha")[4]
    assert found[4].mean < 0


@pytest.mark.parametrize(
    ("mean", "half_width", "word"),
    [(0.2, 0.1, "ahead"), (0.2, 0.3, "level"), (-0.2, 0.1, "behind"), (-0.2, 0.2, "level"), (1.0, np.nan, "level")],
)
def test_a_verdict_is_what_the_interval_says(mean: float, half_width: float, word: str) -> None:
    assert verdict(Interval(mean, half_width, 5)) == word


def test_verdicts_agree_with_gains(table: pd.DataFrame) -> None:
    table.loc[(table.scheduler == ADAPTIVE) & (table.deadline == "2x"), "regret"] = 9.0
    lines = verdict_lines({"both": mean_by_seed(table)}, ["random"])
    assert [cells(line)[0] for line in lines[2:]] == [
        f"{TITLES[PUBLISHED]}, against random search, both",
        f"{TITLES[ADAPTIVE]}, against random search, both",
        f"{TITLES[ADAPTIVE]}, against the best of the others there, both",
    ]
    assert cells(lines[2])[1:] == ["ahead"] * 5
    for line in lines[3:]:
        assert cells(line)[1:] == ["ahead", "ahead", "ahead", "behind", "ahead"]


def test_the_lowest_mean_of_a_deadline_is_bold(table: pd.DataFrame) -> None:
    table.loc[(table.scheduler == "pasha") & (table.deadline == "0.5x"), "regret"] = 0.0
    lines = regret_lines(mean_by_seed(table))
    bold = {(cells(line)[0], index) for line in lines[2:] for index, cell in enumerate(cells(line)) if "**" in cell}
    assert bold == {("PASHA", 2)} | {(TITLES[ADAPTIVE], index) for index in (1, 3, 4, 5)}
    expected = mean_interval(list(mean_by_seed(table).loc["random"]["4x"]))
    (random_line,) = (line for line in lines if "random search" in line)
    assert cells(random_line)[5] == f"{expected.mean:.3f} ± {expected.half_width:.3f}"


def test_gains_are_positive_where_the_scheduler_has_less_regret(table: pd.DataFrame) -> None:
    lines = gain_lines(mean_by_seed(table), ADAPTIVE, SCHEDULERS[:-1])
    assert len(lines) == 2 + len(SCHEDULERS) - 1
    assert all(cell.startswith("+") for line in lines[2:] for cell in cells(line)[1:])


def test_tables_stand_side_by_side(table: pd.DataFrame) -> None:
    lines = per_table_lines(table, "1x")
    assert cells(lines[0]) == ["", "a", "b"]
    here = table[(table.scheduler == "random") & (table.deadline == "1x")].groupby("benchmark").regret.mean()
    assert cells(lines[2]) == ["random search", f"{here['a']:.3f}", f"{here['b']:.3f}"]


def test_scalings_have_a_line_each() -> None:
    table = pd.concat([rows({ADAPTIVE: level}, scaling=name) for name, level in (("linear", 0.5), ("none", 5.0))])
    lines = scaling_lines(table, ADAPTIVE, {"linear": "linear", "none": "no speed-up"})
    assert [cells(line)[0] for line in lines[2:]] == ["linear", "no speed-up"]
    assert cells(lines[2])[1].startswith("0.5")
    assert cells(lines[3])[1].startswith(("4.9", "5.0"))


def test_a_picture_has_a_panel_for_each_mean(table: pd.DataFrame, tmp_path) -> None:
    regret, path = mean_by_seed(table), tmp_path / "regret.png"
    draw({"both": regret}, "One", path)
    narrow = path.read_bytes()
    draw({"both": regret, "again": regret}, "Two", path)
    wide = path.read_bytes()
    # Width and height stand in the header of a PNG file.
    sizes = [tuple(int.from_bytes(png[start : start + 4], "big") for start in (16, 20)) for png in (narrow, wide)]
    assert sizes[1] == (2 * sizes[0][0], sizes[0][1])
