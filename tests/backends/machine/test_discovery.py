"""Which devices may be used. No GPU is needed: NVML is replaced, everything behind it is real."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from syne_hypersched.backends.machine import discovery
from syne_hypersched.backends.machine.discovery import (
    find_devices,
    installed_gpus,
    parse_nvidia_smi,
    visible_gpus,
)

GPUS = ("GPU-aaaa-1", "GPU-aabb-2", "GPU-cccc-3", "GPU-dddd-4")
MIGS = ("MIG-1111", "MIG-2222")


@pytest.mark.parametrize(
    ("inherited", "installed", "tokens"),
    [
        (None, GPUS, ("0", "1", "2", "3")),
        (None, MIGS, MIGS),
        (None, (), ()),
        ("", GPUS, ()),
        ("2,0", GPUS, ("2", "0")),
        (" 1 , 3 ", GPUS, ("1", "3")),
        ("0,-1,1", GPUS, ("0",)),
        ("0,9,1", GPUS, ("0",)),
        ("GPU-cccc-3,GPU-aaaa", GPUS, ("GPU-cccc-3", "GPU-aaaa")),
        ("GPU-nosuch,0", GPUS, ()),
        ("MIG-2222", MIGS, ("MIG-2222",)),
        ("NoDevFiles", GPUS, ()),
    ],
)
def test_an_inherited_variable_is_honoured(inherited, installed, tokens):
    env = {} if inherited is None else {"CUDA_VISIBLE_DEVICES": inherited}
    assert visible_gpus(env, installed) == tokens


def test_a_gpu_named_twice_is_an_error():
    with pytest.raises(ValueError, match="CUDA_VISIBLE_DEVICES must name each device once, but is '1,1'"):
        visible_gpus({"CUDA_VISIBLE_DEVICES": "1,1"}, GPUS)


def find(num_devices=None, gpus_to_use=None, device_type="auto", installed=GPUS, cores=(0, 1, 2, 3), **env):
    return find_devices(num_devices, gpus_to_use, device_type, env, installed, cores)


def test_gpus_come_before_cpu_slots():
    assert find().names == ("0", "1", "2", "3")
    assert find().are_gpus
    assert find(2, CUDA_VISIBLE_DEVICES="3,1,0").names == ("3", "1")
    assert find(gpus_to_use=[2, 0], CUDA_VISIBLE_DEVICES="3,1,0").names == ("0", "3")


def test_cpu_slots_share_the_cores():
    assert find(device_type="cpu").cores == {"cpu0": (0,), "cpu1": (1,), "cpu2": (2,), "cpu3": (3,)}
    assert find(2, installed=()).cores == {"cpu0": (0, 1), "cpu1": (2, 3)}
    assert find(3, installed=(), cores=(5, 7)).cores == {"cpu0": (5,), "cpu1": (7,), "cpu2": (5,)}
    assert not find(2, installed=()).are_gpus


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_devices": 0}, "num_devices must be at least 1, but got 0"),
        ({"num_devices": 10**30}, "num_devices must be at most 65536, the most slots of one machine, but got 1"),
        ({"num_devices": 5}, "num_devices must be at most the 4 GPUs that may be used, but got 5"),
        ({"device_type": "gpu", "installed": ()}, "device_type must be 'cpu' where no GPU is visible, but got 'gpu'"),
        ({"device_type": "tpu"}, "device_type must be"),
        ({"gpus_to_use": [4]}, "gpus_to_use must name different positions among the 4 visible GPUs"),
        ({"gpus_to_use": [-1]}, "gpus_to_use"),
        ({"gpus_to_use": []}, "gpus_to_use must name a GPU at least"),
        ({"gpus_to_use": (), "device_type": "cpu"}, "gpus_to_use must name a GPU at least"),
        ({"gpus_to_use": [0, 0]}, "gpus_to_use"),
        ({"gpus_to_use": [0], "installed": ()}, "gpus_to_use"),
        ({"gpus_to_use": [0, 1], "num_devices": 3}, "at most the 2 GPUs"),
    ],
)
def test_the_impossible_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        find(**arguments)


@pytest.mark.parametrize("num_devices", [1.0, True, "2", np.float64(2), np.array([1, 2]), np.True_])
def test_a_number_of_devices_is_an_integer(num_devices):
    with pytest.raises(TypeError, match="num_devices must be an integer, but got"):
        find(num_devices)


@pytest.mark.parametrize("gpus_to_use", ["0,1", 1, [0.0], [True], ["0"]])
def test_positions_are_a_list_of_integers(gpus_to_use):
    with pytest.raises(TypeError, match=r"gpus_to_use must be (a list of|an integer)"):
        find(gpus_to_use=gpus_to_use)


def test_integers_of_numpy_are_integers():
    assert find(np.int64(2)).names == find(2).names
    assert find(gpus_to_use=np.array([2, 0])).names == find(gpus_to_use=(np.int32(2), 0)).names == ("2", "0")


@pytest.mark.parametrize(
    ("num_devices", "quota", "slots", "threads"),
    [
        (None, None, 4, 1),
        (None, 2.0, 2, 1),
        (None, 2.9, 2, 1),
        (None, 0.5, 1, 1),
        (None, 64.0, 4, 1),
        (1, 3.0, 1, 3),
        (2, 2.0, 2, 1),
        (4, 2.0, 4, 1),
        (8, 2.0, 8, 1),
    ],
)
def test_a_quota_of_cpu_time_counts(num_devices, quota, slots, threads):
    devices = find_devices(num_devices, device_type="cpu", env={}, installed=(), cores=range(4), quota=quota)
    assert len(devices.names) == slots
    assert {devices.num_threads([name]) for name in devices.names} == {threads}
    # Where the time is spent is the kernel's affair.
    assert {core for cores in devices.cores.values() for core in cores} == set(range(4))


def test_the_quota_of_this_process_counts(monkeypatch):
    monkeypatch.setattr(discovery, "cpu_quota", lambda: 1.0)
    assert find_devices(device_type="cpu").names == ("cpu0",)


def test_the_listing_of_nvidia_smi():
    listing = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6)
  MIG 3g.20gb     Device  0: (UUID: MIG-c7384736)
  MIG 3g.20gb     Device  1: (UUID: MIG-a28ad590)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-d37ecd5b)
"""
    assert parse_nvidia_smi(listing) == ("MIG-c7384736", "MIG-a28ad590", "GPU-d37ecd5b")
    assert parse_nvidia_smi("No devices found.\n") == ()


