"""A small part of the study of resizes in place."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarking.studies.study_in_place import DEAR, IN_PLACE, LADDER, SCHEDULER, TITLES, main, report


def test_the_report_compares_seed_by_seed():
    rows = pd.DataFrame(
        {"benchmark": table, "num_devices": 8, "launch_cost": cost, "scheduler": scheduler, "deadline": "1x"}
        | {"seed": seed, "regret": 0.3 + seed / 10 - 0.1 * ((scheduler, cost) == (SCHEDULER, IN_PLACE))}
        for table in ("a", "b")
        for scheduler, cost in TITLES
        for seed in range(3)
    )
    text = report(rows, "program")
    assert "| a launch costs 5 %, resizes in place | 0.300 ± " in text
    assert f"| {TITLES[SCHEDULER, DEAR]} | -0.100 ± 0.000 |" in text
    assert f"| {TITLES[LADDER, DEAR]} | -0.100 ± 0.000 |" in text


def test_an_interval_needs_two_seeds():
    with pytest.raises(SystemExit):
        main(["--seeds", "1"])


def test_the_program_writes_report_and_numbers(tmp_path, capsys):
    arguments = ["--tables", "digits", "--seeds", "2", "--devices", "4", "--deadlines", "0.25x"]
    main([*arguments, "--output", str(tmp_path / "out"), "--work", str(tmp_path / "work"), "--jobs", "1"])
    assert (tmp_path / "out" / "README.md").read_text() in capsys.readouterr().out
    rows = pd.read_csv(tmp_path / "out" / "results.csv")
    assert len(rows) == 2 * 4 * 2
    assert set(rows.launch_cost) == {"1%", "5%", "5%/0.1%", "5%+0%"}
