"""Samples whose random augmentation depends on the epoch and the sample, not on the device, process or time.

The process-wide generators are seeded for each sample, which costs about 1 µs for PyTorch's, 2 for NumPy's and 4
for Python's. So at first only PyTorch's is seeded for each sample. The others are seeded once a batch and checked after
it: if a sample has drawn from one of them, the batch is fetched again with that one seeded for each sample, and so is
every later batch. So every sample draws from generators that were seeded for it, also where only some samples draw, or
only sometimes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from torch.utils.data import Dataset, Subset, get_worker_info

from syne_hypersched.training._random import GENERATORS, derive_seed, derive_seeds, generators_kept, seeded

Key = tuple[int, list[int]]
"""The seed of an epoch, and the indices of samples of it."""

_OWN = ("_dataset", "_is_fetched_whole", "_seeded", "_expected")


class SeededSamples(Dataset[Any]):
    """Fetches the samples of a batch, and the seed of their collation.

    A dataset with ``__getitems__`` is asked for whole batches until one of them draws random numbers. These would
    depend on the other samples of the batch, so that single samples are fetched from then on.

    Attributes are those of the dataset, also when they are set, as in a ``worker_init_fn`` that opens a file.

    Parameters
    ----------
    dataset
        Has ``__len__`` and ``__getitem__``.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._is_fetched_whole = _has_whole_batches(dataset)
        #: Generators that are seeded for each sample, where single samples are fetched.
        self._seeded: tuple[str, ...] = ("torch",)
        #: The seed of the epoch, and the first number that each generator draws after it.
        self._expected: tuple[int, dict[str, float]] = (-1, {})

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        if name in _OWN or name.startswith("__"):  # while it is unpickled there is no dataset yet
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._dataset, name, value)

    def __getitems__(self, key: Key) -> tuple[int, list[Any]]:
        """The samples of a batch, and the seed of their collation."""
        epoch_seed, indices = key
        # In a worker process nothing else draws.
        with contextlib.nullcontext() if get_worker_info() is not None else generators_kept():
            while True:
                samples, drawn = self._fetch(epoch_seed, indices)
                if not drawn:
                    return derive_seed(epoch_seed, "collate", indices[0]), samples
                self._is_fetched_whole = False
                self._seeded += tuple(name for name in drawn if name not in self._seeded)

    def _fetch(self, epoch_seed: int, indices: list[int]) -> tuple[list[Any], list[str]]:
        """The samples, and the generators from which they have drawn without a seed for each sample."""
        seeds = [GENERATORS[name].seed for name in self._seeded]
        watched = [name for name in GENERATORS if self._is_fetched_whole or name not in self._seeded]
        expected = self._first_numbers(epoch_seed)
        for name in watched:
            GENERATORS[name].seed(epoch_seed)
        if self._is_fetched_whole:
            samples = list(self._dataset.__getitems__(indices))
            if len(samples) != len(indices):
                raise ValueError(
                    f"__getitems__ of {type(self._dataset).__name__} must give a sample for each of the {len(indices)} "
                    f"indices, but gave {len(samples)}"
                )
        else:
            samples = []
            for index, sample_seed in zip(indices, derive_seeds(epoch_seed, indices), strict=True):
                for seed in seeds:
                    seed(sample_seed)
                samples.append(self._dataset[index])
        return samples, [name for name in watched if GENERATORS[name].draw() != expected[name]]

    def _first_numbers(self, epoch_seed: int) -> dict[str, float]:
        if self._expected[0] != epoch_seed:
            numbers = {}
            for name, generator in GENERATORS.items():
                generator.seed(epoch_seed)
                numbers[name] = generator.draw()
            self._expected = (epoch_seed, numbers)
        return self._expected[1]


class SeededCollation:
    """Makes a batch of the samples that :class:`SeededSamples` has fetched. A user's function may draw as well.

    Parameters
    ----------
    collate
        Takes a list of samples.
    is_seeded
        Whether its random numbers must depend on the epoch and the batch alone.
    """

    def __init__(self, collate: Callable[[list[Any]], Any], is_seeded: bool) -> None:
        self._collate = collate
        self._is_seeded = is_seeded

    def __call__(self, fetched: tuple[int, list[Any]]) -> Any:
        """The batch."""
        seed, samples = fetched
        if not self._is_seeded:
            return self._collate(samples)
        with seeded(seed):
            return self._collate(samples)


def _has_whole_batches(dataset: Any) -> bool:
    # A subset always has the method, and fetches one sample after the other if its dataset does not have it.
    while type(dataset) is Subset:
        dataset = dataset.dataset
    return callable(getattr(dataset, "__getitems__", None))
