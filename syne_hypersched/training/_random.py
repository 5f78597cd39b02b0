"""Seeds for everything random, and the state of the process-wide generators that training code draws from."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """A seed of 63 bits that depends on the parts alone."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def derive_seeds(part: int | str, numbers: Iterable[int]) -> list[int]:
    """``derive_seed(part, number)`` of each number, in half the time."""
    start = hashlib.blake2b(f"{part}/".encode(), digest_size=8)
    seeds = []
    for number in numbers:
        digest = start.copy()
        digest.update(b"%d" % number)
        seeds.append(int.from_bytes(digest.digest(), "big") >> 1)
    return seeds


def seed_everything(seed: int, cuda: bool = True) -> None:
    """Seeds the process-wide generators of Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    if cuda and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """State of the process-wide generators; loads with ``weights_only``."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    state: dict[str, Any] = {
        "python": [version, list(numbers), gauss],
        "numpy": [
            str(name),
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            cached,
        ],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Restores ``state``, which :func:`random_state` returned."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.set_rng_state(state["cuda"].cpu())


class Generator(NamedTuple):
    """One of the process-wide generators on the CPU from which the samples of a dataset may be drawn."""

    seed: Callable[[int], object]
    draw: Callable[[], float]
    """Draws a number, which shows whether anything was drawn since the seeding; wrong one time in some 2 ** 53."""


GENERATORS = {
    "python": Generator(random.seed, random.random),
    "numpy": Generator(lambda seed: np.random.seed(seed % 2**32), np.random.random_sample),
    "torch": Generator(
        torch.default_generator.manual_seed,
        lambda: torch.rand((), generator=torch.default_generator, dtype=torch.float64, device="cpu").item(),
    ),
}
"""By name."""


@contextlib.contextmanager
def generators_kept() -> Iterator[None]:
    """Restores the generators on the CPU at the end of the block."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds everything random on the CPU inside the block, and restores the generators at its end."""
    with generators_kept():
        seed_everything(seed, cuda=False)
        yield
