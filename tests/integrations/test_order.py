"""Steps have the same samples on any number of ranks."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from torch.utils.data import (  # noqa: E402
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from syne_hypersched.integrations._batches import share_of  # noqa: E402
from syne_hypersched.integrations._order import (  # noqa: E402
    DatasetOrder,
    ElasticSampler,
    SamplerOrder,
    indices_of_rank,
    order_of,
)


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
    sampler = ElasticSampler(DatasetOrder(range(10), True, 3), share_of(4, 1), 1, 0, False, lambda: place[0])
    first = list(sampler)
    assert sorted(first) == list(range(10))
    assert list(sampler) == first
    place[0] = (0, 2)
    assert list(sampler) == first[8:]
    assert len(sampler) == 10
    place[0] = (1, 0)
    assert list(sampler) != first
    assert list(ElasticSampler(DatasetOrder(range(4), False, 0), share_of(2, 2), 2, 1, False, lambda: (5, 0))) == [1, 3]


DATA = range(10)


class OwnSampler(Sampler):
    """Yields what a function makes of the present epoch."""

    def __init__(self, order):
        self.order, self.epoch = order, None

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter(self.order(self.epoch))

    def __len__(self):
        return 10


class Outer(OwnSampler):
    """Keeps another sampler."""

    def __init__(self, inner):
        super().__init__(lambda epoch: list(inner))
        self.inner = inner


@pytest.mark.parametrize(
    ("sampler", "order"),
    [
        (SequentialSampler(DATA), DatasetOrder(DATA, False, 3)),
        (RandomSampler(DATA), DatasetOrder(DATA, True, 3)),
        (DistributedSampler(DATA, 2, 0, shuffle=False), DatasetOrder(DATA, False, 3)),
        (type("Divides", (DistributedSampler,), {})(DATA, 2, 0), None),
        (type("HasNoLength", (Sampler,), {"__iter__": lambda self: iter(DATA)})(), None),
        (
            torch.utils.data.DataLoader(
                type("Stream", (IterableDataset,), {"__iter__": lambda self: iter(DATA)})()
            ).sampler,
            None,
        ),
    ],
)
def test_the_order_of_a_sampler_of_pytorch_is_known(sampler, order):
    assert order_of(sampler, DATA, 3) == order


@pytest.mark.parametrize(
    "make",
    [
        lambda: WeightedRandomSampler([0.1] * 9 + [5], 10),
        lambda: WeightedRandomSampler([0.1] * 9 + [5], 10, generator=torch.Generator()),
        lambda: SubsetRandomSampler(range(3, 9)),
        lambda: RandomSampler(DATA, replacement=True),
        lambda: type("Twice", (RandomSampler,), {"__iter__": lambda self: iter(torch.randperm(10).tolist() * 2)})(DATA),
        lambda: OwnSampler(lambda epoch: random.sample(DATA, 10)),
        lambda: OwnSampler(lambda epoch: np.random.permutation(10).tolist()),
        lambda: OwnSampler(lambda epoch: [epoch, *DATA]),
        lambda: Outer(RandomSampler(DATA, generator=torch.Generator())),
    ],
)  # fmt: skip
def test_the_order_of_another_sampler_is_a_function_of_the_epoch(make):
    sampler = make()
    order = order_of(sampler, DATA, 3)
    assert isinstance(order, SamplerOrder)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    epochs = [order(epoch) for epoch in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert len(order) == len(sampler)
    random.random(), np.random.rand(), torch.rand(1)
    again = order_of(make(), DATA, 3)  # of another launch
    assert [again(epoch) for epoch in (2, 1, 0)] == epochs[::-1]
    assert order.look() == again.look()
    assert order.look()[0]
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    order(1)  # what others draw does not depend on it
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


def test_a_sampler_with_random_numbers_of_its_own_is_found_out():
    generator = np.random.default_rng(0)
    order = order_of(OwnSampler(lambda epoch: generator.permutation(10).tolist()), DATA, 3)
    is_repeatable, shown = order.look()
    assert not is_repeatable
    assert shown != order.look()[1]
