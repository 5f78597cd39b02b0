"""A global batch on any number of devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.integrations._batches import num_processes, share_of


@given(num_devices=st.integers(1, 16), on_device=st.integers(1, 64), largest=st.one_of(st.none(), st.integers(1, 64)))
def test_the_global_batch_is_kept_and_fits(num_devices, on_device, largest):
    batch_size = num_devices * on_device
    share = share_of(batch_size, num_devices, largest)
    assert share.local_batch_size * share.accumulation_steps * num_devices == batch_size
    assert share.local_batch_size <= (largest or on_device)


def test_it_is_computed_in_as_few_parts_as_possible():
    assert (share_of(32, 1, 8).accumulation_steps, share_of(32, 2, 8).accumulation_steps) == (4, 2)
    assert (share_of(32, 4, 8).accumulation_steps, share_of(32, 8, 8).local_batch_size) == (1, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((64, 3), ValueError, "global_batch_size must be a multiple of the 3 devices of this launch, but got 64"),
        ((0, 1), ValueError, "global_batch_size must be at least 1"),
        ((8.0, 1), TypeError, "global_batch_size must be an integer"),
        ((8, 2, 0), ValueError, "max_local_batch_size must be at least 1"),
    ],
)
def test_what_cannot_be_divided_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        share_of(*arguments)


@pytest.mark.parametrize(("value", "expected"), [("4", 4), ("", 1), ("x", 1), ("0", 1), (None, 1)])
def test_processes_are_those_of_the_environment(monkeypatch, value, expected):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if value is not None:
        monkeypatch.setenv("WORLD_SIZE", value)
    assert num_processes() == expected
