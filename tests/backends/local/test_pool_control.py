"""Devices are given back and taken again in the middle of a run, as somebody outside asks."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from syne_hypersched.backends.machine.device_locks import free_keys
from tests.backends.local.test_device_changes import consecutive, make_trials  # noqa: F401 (a fixture)
from tests.backends.machine.test_gpu_health import FailingNvml

pytestmark = pytest.mark.usefixtures("no_process_left", "signals_of_nobody")


@pytest.fixture
def trials(make_trials):  # noqa: F811
    trials = make_trials()
    trials.start(), trials.start()
    trials.until(lambda: all(len(epochs) >= 2 for epochs in trials.epochs.values()))
    return trials


def ask(trials, text):
    (trials.folder / "pool.new").write_text(text)
    os.replace(trials.folder / "pool.new", trials.folder / "pool.json")


def test_a_file_gives_devices_back_and_takes_them_again(trials):
    ask(trials, json.dumps({"num_devices": 1, "request": "first", "reason": "a guest"}))
    trials.until(lambda: trials.events("freed") and trials.events("pool"))
    [retired], [answer] = trials.events("retire"), trials.events("pool")
    assert retired.reason == "a guest"
    assert (answer.details["request"], answer.details["is_done"], answer.details["present"]) == ("first", True, 1)
    ask(trials, "2")
    trials.until(lambda: trials.events("join"))
    seen = {trial_id: len(epochs) for trial_id, epochs in trials.epochs.items()}
    trials.until(lambda: all(len(epochs) > seen[trial_id] for trial_id, epochs in trials.epochs.items()))
    assert consecutive(trials)
    assert trials.status == {0: "InProgress", 1: "InProgress"}


@pytest.mark.parametrize(
    "text", [*(pytest.param(text, marks=pytest.mark.slow) for text in ("9", "no number")), '{"devices": ["gpu7"]}']
)
def test_a_file_that_makes_no_sense_is_left_out_with_a_warning(trials, caplog, text):
    ask(trials, text)
    trials.until(lambda: trials.events("pool"))
    assert trials.events("pool")[0].details["is_done"] is False
    assert "pool.json is left out: " in caplog.text
    assert trials.events("retire") == []
    ask(trials, "1")
    trials.until(lambda: trials.events("retire"))


def test_signals_give_devices_back_one_by_one_and_take_them_again(trials):
    os.kill(os.getpid(), signal.SIGUSR1)
    trials.until(lambda: trials.events("freed"))
    os.kill(os.getpid(), signal.SIGUSR2)
    trials.until(lambda: trials.events("join"))
    assert [event.reason for event in trials.events("retire", "join")] == ["SIGUSR1", "SIGUSR2"]
    trials.backend.stop_all()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_what_is_given_back_others_may_lock_and_it_comes_back_when_they_are_done(trials):
    trials.backend.set_devices_present(["cpu0"], "by hand")
    cores = [f"core-{core}" for core in trials.backend.devices.cores["cpu1"]]
    if set(trials.backend.devices.cores["cpu0"]) & set(trials.backend.devices.cores["cpu1"]):
        pytest.skip("there is one core for both slots")
    trials.until(lambda: free_keys(cores) == cores)
    trials.backend.set_devices_present(2)
    trials.until(lambda: trials.events("join"))
    assert free_keys(cores) == []


def test_all_devices_may_be_given_back_and_the_trials_wait(trials):
    trials.backend.set_devices_present(0)
    trials.until(lambda: not trials.backend._fleet.pool.holders)
    trials.poll()
    assert trials.status == {0: "InProgress", 1: "InProgress"}
    trials.backend.set_devices_present(2)
    seen = len(trials.reports)
    trials.until(lambda: len(trials.reports) > seen + 4)
    assert consecutive(trials)


def test_a_gpu_that_fails_is_not_used_any_more(make_trials, monkeypatch, caplog):  # noqa: F811
    nvml = FailingNvml(num_gpus=2)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    trials = make_trials(device_type="gpu", num_devices=2)
    trials.start(), trials.start()
    trials.until(lambda: all(len(epochs) >= 2 for epochs in trials.epochs.values()))
    trials.wait_for(lambda: trials.backend._health is not None)
    nvml.fail(1, xid=79)
    trials.until(lambda: trials.events("freed"))
    [lost] = trials.events("lose")
    assert (lost.devices, lost.reason) == (("1",), "Xid error 79")
    assert "GPU 1 is not used any more: NVML reports Xid error 79" in caplog.text
    trials.backend.set_devices_present(2)
    seen = len(trials.reports)
    trials.until(lambda: len(trials.reports) > seen + 3)
    assert trials.backend._fleet.pool.present == ("0",)
    assert consecutive(trials)
