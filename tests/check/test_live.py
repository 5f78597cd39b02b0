"""A launch that is watched: what is noticed of it, and what the kernel says of its processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from syne_hypersched.backends.machine.discovery import find_devices
from syne_hypersched.check import _live, check_and_print
from syne_hypersched.check._live import CHECKPOINT_PLACEHOLDER, Stage, _has_sigterm, _status

#: Reports twice, with a save before each, and then waits for the end.
SCRIPT = """
import json, os, sys, time
folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
for epoch in (1, 2):
    with open(f"{folder}/state", "w") as file:
        file.write(str(epoch))
    while "waits" in sys.argv and not os.path.exists(f"seen-{epoch}"):
        time.sleep(0.001)
    print("[tune-metric]: " + json.dumps({"epoch": epoch, "loss": 1 / epoch, "st_worker_iter": epoch}), flush=True)
if "fails" in sys.argv:
    sys.exit("no such data set")
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


@pytest.fixture
def stages(folder: Path) -> Iterator[list[Stage]]:
    made: list[Stage] = []
    yield made
    for stage in made:
        stage.close()


def stage_of(folder: Path, stages: list[Stage], *options: str) -> Stage:
    stage = Stage(
        (str(folder / "train.py"), CHECKPOINT_PLACEHOLDER, *options), (sys.executable,),
        find_devices(1, device_type="cpu"), "per_device", 5.0, folder, share_devices=True,
    )  # fmt: skip
    stages.append(stage)
    return stage


def test_reports_and_saves_are_noticed_and_a_kill_is_none_of_the_scripts(
    folder: Path, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    stage = stage_of(folder, stages, "waits")
    # The first changes in a folder that is new may come before its watch.
    stage.checkpoints("alone").mkdir(parents=True)
    launch = stage.start("alone", 1)
    for epoch in (1, 2):  # changes and reports that are seen together may have come in any order
        assert launch.wait(lambda epoch=epoch: [one.kind for one in launch.changes].count("closed") == epoch, 250.0)
        (folder / f"seen-{epoch}").touch()
        assert launch.wait(lambda epoch=epoch: len(launch.reports) == epoch, 250.0)
    assert not launch.has_ended
    assert launch.num_saves() >= 2
    assert launch.num_saves_since_report() == 0
    copy = folder / "copy"
    launch.copy_checkpoints(stage.checkpoints("alone"), copy)
    assert (copy / "state").read_text() == "2"
    launch.kill()
    assert launch.has_ended
    trace = launch.finish(1)
    # Entries of Syne Tune's reporter are left out.
    assert list(trace.reports) == [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}]
    assert [trace.saved_before(0), trace.saved_before(1)] == [True, True]
    assert (trace.exit_code, trace.is_silent, trace.last_words, trace.last_lines) == (None, False, "", ())


def test_a_script_that_fails_ends_the_wait_and_its_last_words_are_kept(folder: Path, stages: list[Stage]) -> None:
    launch = stage_of(folder, stages, "fails").start("alone", 1)
    assert not launch.wait(lambda: len(launch.reports) > 2, 250.0)
    trace = launch.finish(1)
    assert (trace.exit_code, trace.last_words, trace.last_lines) == (1, "no such data set", ("no such data set",))
    assert Path(trace.log).read_text().endswith("no such data set\n")
    assert len(trace.reports) == 2


def test_what_comes_after_sigterm_is_told_apart(folder: Path, stages: list[Stage]) -> None:
    launch = stage_of(folder, stages).start("terminated", 1)
    assert launch.wait(lambda: len(launch.reports) == 2, 250.0)
    launch.terminate(grace_s=250.0, timeout_s=250.0)
    trace = launch.finish(1)
    assert trace.num_before_signal == 2
    assert trace.exit_code == -signal.SIGTERM
    assert trace.leave_s is not None
    assert not trace.was_killed


def test_a_silent_script_is_given_up(folder: Path, stages: list[Stage]) -> None:
    launch = stage_of(folder, stages).start("silent", 1)
    assert not launch.wait(lambda: False, 0.0)
    launch.give_up()
    assert launch.finish(1).is_silent


def test_what_the_kernel_says_of_a_process() -> None:
    assert _status(os.getpid())["State"][0] in "RS"
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert _status(process.pid) == {}


def test_whether_sigterm_waits() -> None:
    waits = f"{1 << (signal.SIGTERM - 1):016x}"
    nothing = {"State": "T (stopped)", "SigPnd": "0" * 16, "ShdPnd": "0" * 16}
    assert not _has_sigterm(nothing)
    assert not _has_sigterm(nothing | {"ShdPnd": f"{1 << (signal.SIGINT - 1):016x}"})
    assert _has_sigterm(nothing | {"ShdPnd": waits})
    assert _has_sigterm(nothing | {"SigPnd": waits})
    assert _has_sigterm(nothing | {"State": "Z (zombie)"})
    assert _has_sigterm({})  # the process is gone


def test_a_folder_that_the_kernel_does_not_watch_is_explained(
    folder: Path, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: str, log: str) -> None:  # the limit holds for all programs here, so it is not reached for this
        raise OSError(errno.EMFILE, "too many programs watch files", "inotify_init1")

    monkeypatch.setattr(_live, "ChangeWatch", refuse)
    stage = stage_of(folder, stages)
    with pytest.raises(RuntimeError, match="cannot be watched: too many programs watch files"):
        stage.start("alone", 1)


def test_a_folder_that_cannot_be_made_is_said_without_a_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").touch()
    assert check_and_print(str(folder / "train.py"), (), False, keep=folder / "file" / "logs") == 2
    assert "Not a directory" in capsys.readouterr().err
