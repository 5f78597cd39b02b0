"""What is said of a node's disk, on numbers alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.backends.ray._disks import DiskWatch


def said(numbers, min_free_mb=100.0, total_mb=10_000.0):
    """What is said at each look: full, tight, or nothing."""
    watch = DiskWatch(min_free_mb)
    told = [watch.look(number, total_mb) for number in numbers]
    return [None if one is None else (one["is_full"], one["is_tight"]) for one in told]


def test_a_disk_with_room_is_not_spoken_of():
    assert said([5000, 4000, 1001]) == [None, None, None]


def test_a_disk_is_tight_before_it_is_full():
    assert said([5000, 999, 99]) == [None, (False, True), (True, True)]


def test_a_disk_is_full_until_there_is_more_room_than_it_lacked():
    assert said([99, 101, 119, 121, 1000]) == [(True, True), None, None, (False, True), (False, False)]


def test_it_is_said_again_while_it_is_tight():
    """More can have been copied elsewhere since."""
    told = said([500] * 10)
    assert told == [(False, True), None, None, None, (False, True), None, None, None, None, (False, True)]


def test_a_small_disk_and_one_without_a_size():
    assert said([299], total_mb=310) == [(False, True)]
    assert said([301], total_mb=310) == [None]
    assert said([float("inf")], total_mb=float("inf")) == [None]


def test_numbers_are_told():
    told = DiskWatch(100.0).look(40.0, 1000.0)
    assert told == {"is_full": True, "is_tight": True, "free_mb": 40.0, "min_free_mb": 100.0}


@given(st.lists(st.floats(0, 2000), max_size=30))
def test_what_was_said_last_is_true(numbers):
    watch, is_full = DiskWatch(100.0), False
    for number in numbers:
        told = watch.look(number, 1000.0)
        is_full = is_full if told is None else told["is_full"]
        assert is_full or number >= 100.0
        assert not is_full or number < 120.0
