"""The order of schedulers, and the tables of readings; the training itself takes too long for a test."""

from __future__ import annotations

import math
from collections import Counter

import pandas as pd
import pytest

from benchmarking.studies.real_training import DEFAULT, TITLES, RealSetting, main, prediction, turns, value_lines
from syne_hypersched.comparison.runner import check_study, run_study
from syne_hypersched.comparison.runs import plan
from syne_hypersched.comparison.settings import Duration
from syne_hypersched.comparison.tables import results_table

ASHA, WITH_MODEL = (name for name in TITLES if name != DEFAULT)
SETTING = RealSetting((Duration(1.0), Duration(2.0)), num_seeds=3, num_devices=2, launch_cost=Duration(0.05))


def test_the_order_of_schedulers_changes_and_each_is_first_equally_often():
    studies = turns(SETTING, "digits-cnn")
    runs = [run for study in studies for run in plan(study)]
    first = Counter(next(iter(plan(study))).scheduler for study in studies)
    assert first == dict.fromkeys(TITLES, 2)
    for turn in range(0, len(runs), len(TITLES)):
        beside = runs[turn : turn + len(TITLES)]
        assert {run.scheduler for run in beside} == set(TITLES)
        assert len({(run.seed, run.deadlines) for run in beside}) == 1
    for study in studies:
        check_study(study)


def test_the_prediction_has_the_same_seeds_and_deadlines():
    study = prediction(SETTING, "digits")
    rows = results_table(run_study(study))
    assert set(rows.deadline) == {"1s", "2s"}
    assert set(rows.seed) == {0, 1, 2}
    assert rows.value.between(0, 1).all()
    assert len(value_lines(rows)) == 2 + 3 + 2 + 3


def test_seeds_without_a_report_are_left_out_and_counted():
    values = {DEFAULT: [0.9, 0.8, 0.7], ASHA: [0.8, 0.7, math.nan], WITH_MODEL: [math.nan] * 3}
    rows = pd.DataFrame(
        {"scheduler": scheduler, "deadline": "1s", "seed": seed, "value": value, "num_trials": 4}
        for scheduler, of_seed in values.items()
        for seed, value in enumerate(of_seed)
    )
    cells = {
        line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1].removesuffix(" |")
        for line in value_lines(rows)[2:]
    }
    assert cells["HyperSched"] == "0.8000 ± 0.2484 (3)"
    assert cells[TITLES[WITH_MODEL]] == "-"
    assert cells[f"HyperSched minus {TITLES[ASHA]}, paired"] == "+0.1000 ± 0.0000 (2)"
    assert cells[f"trials of {TITLES[WITH_MODEL]}"] == "4"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "1"], "--seeds must be at least 2"),
        (["--scripts", "digits-cnn", "--deadlines", "soon"], "a duration must be seconds"),
    ],
)
def test_arguments_are_checked(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err
