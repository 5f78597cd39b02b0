from __future__ import annotations

import pandas as pd
import pytest

from syne_hypersched.cli import main


@pytest.fixture
def results(tmp_path):
    """Invented results of two schedulers on three tables, in the folder of a comparison."""
    lines = [
        {"benchmark": table, "num_devices": 4, "scaling": "none", "launch_cost": "0%", "scheduler": name}
        | {"deadline": "1x", "seed": seed, "regret": regret + 0.01 * seed * number}
        for number, table in enumerate("abc")
        for name, regret in (("good", 0.2), ("bad", 0.5 + 0.01 * number))
        for seed in range(4)
    ]
    pd.DataFrame(lines).to_csv(tmp_path / "results.csv", index=False)
    return tmp_path


def test_a_folder_or_a_file_is_judged(results, tmp_path, capsys):
    assert main(["referee", str(results), "--candidate", "good", "--csv", str(tmp_path / "verdicts.csv")]) == 0
    text = capsys.readouterr().out
    assert "bad" in text
    assert "ahead" in text
    assert list(pd.read_csv(tmp_path / "verdicts.csv").verdict) == ["ahead"]
    assert main(["referee", str(results / "results.csv"), "--candidate", "bad", "--strongest"]) == 0
    assert "behind" in capsys.readouterr().out


def test_groups_are_named(results, capsys):
    code = main(["referee", str(results), "--candidate", "good", "--group", "one=a,b", "--group", "two=c"])
    assert code == 0
    text = capsys.readouterr().out
    assert "one: 4 devices" in text
    assert "two: 4 devices" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--candidate", "goood"], "did you mean 'good'"),
        (["--candidate", "good", "--group", "x"], "--group must be NAME=TABLE,TABLE"),
        (["--candidate", "good", "--level", "2"], "level must be between 0 and 1"),
        (["--candidate", "good", "--group", "x=a", "--group", "x=b"], "'x' is given twice"),
        (["--candidate", "good", "--group", "x=a,bb"], "unknown table in --group x 'bb'"),
        (["--candidate", "good", "--rivals", "good"], "rivals must be schedulers other"),
    ],
)
def test_wrong_arguments(results, arguments, message, capsys):
    assert main(["referee", str(results), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_file(tmp_path, capsys):
    assert main(["referee", str(tmp_path / "none.csv"), "--candidate", "good"]) == 2
    assert "none.csv" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "a\nb\nc,d,e\n", 'a\n"b'])
def test_a_file_that_is_no_table_is_named(tmp_path, content, capsys):
    (tmp_path / "odd.csv").write_text(content)
    assert main(["referee", str(tmp_path / "odd.csv"), "--candidate", "good"]) == 2
    assert "odd.csv must be a CSV file with results" in capsys.readouterr().err


def test_own_results_need_four_columns(results, tmp_path, capsys):
    own = pd.read_csv(results / "results.csv")[["benchmark", "scheduler", "seed", "regret"]]
    own.to_csv(tmp_path / "own.csv", index=False)
    assert main(["referee", str(tmp_path / "own.csv"), "--candidate", "good"]) == 0
    assert "ahead" in capsys.readouterr().out
    own.drop(columns="seed").to_csv(tmp_path / "own.csv", index=False)
    assert main(["referee", str(tmp_path / "own.csv"), "--candidate", "good"]) == 2
    assert "rows must have the columns benchmark, scheduler, seed, regret, but lack seed" in capsys.readouterr().err
