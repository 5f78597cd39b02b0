from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from syne_hypersched.experiments import Event, load_run
from syne_hypersched.experiments.report import describe_run, main, print_report, report_run
from tests.forked import ForkedPython


def test_report_has_table_incumbent_and_picture(simulate: Callable[..., Path]) -> None:
    path = simulate()
    text = report_run(path)
    best = load_run(path).incumbent
    assert best is not None
    assert f"best accuracy {best.value:.4f}: trial {best.trial_id} at epoch {best.resource}" in text
    assert "configuration: learning_rate=" in text
    assert text.endswith(f"picture: {path / 'run.png'}")
    assert (path / "run.png").stat().st_size > 10_000
    assert "checkpoint" not in text


def test_table_is_cut_after_the_best_trials(simulate: Callable[..., Path]) -> None:
    run = load_run(simulate(num_devices=3))
    whole = describe_run(run).splitlines()
    num_trials = whole.index("") - 1
    cut = describe_run(run, num_trials=2).splitlines()
    assert [line.split() for line in cut[:3]] == [line.split() for line in whole[:3]]
    assert cut[3] == f"... and {num_trials - 2} trials that did worse"
    with pytest.raises(ValueError, match="num_trials must be at least 1, but got 0"):
        describe_run(run, num_trials=0)


def test_run_without_reports_is_described(simulate: Callable[..., Path]) -> None:
    path = simulate()
    (path / "results.csv.zip").unlink()
    text = report_run(path)
    assert "no trial has reported a finite accuracy" in text
    assert "no picture: no trial has reported" in text


def test_a_folder_that_cannot_be_written_gets_no_picture_and_another_one_does(simulate: Callable[..., Path]) -> None:
    path = simulate()
    (path / "run.png").mkdir()  # which stops everybody, whatever rights they have
    text = report_run(path)
    assert "best accuracy" in text
    _, _, last = text.rpartition("picture: ")
    picture, _, why = last.partition(", since ")
    assert why.startswith(f"{path} cannot be written (")
    assert Path(picture).stat().st_size > 10_000
    shutil.rmtree(Path(picture).parent)
    assert [each.name for each in path.iterdir() if each.name.startswith(".")] == []


def test_a_picture_that_cannot_be_written_where_it_is_wanted(simulate: Callable[..., Path], tmp_path: Path) -> None:
    text = report_run(simulate(), figure_path=tmp_path / "nowhere" / "run.png")
    assert "best accuracy" in text
    assert text.endswith("cannot be written (No such file or directory)")
    assert f"no picture: {tmp_path / 'nowhere' / 'run.png'} cannot" in text


def test_a_picture_without_a_suffix_is_a_png(simulate: Callable[..., Path], tmp_path: Path) -> None:
    text = report_run(simulate(), figure_path=tmp_path / "picture")
    assert text.endswith(f"picture: {tmp_path / 'picture.png'}")
    assert (tmp_path / "picture.png").exists()


def test_command_line(
    simulate: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], forked: ForkedPython
) -> None:
    figure = tmp_path / "other.png"
    assert main([str(simulate()), "--figure", str(figure)]) == 0
    assert figure.exists()
    assert main([str(tmp_path)]) == 2
    assert "cannot report on" in capsys.readouterr().err
    ended = forked.run(["-m", "syne_hypersched.experiments.report", "--help"], tmp_path)
    assert ended.returncode == 0
    assert "name or folder of the experiment" in ended.stdout


def test_a_report_says_how_many_devices_were_there(simulate: Callable[..., Path]) -> None:
    run = load_run(simulate(2, 20.0, 0))
    assert "devices there" not in describe_run(run)
    retire = Event(5.0, "retire", None, run.devices[:1], details={"present": 1})
    join = Event(7.5, "join", None, run.devices[:1], details={"present": 2})
    changed = replace(run, events=(*run.events, retire, join))
    assert describe_run(changed).endswith("devices there: 2 at first, 1 from 5 s, 2 from 7.5 s")
    many = replace(run, events=(*run.events, *(retire, join) * 5))
    assert "2 at first, ..., 1 from" in describe_run(many)


def test_what_is_said_of_trials_without_a_row(simulate: Callable[..., Path]) -> None:
    run = load_run(simulate(num_devices=3))
    worst = describe_run(run).splitlines()[-2 - len(describe_run(run).split("\n\n")[1].splitlines())].split()[0]
    without = [
        replace(report, value=float("nan")) if report.trial_id == int(worst) else report for report in run.reports
    ]
    assert (
        describe_run(replace(run, reports=tuple(without)), num_trials=2)
        .splitlines()[3]
        .endswith(" that did worse, 1 without a finite value")
    )
    nobody = replace(run, reports=tuple(replace(report, value=float("nan")) for report in run.reports))
    cut = describe_run(nobody, num_trials=2).splitlines()[3]
    assert cut.endswith(" trials without a finite value")
    assert "worse" not in cut


def test_devices_that_a_resume_finds_again_are_no_change(simulate: Callable[..., Path]) -> None:
    run = load_run(simulate())
    again = Event(40.0, "join", devices=("slot0", "slot1"), reason="resume", details={"present": 2})
    assert "devices there" not in describe_run(replace(run, events=(*run.events, again)))
    less = replace(again, event="retire", details={"present": 1})
    assert "devices there: 2 at first, 1 from 40 s" in describe_run(replace(run, events=(*run.events, again, less)))


def test_the_report_of_a_killed_run_says_how_it_is_continued(simulate: Callable[..., Path]) -> None:
    run = replace(load_run(simulate()), is_over=True, is_killed=True)
    assert run.path is not None
    assert "killed" not in describe_run(replace(run, is_killed=False))
    died = f"the tuner was killed after {max(run.events[-1].time_s, run.reports[-1].time_s):.4g} s of "
    assert died in describe_run(run)
    assert describe_run(run).endswith("the run kept no journal, so it cannot be resumed")
    (run.path / "journal").mkdir()
    assert describe_run(run).endswith(f"; to continue: hypersched resume {run.path}")


def test_the_table_is_as_wide_as_the_terminal(simulate: Callable[..., Path], monkeypatch, capsys) -> None:
    path = str(simulate())
    monkeypatch.setenv("COLUMNS", "40")
    print_report(path)
    assert "at most" in capsys.readouterr().out, "a file or another program gets all columns"
    monkeypatch.setattr("syne_hypersched.experiments.report.terminal_columns", lambda: 40)
    print_report(path)
    printed = capsys.readouterr().out
    assert "at most" not in printed
    assert max(map(len, printed.split("\n\n")[0].splitlines())) <= 40
