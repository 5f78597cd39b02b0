"""A small part of the study of opponents."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarking.studies import study_opponents
from benchmarking.studies.study_opponents import JOINT, OPPONENTS, OURS, OUTLIER, groups, main, report
from syne_hypersched.comparison.benchmarks import NOISE


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
    assert list(groups(["digits"])) == ["digits, not used for the development"]


def test_the_report_has_a_verdict_for_each_group_and_deadline():
    text, verdicts = report(invented(["a", "b", "c", "digits"]), "program")
    development, unseen = text.split("## 8 devices, digits")
    assert f"| `{JOINT}` against `hypersched` | ahead (0.41) | ahead (0.41) |" in development
    assert f"| `{JOINT}` against `hypersched` | level (1.00) | level (1.00) |" in unseen
    assert set(verdicts.candidate) == {*OURS, f"{JOINT}, against {OURS[0]} alone"}


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


def means(folder=RESULTS, seeds=None):
    """Mean regrets as checked in, by table, deadline and scheduler."""
    rows = pd.read_csv(folder / "results.csv")
    rows = rows if seeds is None else rows[rows.seed.isin(seeds)]
    return rows.groupby(["benchmark", "deadline", "scheduler"], sort=False).regret.mean().unstack("scheduler")


def in_words(ratios):
    *shares, last = [f"{share + 0.0:.2f}".removeprefix("0") for share in ratios.round(2)]
    return f"{', '.join(shares)} and {last}"


@pytest.mark.parametrize("document", ["README.md", "docs/searching.md", "docs/claims.md"])
def test_documents_state_what_the_results_say(document):
    text = " ".join((ROOT / document).read_text(encoding="utf-8").split())
    for tables in groups(list(means().index.unique("benchmark"))).values():
        mean = means().loc[tables].groupby("deadline", sort=False).mean()
        assert in_words(mean[JOINT] / mean[OURS[0]]) in text
        if OUTLIER not in tables:
            assert in_words(mean[JOINT] / mean.drop(columns=list(OURS)).min(axis=1)) in text


def test_the_worst_tables_are_named():
    text = " ".join((ROOT / "docs" / "searching.md").read_text(encoding="utf-8").split())
    worst = (means()[JOINT] / means()[OURS[0]]).nlargest(2)
    assert list(worst.index) == [("lcbench-surrogate-adult", "4x"), ("performance-metaqnn", "4x")]
    for share in worst:
        assert f"{share:.2f} times" in text


@pytest.mark.parametrize("document", ["docs/searching.md", "docs/claims.md"])
def test_documents_state_what_noise_does(document):
    text = " ".join((ROOT / document).read_text(encoding="utf-8").split())
    folder = RESULTS.with_name("opponents-noise")
    noisy = means(folder).groupby("deadline", sort=False).mean()
    assert in_words(noisy[JOINT] / noisy[OURS[0]]) in text
    assert in_words(noisy[JOINT] / noisy.drop(columns=list(OURS)).min(axis=1)) in text
    if document == "docs/searching.md":
        seeds = pd.read_csv(folder / "results.csv").seed.unique()
        tables = [name.removesuffix(NOISE) for name in means(folder).index.unique("benchmark")]
        smooth = means(seeds=seeds).loc[tables].groupby("deadline", sort=False).mean()
        assert in_words(smooth[JOINT] / smooth[OURS[0]]) in text


def test_noise_is_added_to_the_smooth_tables_alone(tmp_path, monkeypatch):
    ran = []

    def run(tables, schedulers, *_):
        ran.append(tables)
        rows = invented(tables)
        return rows[rows.scheduler.isin(schedulers)]

    monkeypatch.setattr(study_opponents, "run", run)
    tables = ["digits", "taskset-gru", "cnn-cifar10", "lcbench-surrogate-adult"]
    main(["--noise", "--tables", *tables, "--output", str(tmp_path), "--work", str(tmp_path)])
    assert ran == [["taskset-gru+noise", "lcbench-surrogate-adult+noise"]] * 3
    assert "## 8 devices, development tables" in (tmp_path / "README.md").read_text()
