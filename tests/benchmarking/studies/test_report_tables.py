from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from benchmarking.studies import report_tables
from benchmarking.studies.regret_tables import ADAPTIVE, DEADLINES, PLAIN, PUBLISHED, RESIZING, SCHEDULERS
from benchmarking.studies.report_tables import (
    OUTLIER,
    POOR,
    SCALINGS,
    SETTINGS,
    Setting,
    main,
    make_scenarios,
    means_of,
)
from syne_hypersched.comparison.storage import source_digest

RESULTS = report_tables.ROOT / "benchmarking" / "results" / "real-tables"


def test_schedulers_that_never_resize_are_run_once_for_all_scalings() -> None:
    settings, further = make_scenarios(["digits"])
    machines = {(setting.num_devices, setting.launch_cost) for setting in SETTINGS}
    plain = [scenario for scenario in settings if set(PLAIN) & set(scenario.schedulers)]
    assert sorted((scenario.num_devices, str(scenario.launch_cost)) for scenario in plain) == sorted(machines)
    assert all(scenario.schedulers == RESIZING for scenario in further)
    assert len({scenario.folder for scenario in settings + further}) == len(settings + further)
    for num_devices in (8, 32):
        here = [scenario for scenario in settings + further if scenario.num_devices == num_devices]
        assert {scenario.scaling for scenario in here if str(scenario.launch_cost) == "1%"} == set(SCALINGS)


def test_a_setting_has_runs_of_all_schedulers() -> None:
    settings, _ = make_scenarios(["digits"])
    table = pd.DataFrame(
        {"num_devices": scenario.num_devices, "launch_cost": str(scenario.launch_cost)}
        | {"scaling": scenario.scaling, "scheduler": scheduler}
        for scenario in settings
        for scheduler in scenario.schedulers
    )
    for setting in SETTINGS:
        rows = setting.rows(table)
        assert sorted(rows.scheduler) == sorted(SCHEDULERS)
        assert set(rows[rows.scheduler.isin(RESIZING)].scaling) == {setting.scaling}


def test_further_scalings_are_run_without_the_outlier() -> None:
    settings, further = make_scenarios(["digits", OUTLIER])
    assert {scenario.benchmark for scenario in settings} == {"digits", OUTLIER}
    assert {scenario.benchmark for scenario in further} == {"digits"}
    _, further = make_scenarios([OUTLIER])
    assert {scenario.benchmark for scenario in further} == {OUTLIER}


def table_of(regrets: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        {"benchmark": name, "scheduler": "random", "deadline": deadline, "seed": seed, "regret": regret}
        for name, regret in regrets.items()
        for deadline in DEADLINES
        for seed in (0, 1)
    )


