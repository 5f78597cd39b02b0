from __future__ import annotations

import pytest

from syne_hypersched.cli import main
from syne_hypersched.cli._direction import warn_of_direction

OPTIONS = {True: "--min", False: "--max"}


def test_a_doubt_is_told_once_with_the_options(capsys):
    for _ in range(2):
        warn_of_direction("hypersched tune", "accuracy here", True, OPTIONS)
    warn_of_direction("hypersched tune", "loss here", True, OPTIONS)
    warn_of_direction("hypersched tune", "rmse here", False, OPTIONS)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        (
            "hypersched tune: warning: The metric 'accuracy here' is minimised, although a higher value seems "
            "to be better (--min). If that is so, give --max"
        ),
        (
            "hypersched tune: warning: The metric 'rmse here' is maximised, although a lower value seems to be better "
            "(--max). If that is so, give --min"
        ),
    ]


@pytest.mark.parametrize(
    ("metric", "given", "other"), [("f1_of_tune", "--min", "--max"), ("error_of_tune", "--max", "--min")]
)
def test_tune_warns_before_anything_starts(tmp_path, capsys, caplog, metric, given, other):
    (tmp_path / "train.py").write_text("")
    arguments = ["--metric", metric, given, "--resource", "epoch:9", "--deadline", "9s", "--devices", "cpu:2"]
    arguments += ["--space", "lr=log(1e-3,1)", "--write-script", str(tmp_path / "launch.py")]
    assert main(["tune", str(tmp_path / "train.py"), *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err.count(metric) == 1
    assert captured.err.endswith(f"({given}). If that is so, give {other}\n")
    assert not caplog.records


def test_compare_warns_in_its_own_words(tmp_path, capsys, caplog):
    rows = [f"{lr},{epoch},{epoch},{lr * epoch}" for lr in (1, 2, 3) for epoch in (1, 2, 3)]
    (tmp_path / "t.csv").write_text("\n".join(["lr,epoch,elapsed_s,acc_of_compare", *rows]))
    arguments = ["--table", str(tmp_path / "t.csv"), "--metric", "acc_of_compare", "--mode", "min", "--seeds", "1"]
    arguments += ["--schedulers", "asha", "--jobs", "1", "--output", str(tmp_path / "out")]
    assert main(["compare", *arguments]) == 0
    assert "(--mode min). If that is so, give --mode max" in capsys.readouterr().err
    assert not caplog.records
