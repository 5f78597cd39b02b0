"""Every sample counts once, in the same order, on any number of devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from syne_hypersched.training._division import divide, divide_virtually, epoch_order  # noqa: E402

sizes = st.integers(1, 70)
few = st.integers(1, 9)


def counted(parts):
    return [row for part in parts for row in part.rows[: part.num_samples].tolist()]


@given(sizes, few, few)
def test_every_sample_counts_once(batch_size, num_ranks, micro_batches):
    steps = [divide(batch_size, rank, num_ranks, micro_batches) for rank in range(num_ranks)]
    assert sorted(row for parts in steps for row in counted(parts)) == list(range(batch_size))
    lengths = {len(parts) for parts in steps}
    assert len(lengths) == 1, "all devices take part in each backward pass"
    assert lengths.pop() <= micro_batches
    for parts in steps:
        assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]
        assert all(len(part.rows) > 0 for part in parts), "no model computes nothing"


@given(sizes, few, few)
def test_weights_make_the_mean_over_the_batch(batch_size, num_ranks, micro_batches):
    values = torch.arange(1, batch_size + 1, dtype=torch.float64) ** 2
    total = 0.0
    for rank in range(num_ranks):
        for part in divide(batch_size, rank, num_ranks, micro_batches):
            # DistributedDataParallel averages over ranks.
            total += values[part.rows].mean().item() * part.loss_weight / num_ranks
    assert total == pytest.approx(values.mean().item())


@given(sizes, few, few)
def test_even_means_even(batch_size, num_ranks, micro_batches):
    parts = [part for rank in range(num_ranks) for part in divide(batch_size, rank, num_ranks, micro_batches)]
    assert {part.is_even for part in parts} == {len({part.num_samples for part in parts}) == 1}
    if parts[0].is_even:
        assert all(part.loss_weight == pytest.approx(num_ranks / len(parts)) for part in parts) is (len(parts) > 0)


@given(sizes, st.integers(1, 4), st.integers(1, 3))
def test_virtual_devices_do_not_depend_on_the_real_ones(batch_size, num_ranks, own):
    num_virtual = num_ranks * own
    alone = divide_virtually(batch_size, 0, 1, num_virtual)
    together = [
        part for rank in range(num_ranks) for part in divide_virtually(batch_size, rank, num_ranks, num_virtual)
    ]
    assert [part.rows.tolist() for part in alone] == [part.rows.tolist() for part in together]
    assert [part.loss_weight for part in alone] == [part.loss_weight for part in together]
    assert sorted(counted(alone)) == list(range(batch_size))
    assert [part.is_last for part in alone] == [False] * (num_virtual - 1) + [True]


def test_the_order_depends_on_seed_and_epoch():
    orders = {(seed, epoch): epoch_order(20, seed, epoch, True).tolist() for seed in (0, 1) for epoch in (1, 2)}
    assert len({tuple(order) for order in orders.values()}) == 4
    assert all(sorted(order) == list(range(20)) for order in orders.values())
    assert epoch_order(20, 1, 2, True).tolist() == orders[1, 2]
    assert epoch_order(5, 1, 2, False).tolist() == [0, 1, 2, 3, 4]
