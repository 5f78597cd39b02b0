"""A small part of the study of opponents."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarking.studies.study_opponents import JOINT, OPPONENTS, OURS, OUTLIER, groups, main, report


def invented(tables, seeds=3):
    """Results in which the searcher is ahead on some tables, and nobody on the others."""
    return pd.DataFrame(
        {"benchmark": table, "num_devices": 8, "scaling": "resnet50", "launch_cost": "1%", "scheduler": name}
        | {"deadline": deadline, "seed": seed, "regret": 0.5 - 0.3 * (name == JOINT and table != "digits") + seed / 100}
        for table in tables
        for name in (*OURS, *OPPONENTS[:2])
        for deadline in ("1x", "2x")
        for seed in range(seeds)
    )


def test_tables_that_something_was_chosen_on_are_judged_apart():
    kinds = groups(["a", "digits", OUTLIER, "b"])
    assert list(kinds.values()) == [["a", "b"], ["digits"], [OUTLIER]]
    assert list(groups(["digits"])) == ["digits, on which nothing was chosen"]


def test_the_report_has_a_verdict_for_each_group_and_deadline():
    text, verdicts = report(invented(["a", "b", "c", "digits"]), "program")
    development, unseen = text.split("## 8 devices, digits")
    assert f"| `{JOINT}` against the default | ahead (0.41) | ahead (0.41) |" in development
    assert f"| `{JOINT}` against the default | level (1.00) | level (1.00) |" in unseen
    assert set(verdicts.candidate) == {*OURS, f"{JOINT}, against the default alone"}


def test_verdicts_need_two_seeds():
    with pytest.raises(SystemExit):
        main(["--seeds", "1"])


@pytest.mark.slow
def test_the_program_writes_report_and_numbers(tmp_path, capsys):
    arguments = ["--tables", "digits", "--seeds", "2", "--model-seeds", "0", "--devices", "4", "--deadlines", "0.25x"]
    main([*arguments, "--output", str(tmp_path / "out"), "--work", str(tmp_path / "work"), "--jobs", "1"])
    assert "against the strongest opponent" in (tmp_path / "out" / "README.md").read_text()
    assert set(pd.read_csv(tmp_path / "out" / "results.csv").scheduler) == {*OURS, *OPPONENTS}
    assert len(pd.read_csv(tmp_path / "out" / "verdicts.csv")) == 2 * len(OPPONENTS) + 1


ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarking" / "results" / "opponents"


def ratios(file):
    """Mean regret with the searcher as a share of the default's, of each table and deadline, as checked in."""
    rows = pd.read_csv(RESULTS / file)
    means = rows.groupby(["benchmark", "deadline", "scheduler"], sort=False).regret.mean().unstack("scheduler")
    return (means[JOINT] / means[OURS[0]]).unstack("deadline"), means


@pytest.mark.parametrize("document", ["README.md", "docs/searching.md", "docs/claims.md"])
def test_documents_state_what_the_results_say(document):
    text = " ".join((ROOT / document).read_text(encoding="utf-8").split())
    of_table, means = ratios("results.csv")
    deadlines = ["0.25x", "0.5x", "1x", "2x"]
    for tables in groups(list(of_table.index)).values():
        mean = means.loc[tables].groupby("deadline").mean()
        shares = [f"{share:.2f}".removeprefix("0") for share in (mean[JOINT] / mean[OURS[0]])[deadlines]]
        assert f"{', '.join(shares[:3])} and {shares[3]}" in text


def test_the_worst_tables_are_named():
    text = " ".join((ROOT / "docs" / "searching.md").read_text(encoding="utf-8").split())
    four, eight = ratios("results.csv")[0], ratios("two-full-runs.csv")[0]
    worst = four.stack().nlargest(2)
    assert list(worst.index) == [("lcbench-surrogate-adult", "2x"), ("taskset-lstm", "0.5x")]
    last = eight["2x"].nlargest(2)
    assert sorted(last.index) == ["lcbench-surrogate-adult", "lcbench-surrogate-connect-4"]
    for share in (*worst, *last):
        assert f"{share:.2f} times" in text
