"""What a tuner may ask of a fleet at any moment."""

from __future__ import annotations

import pytest
from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local._failures import Failure, FailurePolicy
from tests.backends.local.fleets import NoProcesses, make_fleet, make_trial


@pytest.fixture
def fleet(tmp_path):
    return make_fleet(tmp_path, NoProcesses())


def test_an_unknown_trial_wants_nothing_and_is_idle(fleet):
    assert (fleet.wished_devices(7), fleet.max_num_devices(7), fleet.processes(7), fleet.is_idle(7)) == (
        0,
        None,
        None,
        True,
    )
    assert fleet.occupied() == []


def test_the_resource_level_is_that_of_the_checkpoints(fleet):
    assert fleet.time_attr is None
    fleet._state.checkpoints.time_attr = "epoch"
    assert fleet.time_attr == "epoch"


def test_devices_are_occupied_from_the_order_on_and_until_the_last_process_has_ended(fleet, tmp_path):
    trial = make_trial(tmp_path)
    fleet.devices.shut("", True, "its disk is full")
    fleet.start(trial, 1, "start")
    assert (fleet.wished_devices(0), fleet.is_idle(0)) == (1, True)
    assert fleet.occupied() == [(0, Status.in_progress)], "promised"
    fleet.devices.shut("", False, "")
    assert not fleet.is_idle(0)
    assert fleet.processes(0) is trial
    fleet.wish_devices(0, 3)
    assert fleet.occupied() == [(0, Status.in_progress)] * 3
    fleet.halt(0, Status.stopped)
    fleet.start(make_trial(tmp_path, 1), 2, "start")
    assert fleet.occupied() == [(0, "Stopping"), (1, "InProgress"), (1, "InProgress")], "it holds one still"


def test_the_most_devices_are_known_once_more_have_failed(fleet, tmp_path):
    trial = make_trial(tmp_path)
    fleet.start(trial, 2, "start")
    assert fleet.max_num_devices(0) is None
    trial.failures.report(1)
    trial.failures.fail(Failure(2, 1, "out of memory", True), FailurePolicy(retries=1))
    assert fleet.max_num_devices(0) == 1
