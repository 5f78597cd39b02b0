"""GPUs that fail, as NVML tells, with a stand-in for NVML."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import dill
import pytest

from syne_hypersched.backends.machine.gpu_health import HARMLESS_XIDS, GpuHealth
from tests.backends.machine.test_discovery import FakeNvml


class FailingNvml(FakeNvml):
    """A stand-in whose GPUs fail when a test says so; the second one is divided if asked."""

    nvmlEventTypeXidCriticalError, nvmlEventTypeDoubleBitEccError = 8, 2
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 1, 0

    def __init__(self, num_gpus=2, is_divided=False, has_events=True):
        self.nvmlDeviceGetCount = lambda: num_gpus
        self.is_divided, self.has_events = is_divided, has_events
        self.events, self.watched, self.ecc = [], [], {}
        self.is_open = True

    def nvmlShutdown(self):
        self.is_open = False

    def fail(self, index, xid=None, ecc=0, double_bit=False):
        handle = f"GPU-{index}"
        if xid is not None or double_bit:
            kind = self.nvmlEventTypeDoubleBitEccError if double_bit else self.nvmlEventTypeXidCriticalError
            self.events.append(SimpleNamespace(device=handle, eventType=kind, eventData=xid or 0))
        self.ecc[handle] = self.ecc.get(handle, 0) + ecc

    def nvmlDeviceGetMigMode(self, handle):
        if not self.is_divided or handle != "GPU-1":
            raise self.NVMLError("not supported")
        return (1, 1)

    def nvmlDeviceGetMaxMigDeviceCount(self, handle):
        return 3 if self.is_divided and handle == "GPU-1" else 0

    def nvmlEventSetCreate(self):
        if not self.has_events:
            raise self.NVMLError("not supported")
        return self.events

    def nvmlDeviceRegisterEvents(self, handle, kinds, events):
        assert kinds == 10
        assert events is self.events
        self.watched.append(handle)

    def nvmlEventSetWait_v2(self, events, timeout_ms):
        assert timeout_ms == 0
        if not events:
            raise self.NVMLError("timeout")
        return events.pop(0)

    def nvmlEventSetFree(self, events):
        events.clear()

    def nvmlDeviceGetTotalEccErrors(self, handle, kind, counter):
        assert (kind, counter) == (1, 0)
        if handle == "GPU-0" and not self.ecc:
            raise self.NVMLError("not supported")
        return self.ecc.get(handle, 0)


@pytest.fixture
def make(monkeypatch):
    def make(names, installed=("GPU-0", "GPU-1"), **options):
        nvml = FailingNvml(**options)
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        return nvml, GpuHealth(names, installed)

    return make


def test_a_gpu_fails_once(make):
    nvml, health = make(["0", "GPU-1"])
    assert health.look() == {}
    nvml.fail(1, xid=79)
    assert (health.look(), health.look()) == ({"GPU-1": "Xid error 79"}, {})
    nvml.fail(0, double_bit=True)
    assert health.look() == {"0": "a memory error (ECC) that could not be corrected"}
    nvml.fail(1, ecc=3)
    assert (health.look(), health.look()) == ({"GPU-1": "3 memory errors (ECC) that could not be corrected"}, {})


@pytest.mark.parametrize("xid", sorted(HARMLESS_XIDS))
def test_an_error_that_a_program_causes_says_nothing_of_the_gpu(make, xid):
    nvml, health = make(["0"])
    nvml.fail(0, xid=xid)
    assert health.look() == {}


def test_errors_of_other_gpus_and_of_the_time_before_do_not_count(make, monkeypatch):
    nvml, health = make(["0"])
    assert nvml.watched == ["GPU-0"]
    nvml.fail(1, xid=79, ecc=1)
    assert health.look() == {}
    nvml.fail(0, ecc=5)
    assert GpuHealth(["0"], ["GPU-0"]).look() == {}


def test_an_error_of_a_divided_gpu_concerns_all_its_instances(make):
    nvml, health = make(["MIG-0", "MIG-2"], ["GPU-0", "MIG-0", "MIG-2"], is_divided=True)
    nvml.fail(1, xid=48)
    assert set(health.look()) == {"MIG-0", "MIG-2"}


def test_without_events_memory_errors_are_still_counted(make):
    nvml, health = make(["1"], has_events=False)
    nvml.fail(1, xid=79)
    assert health.look() == {}
    nvml.fail(1, ecc=1)
    assert set(health.look()) == {"1"}


def test_nvml_is_left_when_it_is_over(make):
    nvml, health = make(["0"])
    health.close(), health.close()
    assert not nvml.is_open
    assert health.look() == {}


def test_a_copy_in_another_process_asks_nobody(make):
    nvml, health = make(["0"])
    health._handles["GPU-0"] = (part for part in ())  # like a pointer, it cannot be stored
    copy = dill.loads(dill.dumps(health))
    nvml.fail(0, xid=79)
    assert (copy.is_open, copy.look(), health.is_open) == (False, {}, True)
    copy.close()


def test_without_nvml_or_a_driver_no_gpu_fails(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert GpuHealth(["0"], ["GPU-0"]).look() == {}

    class NoDriver(FailingNvml):
        @classmethod
        def nvmlInit(cls):
            raise cls.NVMLError("driver not loaded")

    monkeypatch.setitem(sys.modules, "pynvml", NoDriver())
    health = GpuHealth(["0"], ["GPU-0"])
    assert health.look() == {}
    health.close()
