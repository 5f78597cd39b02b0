"""An experiment whose tuner was killed is resumed by the command."""

from __future__ import annotations

import pytest

from syne_hypersched.cli import main
from syne_hypersched.experiments import load_run, resume
from syne_hypersched.recovery import SpentTime
from tests.recovery.conftest import Experiments


def test_a_killed_experiment_is_resumed_by_its_name(tmp_path, wait_for, monkeypatch, capsys, forked, no_process_left):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    experiments = Experiments(tmp_path, wait_for, forked)
    process = experiments.start("points", "killed")
    experiments.kill_after(process, "killed", 10)
    hidden = experiments.script.rename(tmp_path / "hidden")
    assert main(["resume", "killed", "--time-passes", "running"]) == 2
    assert f"there is no file {experiments.script}: put it back" in capsys.readouterr().err
    hidden.rename(experiments.script)
    ended = forked.run(["-m", "syne_hypersched.cli", "resume", "killed", "--time-passes", "running"], tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "The experiment is done." in ended.stdout
    assert "Results: hypersched report killed\n" in ended.stdout
    assert experiments.results("killed").epoch.max() == 9


@pytest.mark.parametrize(
    "told",
    [
        "there is no setup.dill: give resume_experiment a tuner made as the first one was",
        (
            "there is no file train.py: put it back, or give resume_experiment a tuner whose backend has the script "
            "where it is now"
        ),
        "setup.dill must belong to you. Give resume_experiment a tuner instead",
    ],
)
def test_what_a_program_would_do_is_told_as_a_command(make_run, monkeypatch, capsys, told):
    def refuse(*given, **options):
        raise FileNotFoundError(told)

    make_run("over")
    monkeypatch.setattr(resume, "spent_time", lambda *given: None)
    monkeypatch.setattr(resume, "resume_experiment", refuse)
    assert main(["resume", "over"]) == 2
    error = capsys.readouterr().err
    assert error.endswith("give the script and all arguments to hypersched tune SCRIPT ... --resume over\n")
    assert "resume_experiment" not in error


def test_a_run_whose_deadline_has_passed_stays_as_it_is(make_run, monkeypatch, capsys):
    folder = make_run("over")
    spent = SpentTime(folder, deadline_s=20.0, elapsed_s=500.0, tuned_s=5.0)
    asked = []
    monkeypatch.setattr(resume, "spent_time", lambda *given: asked.append(given) or spent)
    monkeypatch.setattr(resume, "resume_experiment", lambda *given, **options: pytest.fail("it is resumed"))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(["resume", "over"]) == 0
    assert asked == [("over", None, "always")]
    shown = capsys.readouterr().out
    best = load_run(folder).incumbent
    assert "nothing to do: the deadline of over has passed (500 s of 20 s are gone)" in shown
    assert f"best accuracy {best.value:.4f}: trial {best.trial_id} at epoch {best.resource:g}\n" in shown
    assert "Results: hypersched report over\n" in shown
    assert "hypersched resume over --time-passes running" in shown
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_time_in_which_no_tuner_ran_is_offered_only_if_there_is_some(make_run, monkeypatch, capsys):
    spent = SpentTime(make_run("over"), deadline_s=20.0, elapsed_s=500.0, tuned_s=19.9, drain_s=1.0)
    monkeypatch.setattr(resume, "spent_time", lambda *given: spent)
    assert main(["resume", "over", "--time-passes", "running"]) == 0
    shown = capsys.readouterr().out
    assert "0.1 s are left until the deadline of over (19.9 s of 20 s are gone), and its trials are ended 1 s" in shown
    assert "has passed" not in shown
    assert "--time-passes" not in shown
    assert main(["resume", "over"]) == 0
    assert "--time-passes" not in capsys.readouterr().out
