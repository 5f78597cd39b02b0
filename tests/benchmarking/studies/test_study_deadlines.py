"""A small part of the study of the adaptive strategy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarking.studies.regret_tables import ADAPTIVE
from benchmarking.studies.study_deadlines import (
    CHOSEN_ON,
    FIRST_SEED,
    INGREDIENTS,
    LADDER,
    OUTLIER,
    QUICK,
    TITLES,
    Size,
    groups,
    main,
)


def test_the_tables_that_the_rules_were_chosen_on_stand_by_themselves() -> None:
    kinds = groups(["new", OUTLIER, *CHOSEN_ON])
    assert list(kinds.values()) == [["new", *CHOSEN_ON], ["new"], list(CHOSEN_ON), [OUTLIER]]
    assert list(groups(["new"]).values()) == [["new"]]
    assert list(groups([OUTLIER]).values()) == [[OUTLIER]]


def test_many_devices_have_short_deadlines_and_fewer_seeds() -> None:
    size = Size(seeds=10)
    assert size.of_machine(8) == (size.deadlines, 10)
    assert size.of_machine(32) == (("0.25x", "0.5x", "1x"), 10)
    assert size.of_machine(128) == (("0.25x", "0.5x", "1x"), 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--seeds", "1"], "--seeds must be at least 2, since an interval needs as many, but got 1")],
)
def test_arguments_are_checked(arguments, message, capsys) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_small_study_from_beginning_to_end(tmp_path: Path, capsys) -> None:
    output = tmp_path / "study"
    places = ["--output", str(output), "--work", str(tmp_path / "work")]
    main(["--quick", "--devices", "8", "--tables", "digits", "--jobs", "1", *places])
    capsys.readouterr()
    means = pd.read_csv(output / "regret.csv")
    assert set(means.scheduler[means.part == "grid"]) == set(TITLES)
    assert set(means.scheduler[means.part == "base"]) == set(TITLES)
    assert set(means.scheduler[means.part == "ingredients"]) == set(INGREDIENTS)
    assert set(means.scheduler[means.part == "searchers"]) == set(QUICK.searchers)
    assert means.regret.notna().all()
    comparisons = pd.read_csv(output / "comparisons.csv")
    # Where more devices do not help, the adaptive strategy is its ladder, to the last decision.
    without = comparisons[(comparisons.against == "ladder") & (comparisons.scaling == "none")]
    assert (without.ratio == 1).all()
    assert len(without) == 4
    report = (output / "README.md").read_text()
    for picture in ("regret.png", "against-ladder.png", "against-baselines.png"):
        assert f"({picture})" in report
        assert (output / picture).stat().st_size > 10_000
    seeds = {path.name.split("-seed")[-1] for path in (tmp_path / "work").glob("*/*/runs/*/*")}
    assert min(map(int, seeds)) == FIRST_SEED
    assert {ADAPTIVE, LADDER} < set(TITLES)
