"""Which devices are to go when there are to be fewer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.retiring import choose_retiring


def test_free_devices_go_first_and_then_those_of_the_largest_trial():
    pool = DevicePool(list("abcdefg"))
    pool.acquire(0, 1), pool.acquire(1, 4), pool.acquire(2, 1)
    assert choose_retiring(pool, 1) == ("g",)
    assert choose_retiring(pool, 3) == ("g", "e", "d")
    assert choose_retiring(pool, 5) == ("g", "e", "d", "c", "f"), "trial 1 keeps one, then the last trial goes"
    assert choose_retiring(pool, 6, spared=1)[-1] == "a"
    assert set(choose_retiring(pool, 9)) == set("abcdefg")


def test_a_trial_loses_the_device_that_it_cannot_go_on_without_last():
    pool = DevicePool(list("abc"))
    pool.acquire(0, 3)
    assert choose_retiring(pool, 2, leading={"c"}) == ("b", "a")
    assert choose_retiring(pool, 3, leading={"c"})[-1] == "c"


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5), num_devices=st.integers(0, 22))
def test_no_trial_loses_its_last_device_while_another_has_several(sizes, num_devices):
    pool = DevicePool([f"d{index}" for index in range(sum(sizes) + 2)])
    for trial_id, size in enumerate(sizes):
        pool.acquire(trial_id, size)
    chosen = choose_retiring(pool, num_devices)
    assert len(chosen) == len(set(chosen)) == min(num_devices, len(pool))
    left = {trial_id: len(set(devices) - set(chosen)) for trial_id, devices in pool.holders.items()}
    assert min(left.values()) > 0 or max(left.values()) <= 1
