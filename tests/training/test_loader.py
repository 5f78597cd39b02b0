"""Which samples, in which order, on which device."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import Dataset, TensorDataset  # noqa: E402

from syne_hypersched.training import ElasticRun  # noqa: E402

Pair = namedtuple("Pair", "index noise")


class Augmented(Dataset):
    """Samples with noise from three generators, which are to depend on the sample and the epoch alone."""

    def __len__(self):
        return 23

    def __getitem__(self, index):
        return {"index": index, "noise": float(torch.rand(())) + float(np.random.rand())}


def collected(device_count: int = 1, num_epochs: int = 2, **options: Any) -> tuple[list[Any], list[int]]:
    """(index, noise) in the order of training, and the sizes of the batches, over all devices of a launch."""
    batches: dict[int, list[Any]] = {}
    for rank in range(device_count):
        with ElasticRun(reporter=lambda **report: None) as run:
            # Other processes take no part in what is looked at here.
            lifecycle = run._lifecycle
            lifecycle.group.rank = rank
            loader = run.loader(Augmented(), 5, **options)
            lifecycle.group.num_ranks = device_count
            lifecycle.group.broadcast = lambda value: value
            lifecycle.between_steps = lambda in_training: None
            lifecycle.end_of_training = lambda: None
            epochs = run.epochs(num_epochs)
            next(epochs)
            for epoch in range(1, num_epochs + 1):
                loader._loop.begin_round(epoch, None)
                for step, batch in enumerate(loader):
                    part = lifecycle.present_part()
                    counted = list(zip(batch["index"].tolist(), batch["noise"].tolist(), strict=True))
                    batches.setdefault(epoch * 100 + step, []).append(
                        dict(zip(part.rows.tolist(), counted[: part.num_samples], strict=False))
                    )
            lifecycle.group.num_ranks = 1
    merged = [{row: pair for part in parts for row, pair in part.items()} for _, parts in sorted(batches.items())]
    return [batch[row] for batch in merged for row in sorted(batch)], [len(batch) for batch in merged]


@pytest.fixture(scope="module")
def alone():
    return collected()


def test_an_epoch_is_every_sample_once(alone):
    samples, sizes = alone
    assert sizes == [5, 5, 5, 5, 3] * 2
    for epoch in (samples[:23], samples[23:]):
        assert sorted(index for index, _ in epoch) == list(range(23))
    assert [index for index, _ in samples[:23]] != [index for index, _ in samples[23:]]


def test_augmentation_differs_between_samples_and_epochs(alone):
    samples, _ = alone
    assert len({noise for _, noise in samples}) == 46


@pytest.mark.parametrize("num_devices", [2, 3, 7])
def test_devices_share_the_same_batches(alone, num_devices):
    assert collected(num_devices) == alone


def test_worker_processes_do_not_matter(alone):
    assert collected(num_workers=2) == alone


def test_process_wide_generators_are_left_alone():
    torch.manual_seed(5)
    with ElasticRun(seed=1, reporter=lambda **report: None) as run:
        loader = run.loader(Augmented(), 5)
        for _ in run.epochs(1):
            before = torch.get_rng_state()
            for _ in loader:
                pass
            assert torch.equal(torch.get_rng_state(), before)


def test_batches_keep_their_structure():
    def collate(samples):
        index = torch.tensor([sample["index"] for sample in samples])
        return [Pair(index, "text"), (index, {"deep": index})]

    with ElasticRun(reporter=lambda **report: None) as run:
        loader = run.loader(Augmented(), 5, train=False, collate_fn=collate)
        for pair, (index, inner) in loader:
            assert isinstance(pair, Pair)
            assert pair.noise == "text"
            assert torch.equal(pair.index, index)
            assert torch.equal(inner["deep"], index)


def test_validation_starts_from_the_beginning_each_time_and_is_in_order():
    with ElasticRun(reporter=lambda **report: None) as run:
        loader = run.loader(TensorDataset(torch.arange(11)), 4, train=False)
        for _ in range(2):
            assert [batch.tolist() for (batch,) in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
        assert len(loader) == 3


@pytest.mark.parametrize(
    "options, length", [({}, 3), ({"max_local_batch_size": 2}, 2 + 2 + 2), ({"shuffle": False}, 3)]
)
def test_its_length_is_that_of_an_epoch(options, length):
    with ElasticRun(reporter=lambda **report: None) as run:
        loader = run.loader(TensorDataset(torch.arange(11)), 4, **options)
        assert len(loader) == length
        for _ in run.epochs(1):
            assert len(list(loader)) == length
            assert list(loader) == [], "the epoch is over"
        assert len(run.loader(TensorDataset(torch.arange(3)), 4)) == 1


def test_breaking_out_of_an_epoch_leaves_the_rest_out():
    with ElasticRun(reporter=lambda **report: None) as run:
        loader = run.loader(TensorDataset(torch.arange(11)), 4, shuffle=False)
        firsts = []
        for _ in run.epochs(2):
            for (batch,) in loader:
                firsts.append(batch[0].item())
                break
        assert firsts == [0, 0]


def test_what_cannot_be_loaded_from_is_refused():
    with ElasticRun(reporter=lambda **report: None) as run:
        with pytest.raises(ValueError, match="dataset must have samples"):
            run.loader(TensorDataset(torch.zeros(0, 3)), 4)
        with pytest.raises(RuntimeError, match=r"inside a loop over run.epochs\(\)"):
            next(iter(run.loader(TensorDataset(torch.arange(3)), 4)))
        loader = run.loader(TensorDataset(torch.arange(3)), 4)
        epochs = run.epochs(1)
        next(epochs)
        run.report()
        with pytest.raises(RuntimeError, match="inside a loop"):
            next(iter(loader))
