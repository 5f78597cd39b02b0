"""Duration of steps, also if the device computes them later."""

from __future__ import annotations

import itertools

import pytest

torch = pytest.importorskip("torch")

from syne_hypersched.training._step_clock import StepClock  # noqa: E402


class Device:
    """Executes its operations later, in place of a GPU, which the tests do not need."""

    def __init__(self) -> None:
        self.given_s = 0.0
        self.computed_s = 0.0
        self.num_waits = 0

    def compute(self, duration_s: float) -> None:
        self.given_s += duration_s

    def note_moment(self) -> _Event:
        return _Event(self)


class _Event:
    def __init__(self, device: Device) -> None:
        self.device, self.at_s = device, device.given_s

    def query(self) -> bool:
        return self.device.computed_s >= self.at_s

    def synchronize(self) -> None:
        if not self.query():
            self.device.num_waits += 1
            self.device.computed_s = self.at_s

    def elapsed_time(self, end_event: _Event) -> float:
        assert self.query()
        assert end_event.query()
        return 1e3 * (end_event.at_s - self.at_s)


@pytest.fixture
def device():
    return Device()


@pytest.fixture
def clock(device):
    return StepClock(torch.device("cpu"), device.note_moment)


def test_a_step_takes_what_the_device_needs_for_it(device, clock):
    for duration_s in (1.0, 2.0, 3.0):
        clock.begin()
        device.compute(duration_s)
        clock.mark_step()
        clock.end()
        device.compute(10.0)  # a validation, which is no step
    assert clock.take(wait=False) == []
    assert device.num_waits == 0, "nobody is held up by asking"
    device.computed_s = 13.0
    assert clock.take(wait=False) == pytest.approx([1.0, 2.0])
    assert clock.take(wait=True) == pytest.approx([3.0])
    assert device.num_waits == 1
    assert clock.take(wait=True) == []


def test_what_is_not_like_other_steps_does_not_count(device, clock):
    clock.end()  # the first step has no beginning
    for counts in (False, True):
        clock.begin()
        device.compute(1.0)
        clock.end(counts)
    clock.begin()
    clock.end()  # nothing to compute: too short to be seen
    assert clock.take(wait=True) == [1.0]


def test_a_step_that_was_left_has_ended_when_it_was_taken(device, clock):
    for is_taken, counts in itertools.product((False, True), repeat=2):
        clock.begin()
        device.compute(1.0)
        if is_taken:
            clock.mark_step()
        device.compute(5.0)  # what comes after the loop
        clock.leave(counts)
        clock.leave()
    assert clock.take(wait=True) == [1.0]


def test_the_host_is_its_own_clock():
    clock = StepClock(torch.device("cpu"))
    clock.begin()
    sum(range(1000))
    clock.end()
    (time_s,) = clock.take(wait=False)
    assert 0 < time_s < 60


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_not_waited_for():
    matrix = torch.randn(4096, 4096, device="cuda")
    clock = StepClock(matrix.device)
    torch.cuda.synchronize()
    clock.begin()
    for _ in range(50):
        matrix = torch.nn.functional.normalize(matrix @ matrix)
    clock.end()
    assert clock.take(wait=False) == [], "it still computes"
    (time_s,) = clock.take(wait=True)
    assert 0 < time_s < 60
