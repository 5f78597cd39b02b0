"""Devices that another experiment holds: GPUs are refused, CPU slots give a warning or go to other cores."""

from __future__ import annotations

import os
import textwrap

import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform

from syne_hypersched import ASHA, ElasticLocalBackend
from syne_hypersched.backends.machine import claims as _claims
from syne_hypersched.backends.machine import device_locks as _device_locks
from syne_hypersched.backends.machine.claims import claim, take_again
from syne_hypersched.backends.machine.device_locks import DeviceLocks
from syne_hypersched.backends.machine.discovery import Devices, find_devices

pytestmark = pytest.mark.usefixtures("no_process_left")

UUIDS = ("GPU-aa", "GPU-bb", "MIG-cc")


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    folder = tmp_path / "runtime"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))


def claim_gpus(*tokens, share_devices=None, experiment="mine"):
    locks = DeviceLocks()
    claim(Devices(tokens), locks, experiment, share_devices, True, installed=lambda: UUIDS)
    return locks


def test_a_gpu_has_one_experiment_whatever_it_is_called():
    first = claim_gpus("0", "GPU-b")
    with pytest.raises(RuntimeError, match=rf"GPU 1 is held by experiment mine \(pid {os.getpid()}\).*share_devices"):
        claim_gpus("1")
    with pytest.raises(RuntimeError, match="GPU 0 and GPU GPU-bb are held by"):
        claim_gpus("0", "GPU-bb", "MIG-cc", experiment="other")
    second = claim_gpus("MIG-c")  # nothing of the refused experiment is left
    first.release()
    claim_gpus("1")
    assert second.holds_any


def test_whoever_holds_several_devices_is_named_once():
    mine, others = find_devices(2, device_type="cpu", cores=(0, 1)), DeviceLocks()
    claim(mine, others, "other", False, True)
    free, held = take_again(mine, mine.names, DeviceLocks(), "mine", False)
    assert free == ()
    assert held == f"cpu0 and cpu1 are held by experiment other (pid {os.getpid()})"
    others.release()
    assert take_again(mine, mine.names, DeviceLocks(), "mine", False) == (mine.names, "")


def test_gpus_are_shared_where_both_say_so(caplog):
    first = claim_gpus("0", share_devices=True)
    second = claim_gpus("GPU-aa", share_devices=True)
    with pytest.raises(RuntimeError, match="GPU 0 is held by"):
        claim_gpus("0")
    first.release()
    second.release()
    third = claim_gpus("0")
    assert not claim_gpus("0", share_devices=True).holds_any
    assert third.holds_any
    assert not caplog.records


def slots(num_slots, cores):
    return find_devices(num_slots, device_type="cpu", cores=cores)


def claim_slots(devices, share_devices=None, may_move=True):
    locks = DeviceLocks()
    return claim(devices, locks, "mine", share_devices, may_move), locks


def test_a_message_does_not_name_hundreds_of_slots(caplog):
    devices, first = claim_slots(slots(100, list(range(100))), may_move=False)
    claim_slots(devices, may_move=False)
    first.release()
    assert "cpu6, cpu7 and 92 others are held by experiment mine" in caplog.text
    assert "cpu8" not in caplog.text


def test_cpu_slots_are_shared_with_a_warning(caplog):
    devices, first = claim_slots(slots(2, [0, 1]), may_move=False)
    same, second = claim_slots(devices, may_move=False)
    assert same == devices
    (record,) = caplog.records
    assert f"cpu0 and cpu1 are held by experiment mine (pid {os.getpid()})" in record.message
    assert "share_devices=True" in record.message
    claim_slots(devices, share_devices=True, may_move=False)
    assert len(caplog.records) == 1
    with pytest.raises(RuntimeError, match="cpu0 and cpu1 are held by experiment mine"):
        claim_slots(devices, share_devices=False, may_move=False)
    first.release()
    second.release()


