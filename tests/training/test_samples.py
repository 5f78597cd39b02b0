"""Random augmentation depends on the sample and the epoch, for any generator and any frequency of draws."""

from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import Dataset, Subset, get_worker_info  # noqa: E402

from syne_hypersched.training import ElasticRun  # noqa: E402
from syne_hypersched.training._random import derive_seed, random_state, seeded, set_random_state  # noqa: E402
from syne_hypersched.training._samples import SeededSamples  # noqa: E402

NUM_SAMPLES = 40


def from_torch() -> float:
    return float(torch.rand(()))


def gauss() -> float:
    return random.gauss(0, 1)  # keeps a second number for the next call


def normal() -> float:
    return float(np.random.normal())  # so does this


def from_all() -> float:
    return from_torch() + random.random() + float(np.random.rand())


def by_chance() -> float:
    """Draws from NumPy only if Python's generator decides so."""
    return float(np.random.rand()) if random.random() < 0.5 else 0.0


def reads_the_seed() -> float:
    return float(np.random.default_rng(torch.initial_seed()).random())


def draws_and_takes_it_back() -> float:
    with torch.random.fork_rng(devices=[]):
        return from_torch()


class Sometimes(Dataset):
    """Draws for some samples only."""

    def __init__(self, draw: Any, indices: set[int]) -> None:
        self.draw = draw
        self.indices = indices
        self.num_fetched = 0

    def __len__(self) -> int:
        return NUM_SAMPLES

    def __getitem__(self, index: int) -> float:
        self.num_fetched += 1
        return self.draw() if index in self.indices else -1.0


