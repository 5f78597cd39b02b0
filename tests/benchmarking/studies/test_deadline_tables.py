"""Comparisons setting by setting, on invented regrets."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarking.studies.deadline_tables import (
    by_seed,
    compare,
    draw_ratios,
    draw_regret,
    gain_lines,
    ratio_lines,
    regret_lines,
    verdict,
    worst_lines,
)

SEEDS = (3, 4, 5)


def rows_of(scheduler: str, scaling: str, regrets: dict[str, float], noise: float = 0.0) -> pd.DataFrame:
    """Runs of a scheduler on two tables, whose mean regret at each deadline is as given."""
    return pd.DataFrame(
        {"benchmark": table, "num_devices": 8, "scaling": scaling, "launch_cost": "1%", "scheduler": scheduler}
        | {"deadline": deadline, "seed": seed, "regret": regret + offset + noise * (seed - 4)}
        for table, offset in (("a", -0.1), ("b", 0.1))
        for deadline, regret in regrets.items()
        for seed in SEEDS
    )


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.concat(
        [
            rows_of("new", "good", {"1x": 0.3, "2x": 0.2}),
            rows_of("new", "bad", {"1x": 0.6, "2x": 0.2}, noise=0.01),
            rows_of("old", "good", {"1x": 0.5, "2x": 0.4}),
            rows_of("older", "good", {"1x": 0.6, "2x": 0.25}),
        ]
    )


def test_a_seed_is_one_sample(rows):
    regret = by_seed(rows[rows.scaling == "good"], ["older", "new"])
    assert list(regret) == ["older", "new"]
    assert regret.loc[("1x", 4), "new"] == pytest.approx(0.3)
    assert len(regret) == 2 * len(SEEDS)


def test_the_best_rival_of_each_cell_stands_for_all_scalings(rows):
    comparison = compare(rows, "new", ["old", "older"]).set_index(["scaling", "deadline"])
    assert list(comparison.rival) == ["old", "older", "old", "older"]
    assert comparison.ratio.tolist() == pytest.approx([0.6, 0.8, 1.2, 0.8])
    assert comparison.difference.tolist() == pytest.approx([0.2, 0.05, -0.1, 0.05])
    assert comparison.half_width["good"].tolist() == pytest.approx([0, 0], abs=1e-12)
    # Student's t for three values, whose standard deviation is 0.01.
    assert comparison.half_width["bad"].tolist() == pytest.approx([4.3027 * 0.01 / 3**0.5] * 2, rel=1e-3)


def test_the_verdict_counts_cells_and_tells_chance_from_more(rows):
    comparison = compare(rows, "new", ["old", "older"])
    assert verdict(comparison, 1.3) == "at most 1.3 in 4 of 4 cells; the largest is 1.200"
    told = "at most 1 in 3 of 4 cells; the largest is 1.200; in 1 of the others by more than its interval"
    assert verdict(comparison, 1.0) == told
    comparison["half_width"] = 0.2
    assert verdict(comparison, 1.0).endswith("in 0 of the others by more than its interval")


def test_lines_of_a_report(rows):
    good = rows[rows.scaling == "good"]
    titles = {"new": "the new one", "old": "the old one"}
    lines = regret_lines(good, titles)
    assert lines[0] == "| deadline | 1x | 2x |"
    assert lines[2] == "| the new one | **0.300 ± 0.000** | **0.200 ± 0.000** |"
    assert lines[3] == "| the old one | 0.500 ± 0.000 | 0.400 ± 0.000 |"
    assert gain_lines(good, "new", {"old": "the old one"})[2] == "| the old one | +0.200 ± 0.000 | +0.200 ± 0.000 |"
    comparison = compare(rows, "new", ["old", "older"])
    assert ratio_lines(comparison, "bad")[2] == "| 8, 1% | 1.200 | 0.800 |"
    assert worst_lines(comparison, 1.0)[2:] == ["| 8, bad, 1%, 1x | 1.200 | +0.100 ± 0.025 |"]


def test_pictures_are_drawn(rows, tmp_path: Path):
    good = rows[rows.scaling == "good"]
    draw_regret(good, {"new": "new", "old": "old"}, "new", "a title", tmp_path / "regret.png")
    draw_ratios({"a group": compare(rows, "new", ["old"])}, tmp_path / "ratios.png")
    for name in ("regret.png", "ratios.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
