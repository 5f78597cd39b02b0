"""Several trials on one GPU, with a stand-in for NVML: the processes are real, the GPUs are not."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from syne_hypersched import ElasticLocalBackend
from tests.backends.local.test_device_changes import consecutive, make_trials  # noqa: F401 (a fixture)
from tests.backends.local.test_fleet import SCRIPT
from tests.backends.machine.test_gpu_health import FailingNvml

SEEING = SCRIPT.replace("rank=rank,", "rank=rank, gpus=os.environ['CUDA_VISIBLE_DEVICES'],").replace(
    'sys.exit("this rank has a fault")', 'sys.exit("torch.OutOfMemoryError: CUDA out of memory")'
)


class Nvml(FailingNvml):
    def __init__(self, num_gpus=2):
        super().__init__(num_gpus)
        self.free = {}

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(total=80, free=self.free.get(handle, 80))


@pytest.fixture
def nvml(monkeypatch, no_process_left):
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return nvml


def test_trials_share_gpus_and_one_that_grows_gets_a_whole_one(nvml, make_trials):  # noqa: F811
    trials = make_trials(SEEING, device_type="gpu", num_devices=2, shares_per_gpu=2)
    assert trials.backend.num_devices == 4
    for _ in range(4):
        trials.start()
    trials.until(lambda: all(trials.epochs.values()))
    assert {report["gpus"] for report in trials.reports} == {"0", "1"}
    holders = trials.backend._fleet.pool.holders
    assert {len(devices) for devices in holders.values()} == {1}
    assert sorted(device.partition("#")[0] for devices in holders.values() for device in devices) == list("0011")
    # Two shares are a GPU: trial 0 gets it when the trial beside it has left.
    trial = trials.backend._trial_dict[0]
    trial.resize(3)
    assert trial.num_devices == 2, "one and a half GPUs are one"
    neighbour = next(i for i in (1, 2, 3) if holders[i][0].partition("#")[0] == holders[0][0].partition("#")[0])
    trials.backend.pause_trial(neighbour)
    trials.until(lambda: any(report["st_num_devices"] == 2 for report in trials.reports))
    [grown] = [devices for devices in trials.backend._fleet.pool.holders.values() if len(devices) == 2]
    assert len({device.partition("#")[0] for device in grown}) == 1
    report = next(report for report in trials.reports if report["st_num_devices"] == 2)
    assert report["gpus"] == grown[0].partition("#")[0]
    [launch] = [event for event in trials.events("launch") if len(event.devices) == 2]
    assert len(launch.details["pids"]) == 1, "one process on one GPU"
    assert consecutive(trials)


def test_a_trial_that_runs_out_of_memory_goes_on_alone(nvml, make_trials, caplog):  # noqa: F811
    script = SEEING.replace(
        "if rank == args.fail_on_rank:",
        "if args.fail_on_rank == 7 and epoch == 3 and not (args.st_checkpoint_dir / 'oom').exists() and "
        "((args.st_checkpoint_dir / 'oom').touch() or True):",
    )
    trials = make_trials(script, device_type="gpu", num_devices=1, shares_per_gpu=2, retries=0)
    trials.start(fail_on_rank=7)
    trials.until(lambda: len(trials.epochs[0]) >= 6)
    [retry] = trials.events("retry")
    assert retry.reason == "it ran out of memory on a GPU that it shares, and goes on alone on one"
    assert [len(event.devices) for event in trials.events("launch")] == [1, 2]
    assert trials.backend.wished_devices(0) == 2
    trials.backend._trial_dict[0].resize(1)
    assert trials.backend.wished_devices(0) == 2, "it needs a whole GPU from now on"
    assert consecutive(trials)
    assert "Trial 0: it ran out of memory" in caplog.text


def test_a_launch_waits_until_there_is_memory(nvml, make_trials, caplog):  # noqa: F811
    nvml.free = {"GPU-0": 30}
    trials = make_trials(SEEING, device_type="gpu", num_devices=1, shares_per_gpu=2)
    trials.start()
    trials.until(lambda: "Trial 0 waits for memory of GPU 0" in caplog.text)
    assert trials.events("launch") == []
    nvml.free = {}
    trials.until(lambda: trials.reports)


def test_a_gpu_that_fails_takes_all_its_shares_along(nvml, make_trials):  # noqa: F811
    trials = make_trials(SEEING, device_type="gpu", num_devices=2, shares_per_gpu=2)
    for _ in range(4):
        trials.start()
    trials.until(lambda: all(trials.epochs.values()))
    trials.wait_for(lambda: trials.backend._health is not None)
    nvml.fail(0, xid=79)
    trials.until(lambda: trials.events("lose"))
    assert set(trials.events("lose")[0].devices) == {"0#0", "0#1"}
    assert trials.backend._fleet.pool.present == ("1#0", "1#1")


def test_cpu_slots_have_no_shares(tmp_path):
    (tmp_path / "train.py").write_text("")
    with pytest.raises(ValueError, match="shares_per_gpu must be 1 for CPU slots"):
        ElasticLocalBackend(tmp_path / "train.py", 2, device_type="cpu", shares_per_gpu=2)
    with pytest.raises(ValueError, match="shares_per_gpu must be at least 1"):
        ElasticLocalBackend(tmp_path / "train.py", 2, device_type="cpu", shares_per_gpu=0)
