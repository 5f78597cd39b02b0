from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from syne_hypersched.cli._tuning import _announcement, tune_and_report, write_script
from syne_hypersched.tuning import TuneJob, parse_space

SCRIPT = Path(__file__).parents[1] / "tuning" / "training_script.py"


@pytest.fixture
def job(tmp_path, monkeypatch) -> TuneJob:
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    return TuneJob(
        script=SCRIPT, space=parse_space(["lr=log(1e-3,1)", "width=[8,16]"]), metric="val_loss", do_minimize=True,
        time_attr="epoch", max_t=27, deadline_s=90.0, device_type="cpu", num_devices=2,
    )  # fmt: skip


def test_the_announcement_says_what_is_tuned_where_and_until_when(job):
    lines = _announcement(job, ("cpu0", "cpu1"), "my run").splitlines()
    assert lines[0] == "experiment my run: minimise val_loss of training_script.py"
    assert lines[1].startswith("  lr     ")
    assert lines[2].startswith("  width  ")
    assert lines[3] == f"2 devices (cpu0, cpu1), {job.scheduler}, up to epoch 27, 90 s"
    assert lines[4] == "Ctrl-C ends it; hypersched resume 'my run' continues it"


def test_one_device_and_many(job):
    assert "1 device (gpu0), " in _announcement(job, ("gpu0",), "x")
    assert "4 devices (a, b, c, d), " in _announcement(job, tuple("abcd"), "x")
    assert "5 devices (a to e), " in _announcement(job, tuple("abcde"), "x")
    assert ": maximise val_loss " in _announcement(replace(job, do_minimize=False), ("a",), "x")


@pytest.fixture
def ended(make_run, monkeypatch):
    """Has a tuning end at once, with a run that is there and perhaps a failure; the calls are noted."""
    calls = []

    def end(run, failure=""):
        scheduler = SimpleNamespace(
            metric_names=lambda: ["val_loss"], metric_mode=lambda: "min", time_attr="epoch"
        )  # fmt: skip
        backend = SimpleNamespace(devices=SimpleNamespace(names=("cpu0",)))
        tuner = SimpleNamespace(name="new", trial_backend=backend, scheduler=scheduler)
        monkeypatch.setattr("syne_hypersched.tuning.make_tuner", lambda job, is_new: calls.append(is_new) or tuner)
        monkeypatch.setattr(
            "syne_hypersched.tuning._end.run_job", lambda *given: calls.append(given[1]) or (run, failure)
        )
        monkeypatch.setattr("syne_hypersched.experiments.resume.is_over_and_told", lambda name, tuner: name == "over")
        monkeypatch.setattr(
            "syne_hypersched.tuning._end.report_run", lambda folder, columns: f"report of {folder.name}"
        )
        return calls

    return end


def test_a_tuning_ends_with_its_report_and_what_to_look_at(job, ended, make_run, capsys):
    calls = ended(make_run("a-run"))
    assert tune_and_report(job) == 0
    assert calls == [True, None]
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("experiment new: minimise")
    assert out[out.index("report of a-run") - 1] == ""
    assert out[-2].startswith("replay: ")
    assert out[-1] == "more: hypersched explain a-run, hypersched replay a-run"
    assert tune_and_report(job, resume="a-run") == 0
    assert calls[2:] == [False, "a-run"]
    assert capsys.readouterr().out.startswith("experiment a-run: minimise")


def test_a_run_whose_time_is_over_is_not_tuned_on(job, ended, make_run, capsys):
    calls = ended(make_run("over"))
    assert tune_and_report(job, resume="over") == 0
    assert calls == [False]  # a tuner was made, and not run
    assert capsys.readouterr().out == ""


def test_a_tuning_that_has_ended_early_is_exit_code_1(job, ended, make_run, capsys):
    ended(make_run("a-run"), "3 trials have failed")
    assert tune_and_report(job) == 1
    assert capsys.readouterr().err == "hypersched: the tuning ended early: 3 trials have failed\n"


def test_a_tuning_without_a_result_is_exit_code_1(job, ended, tmp_path, capsys):
    metadata = {"metric_names": ["loss"], "metric_mode": "min", "scheduler_kwargs": {"time_attr": "epoch"}}
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    ended(tmp_path)
    assert tune_and_report(job) == 1
    assert "no trial has reported a finite 'val_loss' at a level 'epoch'" in capsys.readouterr().err


def test_a_script_is_written_where_there_is_none(job, tmp_path, capsys):
    path = tmp_path / "a script.py"
    assert write_script(job, path) == 0
    assert capsys.readouterr().out.endswith(f"Run it: python '{path}'\n")
    compile(path.read_text(), str(path), "exec")
    with pytest.raises(ValueError, match="--write-script must be a new file, but"):
        write_script(job, path)
    with pytest.raises(ValueError, match="--write-script must be in an existing folder, but"):
        write_script(job, tmp_path / "none" / "script.py")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a script.py"]
