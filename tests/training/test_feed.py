"""Which samples a device fetches: of one epoch, at any place in it, among any number of devices."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import TensorDataset  # noqa: E402

from syne_hypersched.training._batching import Batching  # noqa: E402
from syne_hypersched.training._feed import Feed, _to_device  # noqa: E402

NUMBERS = TensorDataset(torch.arange(11))


def make(dataset=NUMBERS, batch_size=4, rank=0, num_ranks=1, num_virtual=None, shuffle=False, seed=0, **options):
    largest = options.pop("max_local_batch_size", None)
    batching = Batching("fixed", batch_size, num_ranks, max_local_batch_size=largest, virtual_devices=num_virtual)
    group = SimpleNamespace(rank=rank, num_ranks=num_ranks, device=torch.device("cpu"))
    return Feed(dataset, batching, group, num_virtual, shuffle, seed, options)


def fetch(feed, epoch=1, num_done=0):
    return list(feed.batches(epoch, num_done, feed.batching.plan))


def rows(feed, **place):
    return [batch[0].tolist() for _, batch in fetch(feed, **place)]


def test_an_epoch_in_order_and_from_its_middle():
    feed = make()
    assert rows(feed) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    assert rows(feed, num_done=5) == [[5, 6, 7, 8], [9, 10]]
    assert [part.batch_size for part, _ in fetch(feed)] == [4, 4, 3]


@pytest.mark.parametrize("options", [{"num_ranks": 2}, {"num_ranks": 2, "num_virtual": 4}, {"num_ranks": 3}])
def test_devices_share_each_step(options):
    shares = [fetch(make(rank=rank, **options)) for rank in range(options["num_ranks"])]
    seen = [
        number
        for share in shares
        for part, (numbers,) in share
        for number in numbers[: part.num_samples].tolist()
    ]  # fmt: skip
    assert sorted(seen) == list(range(11))
    assert len({len(share) for share in shares}) == 1, "all devices compute as many parts"


def test_each_part_comes_with_its_samples():
    for part, (numbers,) in fetch(make(max_local_batch_size=3, batch_size=8)):
        assert len(numbers) == len(part.rows) <= 3


@pytest.mark.parametrize(
    "options",
    [{}, {"max_local_batch_size": 2}, {"num_ranks": 2, "num_virtual": 4}, {"batch_size": 16}, {"batch_size": 11}],
)
def test_its_length_is_the_number_of_its_parts(options):
    feed = make(**options)
    assert len(feed) == len(fetch(feed))


def test_an_order_of_its_own_for_each_epoch_and_seed():
    def order(epoch=1, **options):
        return [number for batch in rows(make(shuffle=True, **options), epoch=epoch) for number in batch]

    assert sorted(order()) == list(range(11))
    assert order() == order(batch_size=3)
    assert len({tuple(order(1)), tuple(order(2)), tuple(order(1, seed=1))}) == 3


def test_when_the_processes_change_a_step_is_divided_anew():
    feed = make(num_ranks=1, batch_size=4)
    assert rows(feed)[0] == [0, 1, 2, 3]
    feed._group.num_ranks = 2
    feed.forget_division()
    assert rows(feed)[0] == [0, 2]


def test_samples_that_draw_draw_the_same_in_each_epoch_again():
    class Drawing:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return torch.rand(())

    def drawn(epoch):
        return [batch.tolist() for _, batch in fetch(make(Drawing(), batch_size=2), epoch)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_options_are_those_of_the_data_loader():
    feed = make(collate_fn=lambda samples: [number.item() for (number,) in samples])
    assert [batch for _, batch in fetch(feed)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


@pytest.mark.parametrize(
    ("dataset", "error", "message"),
    [
        (iter([1]), TypeError, "dataset must have __len__ and __getitem__, but got list_iterator"),
        ({1}, TypeError, "dataset must have __len__ and __getitem__, but got set"),
        ([], ValueError, "dataset must have samples"),
    ],
)
def test_what_cannot_be_fetched_from(dataset, error, message):
    with pytest.raises(error, match=message):
        make(dataset)


def test_all_tensors_of_a_batch_are_moved():
    Pair = namedtuple("Pair", ["a", "b"])
    ones = torch.ones(2)
    moved = _to_device({"x": [ones, (ones, "text")], "y": Pair(ones, 3)}, torch.device("meta"))
    assert moved["x"][0].device.type == moved["x"][1][0].device.type == moved["y"].a.device.type == "meta"
    assert (moved["x"][1][1], moved["y"].b) == ("text", 3)
    assert (type(moved["x"][1]), type(moved["y"])) == (tuple, Pair)