class Whole(Sometimes):
    """Also returns whole batches."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.num_batches = 0

    def __getitems__(self, indices: list[int]) -> list[float]:
        self.num_batches += 1
        return [self.draw() if index in self.indices else -1.0 for index in indices]


@pytest.fixture(autouse=True)
def generators_as_they_were():
    state = random_state()
    yield
    set_random_state(state)


def expected(draw: Any, indices: set[int], epoch_seed: int) -> list[float]:
    """Each sample if all generators are seeded for it alone."""
    found = []
    for index in range(NUM_SAMPLES):
        with seeded(derive_seed(epoch_seed, index)):
            found.append(draw() if index in indices else -1.0)
    return found


def fetched(samples: SeededSamples, epoch_seed: int, batches: list[list[int]]) -> list[float]:
    found = {}
    for batch in batches:
        _, values = samples.__getitems__((epoch_seed, batch))
        found.update(zip(batch, values, strict=True))
    return [found[index] for index in range(NUM_SAMPLES)]


def in_batches(size: int, order: list[int]) -> list[list[int]]:
    return [order[start : start + size] for start in range(0, NUM_SAMPLES, size)]


DRAWS = [from_torch, random.random, gauss, np.random.rand, normal, from_all, by_chance]
TRACELESS = [reads_the_seed, draws_and_takes_it_back]


# What leaves no trace cannot be seen where the dataset fetches many samples at a time.
@pytest.mark.parametrize(
    "kind, draw",
    [*((kind, draw) for kind in (Sometimes, Whole) for draw in DRAWS), *((Sometimes, d) for d in TRACELESS)],
)
@pytest.mark.parametrize(
    "indices",
    [
        pytest.param(set(range(NUM_SAMPLES)), id="all", marks=pytest.mark.slow),
        pytest.param({7, 33}, id="two"),
        pytest.param({39}, id="the last"),
    ],
)
def test_it_depends_on_the_sample_and_the_epoch_alone(kind, draw, indices):
    random.seed(1)
    samples = SeededSamples(kind(draw, indices))  # goes on from epoch to epoch, as a process does
    for epoch_seed in (3, 4):
        right = expected(draw, indices, epoch_seed)
        assert len(set(right)) > 1
        for size in (1, 7, 64):
            order = random.sample(range(NUM_SAMPLES), NUM_SAMPLES)
            assert fetched(samples, epoch_seed, in_batches(size, order)) == right
            assert fetched(SeededSamples(kind(draw, indices)), epoch_seed, in_batches(size, order)) == right


def test_a_dataset_is_asked_twice_only_when_it_is_first_seen_to_draw():
    dataset = Sometimes(from_all, {20})
    fetched(SeededSamples(dataset), 1, in_batches(8, list(range(NUM_SAMPLES))))
    assert dataset.num_fetched == NUM_SAMPLES + 8


def test_whole_batches_are_fetched_until_one_draws():
    dataset = Whole(from_all, set())
    fetched(SeededSamples(dataset), 1, in_batches(8, list(range(NUM_SAMPLES))))
    assert (dataset.num_batches, dataset.num_fetched) == (5, 0)
    dataset = Whole(from_all, {20})
    fetched(SeededSamples(dataset), 1, in_batches(8, list(range(NUM_SAMPLES))))
    assert (dataset.num_batches, dataset.num_fetched) == (3, 8 * 3)


def test_a_subset_is_what_it_is_of():
    plain = Sometimes(draws_and_takes_it_back, {1, 2, 3})
    assert fetched(SeededSamples(Subset(plain, range(NUM_SAMPLES))), 1, [list(range(NUM_SAMPLES))]) == expected(
        draws_and_takes_it_back, {1, 2, 3}, 1
    )
    whole = Whole(from_all, set())
    fetched(SeededSamples(Subset(Subset(whole, range(NUM_SAMPLES)), range(NUM_SAMPLES))), 1, [list(range(NUM_SAMPLES))])
    assert whole.num_batches == 1


def test_whole_batches_must_be_whole():
    class Short(Whole):
        def __getitems__(self, indices):
            return super().__getitems__(indices)[1:]

    with pytest.raises(ValueError, match="__getitems__ of Short must give a sample for each of the 3 indices"):
        SeededSamples(Short(from_all, set())).__getitems__((1, [1, 2, 3]))


@pytest.mark.parametrize("kind", [Sometimes, Whole])
def test_nothing_has_been_drawn_outside(kind):
    def all_kinds() -> list[float]:
        return [gauss(), normal(), from_all()]

    def fails() -> float:
        from_all()
        raise LookupError

    gauss(), normal()  # both generators keep a number now
    state = random_state()
    right = all_kinds()
    set_random_state(state)
    fetched(SeededSamples(kind(from_all, {7})), 3, in_batches(8, list(range(NUM_SAMPLES))))
    with pytest.raises(LookupError):
        SeededSamples(kind(fails, {7})).__getitems__((3, [7]))
    assert all_kinds() == right


def test_it_goes_to_workers_that_are_not_forks():
    samples = SeededSamples(Sometimes(from_all, {3}))
    before = samples.__getitems__((1, [3]))
    assert pickle.loads(pickle.dumps(samples)).__getitems__((1, [3])) == before


class Opened(Dataset):
    """Reads from a file that each worker opens itself."""

    file = "closed"

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> str:
        return self.file


def open_file(worker_id: int) -> None:
    info = get_worker_info()
    assert len(info.dataset) == 6
    assert info.dataset.file == "closed"
    info.dataset.file = f"opened by {worker_id}"


def test_workers_can_open_files_for_the_dataset(no_process_left):
    with ElasticRun(reporter=lambda **report: None) as run:
        loader = run.loader(Opened(), 3, train=False, num_workers=2, worker_init_fn=open_file)
        assert sorted(name for batch in loader for name in batch) == ["opened by 0"] * 3 + ["opened by 1"] * 3


def mixed(samples: list[float]) -> Any:
    """Draws for a batch, as MixUp does."""
    return torch.tensor(samples), float(torch.rand(())) + random.random() + float(np.random.rand())


def test_what_collating_draws_does_not_depend_on_workers(no_process_left):
    def mixtures(**options: Any) -> list[float]:
        with ElasticRun(reporter=lambda **report: None) as run:
            loader = run.loader(Sometimes(from_all, set()), 9, collate_fn=mixed, **options)
            return [mixture for _ in run.epochs(2) for _, mixture in loader]

    alone = mixtures()
    assert len(set(alone)) == 10
    assert mixtures(num_workers=2) == alone


def test_workers_whose_work_was_left_begin_the_next_epoch_with_its_samples(no_process_left):
    def firsts(**options: Any) -> list[list[float]]:
        with ElasticRun(reporter=lambda **report: None) as run:
            loader = run.loader(Sometimes(from_all, set(range(NUM_SAMPLES))), 3, **options)
            return [batch.tolist() for _ in run.epochs(3) for _, batch in zip(range(2), loader, strict=False)]

    assert firsts(num_workers=2, prefetch_factor=4) == firsts()
