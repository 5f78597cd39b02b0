"""Cost of an elastic run for a training script: microseconds per sample and step, milliseconds per checkpoint.

    python benchmarking/speed/training_overhead.py

Samples: a DataLoader and ``ElasticRun.loader`` iterate over datasets of several kinds, in this process (CPU time) and
with two workers (wall time). The cost of a sample depends on the random numbers that it draws. Steps: a very small
network, so that the overhead is visible, with a plain loop over a DataLoader and with ``ElasticRun``. Both run on one
device and alternate; the figures are medians of several epochs. Checkpoints: a model of the given size with SGD and
momentum, on the disk of the working directory, synced.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

from syne_hypersched.training import ElasticRun

NUM_SAMPLES = 64_000
NUM_SINGLE_SAMPLES = 20_000
"""Of datasets that give one after the other."""
BATCH_SIZE = 64


class DrawnSamples(Dataset[Any]):
    """Samples that are fetched one by one; drawing is very cheap, so that the overhead is visible."""

    def __init__(self, draw: Callable[[], Any]) -> None:
        self.features = torch.randn(NUM_SINGLE_SAMPLES, 16)
        self._draw = draw

    def __len__(self) -> int:
        return NUM_SINGLE_SAMPLES

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self._draw()
        return self.features[index], index % 2


class Batches(DrawnSamples):
    """The same, which can be fetched many at a time."""

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int]]:
        return list(zip(self.features[indices].unbind(), [index % 2 for index in indices], strict=True))


def nothing() -> None:
    """Draws nothing, as a dataset without augmentation."""


DATASETS: dict[str, Callable[[], Any]] = {
    "TensorDataset": lambda: TensorDataset(torch.randn(NUM_SAMPLES, 16), torch.arange(NUM_SAMPLES) % 2),
    "draws nothing": lambda: DrawnSamples(nothing),
    "draws nothing, __getitems__": lambda: Batches(nothing),
    "draws from torch": lambda: DrawnSamples(partial(torch.rand, ())),
    "draws from numpy": lambda: DrawnSamples(np.random.random_sample),
    "draws from random": lambda: DrawnSamples(random.random),
}


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2))


def make_data() -> TensorDataset:
    features = torch.randn(NUM_SAMPLES, 16)
    return TensorDataset(features, (features.sum(dim=1) > 0).long())


def plain_epochs(data: TensorDataset, num_epochs: int) -> Iterator[float]:
    """Microseconds a step of a loop that reads whole batches, as ours does."""
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(num_epochs):
        started = time.perf_counter()
        order = torch.randperm(NUM_SAMPLES).split(BATCH_SIZE)
        for features, labels in DataLoader(data, sampler=order, batch_size=None):
            loss = functional.cross_entropy(model(features), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield 1e6 * (time.perf_counter() - started) / len(order)


def elastic_epochs(data: TensorDataset, num_epochs: int, folder: str) -> Iterator[float]:
    """Microseconds a step with ``ElasticRun``, without the checkpoint at the end of the epoch."""
    with ElasticRun(folder, reporter=lambda **report: None) as run:
        model = run.wrap(make_model())
        run.track(optimizer=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
        loader = run.loader(data, BATCH_SIZE)
        for _ in run.epochs(num_epochs):
            started = time.perf_counter()
            for features, labels in loader:
                run.step(functional.cross_entropy(model(features), labels))
            yield 1e6 * (time.perf_counter() - started) / len(loader)


def sample_times(data: Any, num_workers: int, num_epochs: int) -> tuple[float, float]:
    """Microseconds a sample, of a DataLoader that shuffles and of a loader of ours."""
    plain, elastic = [], []
    # A single process computes all the time: its CPU seconds are those of an idle machine.
    now = time.process_time if num_workers == 0 else time.perf_counter
    if isinstance(data, TensorDataset):
        order = torch.randperm(len(data)).split(BATCH_SIZE)
        options: dict[str, Any] = {"sampler": order, "batch_size": None}
    else:
        options = {"batch_size": BATCH_SIZE, "shuffle": True}
    loader = DataLoader(data, num_workers=num_workers, persistent_workers=num_workers > 0, **options)
    with ElasticRun(reporter=lambda **report: None) as run:
        batches = run.loader(data, BATCH_SIZE, num_workers=num_workers)
        for epoch in run.epochs(1 + num_epochs):
            for times, source in ((plain, loader), (elastic, batches)):
                started = now()
                for _ in source:
                    pass
                if epoch > 1:  # workers are started in the first one
                    times.append(1e6 * (now() - started) / len(data))
    return statistics.median(plain), statistics.median(elastic)


def checkpoint_times_ms(num_parameters: int, repetitions: int, folder: str) -> list[float]:
    """Milliseconds of ``report()``: gather, write, sync, rename, remove the one before the last."""
    times_ms = []
    with ElasticRun(folder, reporter=lambda **report: None) as run:
        model = run.wrap(nn.Linear(num_parameters, 1, bias=False))
        optimizer = run.track(optimizer=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
        model.weight.grad = torch.zeros_like(model.weight)
        optimizer.step()
        for _ in run.epochs(repetitions):
            started = time.perf_counter()
            run.report()
            times_ms.append(1e3 * (time.perf_counter() - started))
    return times_ms


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=9, help="epochs of each loop (default %(default)s)")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for num_workers in (0, 2):
        for name, make in DATASETS.items():
            before, after = sample_times(make(), num_workers, args.epochs)
            print(
                f"a sample, {num_workers} workers, {name}: plain {before:.1f} us, elastic {after:.1f} us, "
                f"{after - before:.1f} us more",
                flush=True,
            )
    data = make_data()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        plain, elastic = [], []
        for one, other in zip(
            plain_epochs(data, args.epochs), elastic_epochs(data, args.epochs, f"{folder}/steps"), strict=True
        ):
            plain.append(one)
            elastic.append(other)
        before, after = statistics.median(plain), statistics.median(elastic)
        print(f"a step: plain {before:.0f} us, elastic {after:.0f} us, {after - before:.0f} us more")
        for num_parameters in (10**4, 10**6, 10**7):
            times_ms = checkpoint_times_ms(num_parameters, 9, f"{folder}/{num_parameters}")
            print(
                f"a checkpoint of {num_parameters:,} parameters and their momenta: {statistics.median(times_ms):.1f} ms"
            )


if __name__ == "__main__":
    main()
