from __future__ import annotations

import pandas as pd
import pytest

from syne_hypersched.blackboxes import read_table
from syne_hypersched.cli import main


def test_a_run_is_searched_again_by_its_name_and_by_its_path(make_run, capsys):
    path = make_run("run")
    texts = []
    for name in ("run", str(path)):
        assert main(["replay", name, "--schedulers", "asha,pasha", "--deadlines", "10s,1m"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    for label in ("with asha", "with pasha", "with 10 s", "with 60 s"):
        assert f"\n{label} " in texts[0]
    assert "would have" in texts[0]


def test_the_curves_are_written_as_compare_reads_them(make_run, tmp_path, capsys):
    make_run("run")
    path = tmp_path / "curves.csv"
    assert main(["replay", "run", "--schedulers", "asha", "--table", str(path)]) == 0
    table = read_table(path, metrics=["accuracy"])
    assert list(table.configuration_space) == ["learning_rate"]
    assert len(table) == pd.read_csv(path).learning_rate.nunique() > 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere"], "nowhere"),
        (["run", "--schedulers", "hyperband"], "--schedulers"),
        (["run", "--grace-periods", "0"], "--grace-periods"),
        (["run", "--grace-periods", "a"], "--grace-periods"),
        (["run", "--grace-periods", "1e9"], "--grace-periods must"),
        (["run", "--devices", "2.5"], "--devices"),
        (["run", "--devices", ""], "--devices"),
        (["run", "--deadlines", "soon"], "--deadlines"),
        (["run", "--num-devices", "0"], "--num-devices"),
        (["run", "--table", "/no/such/folder/curves.csv"], "/no/such/folder"),
    ],
)
def test_bad_input_is_exit_code_2(make_run, capsys, arguments, message):
    make_run("run")
    assert main(["replay", *arguments]) == 2
    assert message in capsys.readouterr().err