def test_the_mean_without_the_outlier_stands_beside_the_mean() -> None:
    means = means_of(table_of({"a": 0.2, "b": 0.4, OUTLIER: 3.0}))
    assert {name: regret.loc[("random", 1), "1x"] for name, regret in means.items()} == pytest.approx(
        {"mean of 3 tables": 1.2, f"mean of 2 tables, without {OUTLIER}": 0.3}
    )
    assert list(means_of(table_of({"a": 0.2, "b": 0.4}))) == ["mean of 2 tables"]
    assert list(means_of(table_of({OUTLIER: 3.0}))) == ["mean of 1 table"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices, so that the whole report takes seconds."""
    monkeypatch.setattr(report_tables, "SETTINGS", (Setting(2, "resnet50", "1%"), Setting(2, POOR, "1%")))
    monkeypatch.setattr(report_tables, "SCALINGS", ("resnet50", "babi", POOR))


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_the_report_says_what_the_runs_came_to(tmp_path: Path) -> None:
    work, output = tmp_path / "work", tmp_path / "report"
    arguments = ["--tables", "digits", "--seeds", "2", "--jobs", "1", "--work", str(work), "--output", str(output)]
    main(arguments)
    text = (output / "README.md").read_text()
    for name in re.findall(r"!\[.*\]\((.*)\)", text):
        assert (output / name).stat().st_size > 10_000
    assert text.count("![") == 2
    regret = pd.read_csv(output / "regret.csv")
    # 8 schedulers with the first scaling, 2 with the two others, at 5 deadlines.
    assert len(regret) == (8 + 2 * 2) * 5
    asha = regret[(regret.scheduler == "syne-asha") & (regret.deadline == "1x")].regret.item()
    (line,) = re.findall(r"\| Syne Tune's ASHA \| .* ± .*", text.split("## 2 devices")[1])[:1]
    assert f"{asha:.3f} ± " in line
    assert report_tables.READING[:40] not in text, "it is about other tables"

    outcomes = sorted(work.rglob("outcome.json"))
    times = [path.stat().st_mtime_ns for path in outcomes]
    main(arguments)
    assert [path.stat().st_mtime_ns for path in outcomes] == times, "finished runs are not repeated"
    assert (output / "README.md").read_text() == text

    outcomes[0].write_text(outcomes[0].read_text().replace('"regret": ', '"regret": 9'))
    main(arguments)
    assert (output / "README.md").read_text() != text, "finished runs are read"
    # As after a change of the code: what was finished before it counts no more.
    (folder,) = work.iterdir()
    assert folder.name == source_digest()[:12]
    folder.rename(work / ("0" * 12))
    main(arguments)
    assert (output / "README.md").read_text() == text
    assert sorted(path.name for path in work.iterdir()) == sorted([folder.name, "0" * 12])


def test_intervals_need_two_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--tables", "digits", "--seeds", "1"])
    assert "--seeds must be at least 2" in capsys.readouterr().err


def test_missing_tables_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNE_HYPERSCHED_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match=re.escape(f"there are no tables in {tmp_path}")):
        main([])


@pytest.fixture(scope="module")
def published_regret() -> pd.DataFrame:
    """Mean regrets of the report in the repository, by setting, table and scheduler; columns are deadlines."""
    table = pd.read_csv(RESULTS / "regret.csv")
    keys = ["num_devices", "scaling", "launch_cost", "benchmark", "scheduler"]
    return table.pivot(index=keys, columns="deadline", values="regret")[list(DEADLINES)]


def regret_in(regret: pd.DataFrame, setting: Setting, with_outlier: bool) -> pd.DataFrame:
    """Mean over the tables; rows are schedulers, columns deadlines."""
    rows = setting.rows(regret.reset_index())
    kept = rows if with_outlier else rows[rows.benchmark != OUTLIER]
    return kept.groupby("scheduler")[list(DEADLINES)].mean()


def test_the_text_says_what_the_numbers_of_the_published_rules_say(published_regret: pd.DataFrame) -> None:
    for setting in SETTINGS:
        regret = regret_in(published_regret, setting, with_outlier=False)
        assert (regret.loc[PUBLISHED] > regret.loc[list(PLAIN[:3])]).all(axis=None)
    table = SETTINGS[0].rows(pd.read_csv(RESULTS / "regret.csv"))
    num_trials = table[table.benchmark != OUTLIER].groupby(["scheduler", "deadline"]).num_trials.mean()
    for deadline in ("0.25x", "0.5x", "1x"):
        assert 0.4 < num_trials[PUBLISHED, deadline] / num_trials[PLAIN[1], deadline] < 0.65
    base = SETTINGS[0].rows(published_regret.reset_index()).set_index(["benchmark", "scheduler"])
    at_short = base[["0.25x", "0.5x"]]
    for benchmark in set(base.index.get_level_values("benchmark")):
        behind = at_short.loc[benchmark, PUBLISHED] > at_short.loc[benchmark].loc[list(PLAIN[:3])]
        assert not behind.any(axis=None) if benchmark == OUTLIER else behind.all(axis=None)


def test_the_text_says_what_the_numbers_of_the_adaptive_strategy_say(published_regret: pd.DataFrame) -> None:
    for setting in SETTINGS:
        for with_outlier in (False, True):
            regret = regret_in(published_regret, setting, with_outlier)
            is_best = regret.idxmin() == ADAPTIVE
            if setting.launch_cost == "5%":
                assert abs(regret.loc[ADAPTIVE, "0.25x"] - regret.loc["random", "0.25x"]) < 0.03
                is_best = is_best.drop("0.25x")
            assert is_best.all()


def test_the_text_says_what_the_other_numbers_say(published_regret: pd.DataFrame) -> None:
    eight, thirty_two = (regret_in(published_regret, setting, with_outlier=False) for setting in SETTINGS[:2])
    lead = {name: regret.loc[ADAPTIVE] / regret.drop(ADAPTIVE).min() for name, regret in ((8, eight), (32, thirty_two))}
    assert (lead[32] < lead[8]).all()
    poor = regret_in(published_regret, SETTINGS[4], with_outlier=False)
    assert SETTINGS[4] == Setting(8, POOR, "1%")
    assert (poor.loc[ADAPTIVE] > eight.loc[ADAPTIVE]).all()
    for setting in SETTINGS:
        regret = regret_in(published_regret, setting, with_outlier=True)
        pd.testing.assert_series_equal(regret.loc["syne-asha"], regret.loc[PLAIN[1]], check_names=False)
        assert (regret.loc["pasha"] > regret.loc[list(PLAIN[1:5])]).all(axis=None)
        published_is_ahead = (regret.loc[PUBLISHED, "0.25x"] < regret.loc[list(PLAIN[1:3]), "0.25x"]).all()
        assert published_is_ahead == (setting.scaling != POOR)


def test_the_text_says_what_the_numbers_of_the_scalings_say() -> None:
    text = (RESULTS / "README.md").read_text()
    for section in re.split(r"\n### ", text.partition("\n## Scaling\n")[2])[1:]:
        lines = [line.strip("| ").split(" | ") for line in section.splitlines() if " ± " in line]
        means = {scaling: [float(cell.partition(" ")[0]) for cell in cells] for scaling, *cells in lines}
        assert list(means) == ["poor" if scaling == POOR else scaling for scaling in SCALINGS]
        resnets = [means[scaling] for scaling in ("resnet18", "resnet50", "resnet101", "resnet152")]
        assert all(max(values) - min(values) < 0.03 for values in zip(*resnets, strict=True))
        for scaling in ("babi", "poor"):
            assert sum(means[scaling]) > sum(means["resnet50"])
