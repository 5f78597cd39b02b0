"""What is said about a launch on several devices."""

from __future__ import annotations

from dataclasses import replace

from syne_hypersched.check._several import global_batch, one_writer, other_devices
from syne_hypersched.check._stages import Observed
from syne_hypersched.check._trace import LaunchTrace
from syne_hypersched.checkpoints import Change


def launch(*epochs, num_devices=1, saves=1, batch_size=8, **fields):
    reports = tuple({"epoch": epoch, "batch_size": batch_size} for epoch in epochs)
    places = tuple((saves * number, saves * number) for number in range(1, len(epochs) + 1))
    return LaunchTrace(num_devices, reports, places, (Change("closed", "state"),) * (saves * len(epochs)), **fields)


SEEN = Observed(launch(1, 2, 3, 4), resized=launch(3, 4, num_devices=2), resumed=launch(3, 4), num_devices=2)


def seen(**changes):
    return replace(SEEN, **changes)


def test_a_launch_on_several_devices():
    assert other_devices(SEEN, set()) == ("PASS", "2 reports on 2 devices", "")
    assert other_devices(seen(num_devices=1), set())[0] == "UNKNOWN"
    assert other_devices(seen(resized=None), set())[0] == "UNKNOWN"
    assert other_devices(seen(resized=launch(num_devices=2, exit_code=0)), set())[0] == "UNKNOWN"
    crashed = launch(num_devices=2, exit_code=-11, log="std.err")
    status, found, advice = other_devices(seen(resized=crashed), set())
    assert (status, found) == ("FAIL", "on 2 devices: exit code -11 (SIGSEGV)")
    assert advice.startswith("Read std.err.")
    assert other_devices(seen(resized=replace(crashed, exit_code=None, is_silent=True)), set())[0] == "FAIL"


def test_what_fails_on_one_device_as_well_is_no_fault_of_several():
    crashed = {"resized": launch(num_devices=2, exit_code=1), "resumed": launch(exit_code=1)}
    assert other_devices(seen(**crashed), {"goes on where it was"})[0] == "UNKNOWN"
    assert other_devices(seen(resized=crashed["resized"]), {"goes on where it was"})[0] == "FAIL"


def test_a_rank_that_should_not_write():
    assert one_writer(SEEN, set())[0] == "PASS"
    both = launch(3, 4, num_devices=2, saves=2)
    assert one_writer(seen(resized=both), set())[:2] == (
        "FAIL",
        "state was written 2 times from one report to the next",
    )
    assert one_writer(seen(resized=replace(both, num_processes=1)), set())[0] == "PASS"
    assert one_writer(seen(resized=launch(3, num_devices=2)), set())[0] == "UNKNOWN"
    assert one_writer(seen(resized=None), set())[0] == "UNKNOWN"
    assert one_writer(SEEN, {"checkpoint found"}) == ("UNKNOWN", "no checkpoint", "")


def test_a_batch_that_grows():
    assert global_batch(SEEN)[:2] == ("PASS", "8 on 1 device, 8 on 2")
    assert global_batch(seen(resized=launch(3, num_devices=2, batch_size=16)))[0] == "FAIL"
    assert global_batch(seen(resized=launch(3, num_devices=2, batch_size=None)))[0] == "UNKNOWN"
    assert global_batch(seen(resized=None))[0] == "UNKNOWN"
