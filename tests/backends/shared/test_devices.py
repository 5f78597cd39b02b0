"""The device pool: no device ever has two holders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.contract import ST_DEVICES_PRESENT


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


CHANGES = st.lists(
    st.tuples(st.sampled_from(["join", "retire", "lose", "acquire", "release"]), st.integers(0, 6), st.integers(1, 4)),
    max_size=60,
)


@given(num_devices=st.integers(1, 5), changes=CHANGES)
def test_devices_come_and_go_and_no_device_has_two_holders(num_devices, changes):
    """The pool beside a model of it that is too plain to be wrong."""
    pool = DevicePool(["d0"], ["n0"], num_devices=num_devices)
    present, going, lost, held = {"d0"}, set(), set(), {}
    for what, number, count in changes:
        device, node = f"d{number}", f"n{number % 2}"
        owner = next((trial_id for trial_id, devices in held.items() if device in devices), None)
        if what == "join":
            if device in present or device in lost or len(present) == num_devices:
                with pytest.raises(ValueError, match=r"must join once|must be released|must not join"):
                    pool.join(device, node)
            else:
                pool.join(device, node)
                present.add(device)
                going.discard(device)
        elif what in ("retire", "lose"):
            known = device in present | going
            assert (pool.retire if what == "retire" else pool.lose)(device) == (owner if known else None)
            present.discard(device)
            if owner is not None and known:
                going.add(device)
                if what == "lose":
                    lost.add(device)
        elif what == "acquire" and number not in held and count <= pool.num_free:
            held[number] = pool.acquire(number, count)
            assert set(held[number]) <= present
        elif what == "release":
            released = held.pop(number, ())
            assert pool.release(number) == released
            going -= set(released)
            lost -= set(released)
        taken = [name for devices in held.values() for name in devices]
        assert len(taken) == len(set(taken))
        assert pool.holders == held
        assert set(pool.present) == present
        assert set(pool.retiring) == going
        assert set(pool.lost) == lost
        assert set(pool.free) == present - set(taken)
        assert pool.num_free == sum(pool.free_by_node.values()) == len(pool.free)
        assert pool.num_present <= len(pool) == num_devices
        for trial_id, devices in held.items():
            assert pool.num_retiring(trial_id) == len(going & set(devices))
            assert pool.is_lost(trial_id) == bool(lost & set(devices))


def test_a_retiring_device_is_gone_when_its_trial_has_released_it():
    pool = DevicePool(["a", "b"])
    pool.acquire(0, 2)
    assert pool.retire("b") == 0
    assert (pool.present, pool.retiring, pool.free) == (("a",), ("b",), ())
    assert pool.release(0) == ("a", "b")
    assert (pool.free, pool.retiring, pool.away) == (("a",), (), ("b",))
    pool.join("b")
    assert pool.acquire(1, 2) == ("a", "b")


def test_a_retirement_can_be_taken_back():
    pool = DevicePool(["a"])
    pool.acquire(0, 1)
    pool.retire("a")
    pool.join("a")
    pool.release(0)
    assert pool.free == ("a",)


def test_a_lost_device_joins_only_when_its_trial_has_released_it():
    pool = DevicePool(["a"])
    pool.acquire(0, 1)
    assert pool.lose("a") == 0
    with pytest.raises(ValueError, match="must be released by trial 0"):
        pool.join("a")
    pool.release(0)
    pool.join("a")
    assert pool.free == ("a",)


def test_a_trial_gets_devices_of_as_few_nodes_as_possible():
    pool = DevicePool(["a0", "a1", "b0", "b1", "b2"], ["a", "a", "b", "b", "b"])
    assert pool.acquire(0, 2) == ("a0", "a1")
    assert pool.acquire(1, 3) == ("b0", "b1", "b2")
    pool.release(0), pool.release(1)
    assert pool.acquire(2, 4) == ("a0", "b0", "b1", "b2")
    assert pool.nodes_of(2) == {"a": 1, "b": 3}
    with pytest.raises(ValueError, match=r"num_devices .* on nodes \{'b': 1\}"):
        pool.acquire(3, 1, {"b": 1})
    assert pool.acquire(3, 1, {"a": 1}) == ("a1",)


def test_reports_say_how_many_devices_are_there_unless_all_are():
    pool, report = DevicePool(["a", "b"]), {"loss": 1.0}
    pool.tell(report)
    assert ST_DEVICES_PRESENT not in report
    pool.retire("b")
    pool.tell(report)
    assert report[ST_DEVICES_PRESENT] == 1
    pool.join("b")
    pool.tell(report)
    assert report == {"loss": 1.0}


@pytest.mark.parametrize(
    ("nodes", "num_devices", "message"), [(["n"], None, "nodes must name"), (None, 1, "num_devices must be at least 2")]
)
def test_nodes_and_the_nominal_number_must_make_sense(nodes, num_devices, message):
    with pytest.raises(ValueError, match=message):
        DevicePool(["a", "b"], nodes, num_devices=num_devices)


def test_a_trial_gets_further_devices_and_gives_some_back():
    pool = DevicePool(["a", "b", "c", "d"])
    first = pool.acquire(0, 1)
    added = pool.extend(0, 2)
    assert set(pool.held_by(0)) == {*first, *added}
    assert pool.num_free == 1
    pool.give_back(0, added[:1])
    assert set(pool.held_by(0)) == {*first, *added[1:]}
    pool.give_back(0, pool.held_by(0))
    assert pool.holders == {}
    assert pool.num_free == 4


def test_further_devices_must_be_free_and_what_is_given_back_held():
    pool = DevicePool(["a", "b"])
    with pytest.raises(ValueError, match="must hold devices"):
        pool.extend(0, 1)
    pool.acquire(0, 1)
    with pytest.raises(ValueError, match="from 1 to 1"):
        pool.extend(0, 2)
    assert pool.held_by(0) == ("a",), "nothing has changed"
    with pytest.raises(ValueError, match="must be among"):
        pool.give_back(0, ["b"])
    assert (pool.held_by(0), pool.free) == (("a",), ("b",))


class TestNodesThatAreShut:
    def test_free_devices_there_are_given_to_nobody(self):
        pool = DevicePool(["a0", "a1", "b0"], ["a", "a", "b"])
        pool.acquire(0, 1, {"a": 1})
        pool.shut("a")
        assert (pool.num_free, pool.free_by_node) == (1, {"b": 1})
        assert (pool.num_present, pool.num_usable) == (3, 2)
        with pytest.raises(ValueError, match="must be from 1 to 1"):
            pool.acquire(1, 2)
        assert pool.acquire(1, 1) == ("b0",)

    def test_what_is_released_there_is_given_again_when_it_is_open(self):
        pool = DevicePool(["a0", "b0"], ["a", "b"])
        pool.acquire(0, 1, {"a": 1})
        pool.shut("a")
        assert pool.num_usable == 2
        pool.release(0)
        assert (pool.num_usable, pool.num_free) == (1, 1)
        pool.shut("a", is_shut=False)
        assert (pool.num_usable, pool.num_free) == (2, 2)

    def test_devices_may_come_and_go_there(self):
        pool = DevicePool(["a0"], ["a"], num_devices=2)
        pool.shut("b")
        pool.join("b0", "b")
        assert (pool.num_free, pool.num_usable, pool.num_present) == (1, 1, 2)
        pool.lose("b0")
        assert (pool.num_free, pool.num_usable, pool.num_present) == (1, 1, 1)