@pytest.mark.parametrize("share_devices", [None, True])
def test_slots_that_others_hold_are_claimed_again_without_a_word(caplog, monkeypatch, share_devices):
    """A tuner claims them whenever it starts a trial while none runs."""
    _, first = claim_slots(slots(1, [0]), may_move=False)
    devices, second = claim_slots(slots(1, [0]), share_devices, may_move=False)
    assert len(caplog.records) == (share_devices is None)
    with monkeypatch.context() as patch:
        patch.setattr(_device_locks.time, "sleep", lambda _: pytest.fail("the start of a trial waits"))
        assert claim(devices, second, "mine", share_devices, True) is devices
    assert len(caplog.records) == (share_devices is None)
    assert not second.holds_any
    first.release()
    assert claim(devices, second, "mine", share_devices, True) is devices
    assert second.holds_any
    second.release()
    assert not second.are_missing


def test_cpu_slots_use_cores_that_no_other_experiment_holds(caplog, monkeypatch):
    monkeypatch.setattr(_claims, "_usable_cores", lambda: [0, 1, 2, 3, 4])
    _, first = claim_slots(slots(2, [0, 1, 2, 3]))
    moved, second = claim_slots(slots(1, [0, 1, 2, 3, 4]))
    assert moved.names == ("cpu0",)
    assert moved.cores == {"cpu0": (4,)}
    assert not caplog.records
    _, third = claim_slots(slots(1, [0, 1, 2, 3, 4]))
    assert len(caplog.records) == 1
    assert all(locks.holds_any for locks in (first, second)), third


def test_what_is_held_stays():
    devices, locks = claim_slots(slots(1, [0]))
    assert claim(devices, locks, "mine", False, False) is devices


SCRIPT = """
for epoch in range(1, 4):
    print('[tune-metric]: {"epoch": %d, "loss": 0.5}' % epoch, flush=True)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def make_tuner(script, name, **options):
    backend = ElasticLocalBackend(script, device_type="cpu", launch="cold", **options)
    scheduler = ASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t=3, random_seed=1)
    stop = StoppingCriterion(max_num_trials_finished=2)
    return Tuner(
        backend, scheduler, stop, n_workers=1, sleep_time=0.02, save_tuner=False, tuner_name=name,
        suffix_tuner_name=False,
    )  # fmt: skip


def test_an_experiment_is_refused_while_another_runs(script):
    backend = ElasticLocalBackend(script, device_type="cpu", launch="cold")
    backend.set_path(str(script.parent / "first"), "first")
    refused = make_tuner(script, "second", share_devices=False)
    unused = make_tuner(script, "unused", share_devices=False)  # which holds nothing before it runs
    backend.start_trial({"x": 1.0})
    try:
        with pytest.raises(RuntimeError, match=r"held by experiment first \(pid"):
            refused.run()
    finally:
        backend.stop_all()
    unused.run()
    make_tuner(script, "after", share_devices=False).run()


def test_the_locks_of_a_tuner_that_was_killed_are_gone(script, tmp_path, forked, wait_for):
    launch = tmp_path / "launch.py"
    launch.write_text(
        textwrap.dedent(f"""
        import time
        from syne_hypersched import ElasticLocalBackend
        backend = ElasticLocalBackend({str(script)!r}, device_type="cpu", launch="cold")
        backend.set_path({str(tmp_path / "killed")!r}, "killed")
        backend.start_trial({{"x": 1.0}})
        print("started", flush=True)
        time.sleep(1000)
        """)
    )
    with open(tmp_path / "log", "wb") as log:
        process = forked.start([launch], stdout=log, stderr=log)
    wait_for(lambda: process.poll() is not None or "started\n" in (tmp_path / "log").read_text())
    with pytest.raises(RuntimeError, match=rf"held by experiment killed \(pid {process.pid}\)"):
        make_tuner(script, "before", share_devices=False).run()
    process.kill()
    process.wait()
    make_tuner(script, "then", share_devices=False).run()


@pytest.mark.parametrize("value", ["yes", 1])
def test_share_devices_is_checked(value, script):
    with pytest.raises(TypeError, match="share_devices must be True, False or None, but got"):
        ElasticLocalBackend(script, device_type="cpu", share_devices=value)
