"""The device pool: no device ever has two holders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.backends.shared.devices import DevicePool


@given(
    num_devices=st.integers(1, 8),
    steps=st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 9))),
)
def test_no_device_has_two_holders_and_none_is_lost(num_devices, steps):
    pool = DevicePool([f"gpu{index}" for index in range(num_devices)])
    for trial_id, wanted in steps:
        holders, free = pool.holders, pool.free
        if wanted < 0:
            assert pool.release(trial_id) == holders.get(trial_id, ())
        elif trial_id in holders or not 1 <= wanted <= len(free):
            with pytest.raises(ValueError, match=r"num_devices must be|must release"):
                pool.acquire(trial_id, wanted)
            assert pool.holders == holders
        else:
            devices = pool.acquire(trial_id, wanted)
            assert len(devices) == wanted
            assert set(devices) <= set(free)
            assert pool.held_by(trial_id) == devices
        held = [device for devices in pool.holders.values() for device in devices]
        assert sorted([*held, *pool.free]) == sorted(pool.devices)
        assert pool.num_free == len(pool.free)


def test_devices_are_used_in_turn():
    pool = DevicePool(["a", "b", "c"])
    used = []
    for trial_id in range(6):
        used += pool.acquire(trial_id, 1)
        pool.release(trial_id)
    assert used == ["a", "b", "c", "a", "b", "c"]


def test_devices_are_given_in_their_order():
    pool = DevicePool(["a", "b", "c"])
    pool.acquire(0, 1)
    pool.release(0)
    assert pool.acquire(1, 3) == ("a", "b", "c")


@pytest.mark.parametrize(("devices", "message"), [([], "at least one"), (["a", "a"], "once")])
def test_devices_must_make_sense(devices, message):
    with pytest.raises(ValueError, match=message):
        DevicePool(devices)
