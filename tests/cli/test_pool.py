"""The command that gives devices of a running experiment back, on a real run with the stock tuner."""

from __future__ import annotations

import signal

import pytest

from syne_hypersched.cli import main
from syne_hypersched.experiments import check_run, load_run, read_events
from tests.recovery.conftest import SCRIPT

LAUNCH = """
import sys
from syne_tune import Tuner
from syne_tune.config_space import uniform
from syne_hypersched import Deadline, ElasticLocalBackend, HyperSched

backend = ElasticLocalBackend(sys.argv[1], 3, device_type="cpu", grace_s=2.0)
scheduler = HyperSched({"x": uniform(0, 1), "epochs": 10**6}, "loss", "epoch", 10**6, random_seed=0)
Tuner(
    backend, scheduler, Deadline(600, backend), n_workers=3, sleep_time=0.02, tuner_name="shared",
    suffix_tuner_name=False, save_tuner=False,
).run()
"""


@pytest.fixture
def running(tmp_path, monkeypatch, wait_for, forked, no_process_left):
    """An experiment that runs until it is interrupted: its folder."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "launch.py").write_text(LAUNCH)
    with open(tmp_path / "log", "w") as log:
        process = forked.start([tmp_path / "launch.py", tmp_path / "train.py"], stdout=log, stderr=log)
    folder = tmp_path / "experiments" / "shared"
    wait_for(lambda: count(folder, "first_report") >= 3)
    yield process, folder
    if process.poll() is None:
        process.kill()
        process.wait()


def count(folder, event):
    path = folder / "events.jsonl"
    return sum(each.event == event for each in read_events(path)) if path.exists() else 0


def test_devices_are_given_back_and_taken_again_while_the_tuner_runs(running, wait_for, capsys):
    process, folder = running
    assert main(["pool", "shared"]) == 0
    assert capsys.readouterr().out == "shared: 3 of 3 devices present: cpu0, cpu1, cpu2\n"
    assert main(["pool", "shared", "--devices", "1"]) == 0
    assert capsys.readouterr().out.startswith("shared: 1 of 3 devices present: cpu")
    held = set()
    for event in read_events(folder / "events.jsonl"):
        if event.event in ("launch", "exit"):
            (held.update if event.event == "launch" else held.difference_update)(event.devices)
    assert len(held) <= 1, "the command returns when the devices are free"
    assert main(["pool", str(folder), "--names", "cpu0", "--names", "cpu2"]) == 0
    assert capsys.readouterr().out == f"{folder}: 2 of 3 devices present: cpu0, cpu2\n"
    process.send_signal(signal.SIGUSR2)
    wait_for(lambda: count(folder, "join") >= 2 and read_events(folder / "events.jsonl")[-1].event != "join")
    process.send_signal(signal.SIGUSR1)
    wait_for(lambda: any(event.reason == "SIGUSR1" for event in read_events(folder / "events.jsonl")))
    assert main(["pool", "shared", "--devices", "7"]) == 1
    assert "num_devices must be from 0 to 3, the devices of the run, but got 7" in capsys.readouterr().err
    assert main(["pool", "shared", "--devices", "3"]) == 0
    process.send_signal(signal.SIGINT)
    process.wait()
    # The script, which SIGTERM ends at once, may have reported the best value without saving it.
    assert [violation for violation in check_run(load_run(folder), step=1) if violation.rule != "best"] == []


def test_a_run_of_which_nothing_is_known_is_waited_for(make_run, capsys):
    path = make_run("over")
    assert main(["pool", "over", "--devices", "1", "--timeout", "0.1"]) == 1
    assert "has not answered within 0.1 s" in capsys.readouterr().err
    assert (path / "pool.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "is not the folder of an experiment"),
        (["over", "--devices", "1", "--names", "cpu0"], "--devices or --names, not both"),
        (["over", "--devices", "some"], "devices"),
    ],
)
def test_a_request_that_makes_no_sense(make_run, capsys, arguments, message):
    make_run("over")
    assert main(["pool", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_run_without_a_record_of_devices(make_run, capsys):
    (make_run("stock") / "events.jsonl").unlink()
    assert main(["pool", "stock"]) == 2
    assert "has no record of its devices" in capsys.readouterr().err
