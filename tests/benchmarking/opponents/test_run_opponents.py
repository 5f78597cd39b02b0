"""A run of an opponent on a table, and the report of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarking.opponents.ask_and_tell import AskAndTell, Job
from benchmarking.opponents.run_opponents import BESIDE, COLUMNS, play, report
from benchmarking.studies.study_opponents import groups
from syne_hypersched.blackboxes import load_digits
from syne_hypersched.comparison.benchmarks import load_benchmark

ROOT = Path(__file__).parents[3]


class RandomSearch:
    """Random rows of the table at the second level."""

    def __init__(self) -> None:
        self.rows = load_digits().configurations
        self.order = iter(np.random.RandomState(0).permutation(len(self.rows)).tolist())
        self.told: list[float] = []

    def ask(self) -> Job:
        row = next(self.order)
        return Job(self.rows[row], 2.0, row, None)

    def tell(self, job: Job, value: float, seconds: float) -> None:
        self.told.append(value)


def test_a_run_is_read_at_each_deadline_on_the_clock_of_the_others():
    optimizer, problem = RandomSearch(), load_benchmark("digits").problem
    scheduler = AskAndTell(
        optimizer, problem.config_space, problem.metric, problem.time_attr, problem.max_t, problem.do_minimize
    )
    rows = play("digits", "theirs", scheduler, 8, ["0.5x", "0.25x"], seed=200)
    assert list(rows.columns) == COLUMNS
    assert list(rows.deadline) == ["0.25x", "0.5x"]
    assert 0 < rows.regret.iloc[1] <= rows.regret.iloc[0]
    assert len(optimizer.told) > 8
    # Accuracies, which are maximised, are told as their negatives.
    assert -1 <= min(optimizer.told) <= max(optimizer.told) < 0


def test_the_report_shows_the_others_beside_and_judges_each_opponent():
    rows = pd.DataFrame(
        {"benchmark": table, "num_devices": 8, "scaling": "resnet50", "launch_cost": "1%", "scheduler": name}
        | {"deadline": "1x", "seed": seed, "regret": 0.2 + 0.3 * (name == "theirs") + seed / 100}
        for table in ("a", "b", "c", "digits")
        for name in (*BESIDE, "theirs", "dear")
        for seed in range(2 if name == "dear" else 4)
    )
    text, verdicts = report(rows, "program", {"theirs": "1.2"})
    assert "with theirs 1.2" in text
    development, unseen = text.split("## Digits")
    for part in (development, unseen):
        assert "with the 2 seeds of all schedulers" in part
        assert "| theirs | 0.505 |" in part
        assert part.count("| against `theirs`, 4 seeds | ahead (0.42) |") == 2
        assert part.count("| against `dear`, 2 seeds | level (1.00) |") == 2
    assert set(verdicts.candidate) == {"hypersched+joint", "hypersched"}
    assert set(verdicts.rival) == {"theirs", "dear"}


FOLDERS = {
    "other-packages": ["dehb", "dehb-late"],
    "other-packages-smac": ["smac"],
    "other-packages-mobster": ["mobster-grace-2"],
    "other-packages-hypertune": ["hypertune", "dyhpo"],
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_claims_are_what_is_checked_in(folder):
    rows = pd.read_csv(ROOT / "benchmarking" / "results" / folder / "results.csv")
    assert list(rows.columns) == COLUMNS
    here = rows[rows.benchmark.isin(groups(list(dict.fromkeys(rows.benchmark)))["development tables"])]
    claims = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    for name in FOLDERS[folder]:
        means = here[here.scheduler == name].groupby("deadline", sort=False).regret.mean()
        assert ", ".join(f"{mean:.2f}".removeprefix("0") for mean in means) in claims


@pytest.mark.parametrize(
    ("folder", "kinds"),
    [
        ("other-packages-mobster", ["development tables", "digits, not used for the development"]),
        ("other-packages-hypertune", ["development tables"]),
    ],
)
def test_documents_state_the_ratios(folder, kinds):
    verdicts = pd.read_csv(ROOT / "benchmarking" / "results" / folder / "verdicts.csv")
    text = " ".join((ROOT / "docs" / "searching.md").read_text(encoding="utf-8").split())
    here = verdicts[(verdicts.candidate == "hypersched+joint") & verdicts.group.isin(kinds)]
    assert set(here.verdict) == {"level"}
    for _, found in here.groupby(["group", "rival"]):
        *ratios, last = [f"{ratio:.2f}".removeprefix("0") for ratio in found.ratio]
        assert f"{', '.join(ratios)} and {last}" in text