class FakeNvml(SimpleNamespace):
    """NVML of a machine with one whole GPU and one that is partitioned."""

    class NVMLError(Exception):
        pass

    NVML_DEVICE_MIG_ENABLE = 1
    nvmlInit = nvmlShutdown = staticmethod(lambda: None)
    nvmlDeviceGetCount = staticmethod(lambda: 2)
    nvmlDeviceGetHandleByIndex = staticmethod(lambda index: f"GPU-{index}")
    nvmlDeviceGetUUID = staticmethod(lambda handle: handle)
    nvmlDeviceGetMaxMigDeviceCount = staticmethod(lambda handle: 3)

    @classmethod
    def nvmlDeviceGetMigMode(cls, handle):
        if handle == "GPU-0":
            raise cls.NVMLError("not supported")
        return (1, 1)

    @classmethod
    def nvmlDeviceGetMigDeviceHandleByIndex(cls, handle, number):
        if number == 1:
            raise cls.NVMLError("not found")
        return f"MIG-{number}"


def test_nvml_is_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    assert installed_gpus() == ("GPU-0", "MIG-0", "MIG-2")


def test_nvml_without_a_driver_means_no_gpus(monkeypatch):
    class NoDriver(FakeNvml):
        @classmethod
        def nvmlInit(cls):
            raise cls.NVMLError("driver not loaded")

    monkeypatch.setitem(sys.modules, "pynvml", NoDriver())
    assert installed_gpus() == ()


def test_without_nvml_nvidia_smi_is_asked(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installed_gpus() == ()
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "GPU 0: NVIDIA H100 (UUID: GPU-1234)"\n')
    program.chmod(0o755)
    assert installed_gpus() == ("GPU-1234",)
    program.write_text("#!/bin/sh\necho failed; exit 9\n")
    assert installed_gpus() == ()
