"""Steps have the same samples on any number of ranks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
from syne_hypersched.integrations._batches import share_of
from syne_hypersched.integrations._order import ElasticSampler, indices_of_rank


def steps_of(order, batch_size, num_ranks, largest, first_step=0, drop_last=False):
    """The samples of each step, over all ranks, and the number of micro-batches of each rank."""
    share = share_of(batch_size, num_ranks, largest)
    ranks = [indices_of_rank(order, share, num_ranks, rank, first_step, drop_last) for rank in range(num_ranks)]
    assert len({len(rank) for rank in ranks}) == 1
    on_rank = batch_size // num_ranks
    num_steps = -(-len(ranks[0]) // on_rank)
    return [
        [sample for rank in ranks for sample in rank[step * on_rank : (step + 1) * on_rank]]
        for step in range(num_steps)
    ]


@given(
    size=st.integers(1, 60), num_ranks=st.sampled_from([1, 2, 3, 4]), on_rank=st.integers(1, 6),
    largest=st.one_of(st.none(), st.integers(1, 6)), drop_last=st.booleans(),
)  # fmt: skip
def test_steps_are_the_same_on_any_number_of_ranks(size, num_ranks, on_rank, largest, drop_last):
    order, batch_size = list(range(size)), num_ranks * on_rank
    alone = steps_of(order, batch_size, 1, largest, drop_last=drop_last)
    together = steps_of(order, batch_size, num_ranks, largest, drop_last=drop_last)
    assert len(alone) == len(together) == (size // batch_size if drop_last else -(-size // batch_size))
    for one, several in zip(alone, together, strict=True):
        assert set(one) == set(several)
        assert len(several) - len(one) in range(num_ranks)  # a smaller last step is filled up
    for first_step in range(len(alone) + 1):
        assert steps_of(order, batch_size, num_ranks, largest, first_step, drop_last) == together[first_step:]


def test_each_epoch_has_an_order_of_its_own():
    place = [(0, 0)]
    sampler = ElasticSampler(range(10), share_of(4, 1), 1, 0, False, True, 3, lambda: place[0])
    first = list(sampler)
    assert sorted(first) == list(range(10))
    assert list(sampler) == first
    place[0] = (0, 2)
    assert list(sampler) == first[8:]
    assert len(sampler) == 10
    place[0] = (1, 0)
    assert list(sampler) != first
    assert list(ElasticSampler(range(4), share_of(2, 2), 2, 1, False, False, 0, lambda: (5, 0))) == [1, 3]
