from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from syne_hypersched.cli import _tuning
from syne_hypersched.cli._tuning import _announcement, _replay_briefly, write_script
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


def test_a_replay_is_one_line_unless_there_are_too_many_reports(make_run, monkeypatch):
    path = make_run("run")
    (line,) = _replay_briefly(path)
    assert line.startswith("replay: ")
    monkeypatch.setattr(_tuning, "MOST_REPLAYED", 3)
    assert _replay_briefly(path) == []


def test_a_run_that_cannot_be_searched_again_has_no_replay(tmp_path):
    metadata = {"metric_names": ["loss"], "metric_mode": "min", "scheduler_kwargs": {"time_attr": "epoch"}}
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    assert _replay_briefly(tmp_path) == []
