from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from benchmarking import report_tables
from benchmarking.comparison.storage import source_digest
from benchmarking.regret_tables import DEADLINES, PLAIN, RESIZING, SCHEDULERS
from benchmarking.report_tables import OUTLIER, POOR, SCALINGS, SETTINGS, Setting, main, make_scenarios, means_of


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
