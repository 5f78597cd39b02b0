from __future__ import annotations

import ast
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from syne_hypersched.tuning import TuneJob, make_tuner, parse_space, script_of

SCRIPT = Path(__file__).with_name("training_script.py")


@pytest.fixture
def job(tmp_path, monkeypatch) -> TuneJob:
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    return TuneJob(
        script=SCRIPT,
        space=parse_space(["lr=log(1e-4,1e-1)", "width=[8,16]", "opt='it\\'s'", "n=int(1,8)"]),
        metric="val_loss",
        do_minimize=True,
        time_attr="epoch",
        max_t=27,
        deadline_s=5400.0,
        device_type="cpu",
        num_devices=2,
        arguments=("lr={lr}", "{...}"),
        scheduler="asha-promotion",
        seed=3,
        name="given",
    )


def captured_tuner(path: Path, monkeypatch):
    """The tuner that a script makes, which is not run."""
    tuners = []
    monkeypatch.setattr("syne_hypersched.tuning.run_and_report", lambda tuner: tuners.append(tuner) or 1)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == 1
    return tuners[0]


def test_the_script_makes_the_tuner_that_the_command_makes(job, tmp_path, monkeypatch):
    path = tmp_path / "launch.py"
    path.write_text(script_of(job, path))
    written, direct = captured_tuner(path, monkeypatch), make_tuner(job)
    assert written.name == direct.name == "given"
    assert written.scheduler.metadata() == direct.scheduler.metadata()
    assert written.stop_criterion.deadline_s == direct.stop_criterion.deadline_s == 5400
    assert written.n_workers == direct.n_workers == 2
    assert written.max_failures == direct.max_failures
    assert written.trial_backend.entrypoint_path() == direct.trial_backend.entrypoint_path()
    assert [type(callback) for callback in written.callbacks] == [type(callback) for callback in direct.callbacks]


@pytest.mark.parametrize("scheduler", ["hypersched", "hypersched-published", "asha", "pasha"])
def test_every_scheduler_is_written(job, tmp_path, monkeypatch, scheduler):
    job = replace(job, scheduler=scheduler, arguments=None, name=None)
    path = tmp_path / "launch.py"
    path.write_text(script_of(job, path))
    assert captured_tuner(path, monkeypatch).scheduler.metadata() == make_tuner(job).scheduler.metadata()


def test_a_script_beside_the_training_script_can_be_moved_with_it(job, tmp_path):
    training = tmp_path / "here" / "train it.py"
    training.parent.mkdir()
    shutil.copy(SCRIPT, training)
    text = script_of(replace(job, script=training), training.parent / "launch.py")
    assert "Path(__file__).parent / 'train it.py'" in text
    assert str(tmp_path) not in text
    assert repr(str(training)) in script_of(replace(job, script=training), tmp_path / "elsewhere" / "launch.py")
    ast.parse(text)


def test_a_name_in_use_is_refused(job, tmp_path):
    (tmp_path / "experiments" / "given").mkdir(parents=True)
    with pytest.raises(ValueError, match="--resume given"):
        make_tuner(job)
    assert make_tuner(job, is_new=False).name == "given"
