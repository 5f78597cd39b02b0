"""Dropout whose masks do not depend on the number of devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from syne_hypersched.checks import number
from syne_hypersched.training._random import derive_seed


@dataclass(frozen=True)
class Place:
    """Where in the training a forward pass is."""

    seed: int
    """Of the step."""
    rows: Tensor
    """Positions in the global batch that the samples have, shape (samples,)."""
    batch_size: int
    """Of the global batch."""


class BatchDropout(nn.Module):
    """Dropout that depends on the step and on a sample's place in the global batch, not on the device.

    .. code-block:: python

        model = run.wrap(nn.Sequential(nn.Linear(8, 32), nn.ReLU(), BatchDropout(0.1), nn.Linear(32, 2)))

    :class:`torch.nn.Dropout` draws from the generator of each process, so that a run on two devices has other masks
    than a run on one. This module draws the mask of the whole global batch, from a seed of its own for each step, and
    takes the rows of this device's samples. That costs the random numbers of the global batch on each device.

    Works in a model that :meth:`ElasticRun.wrap <syne_hypersched.training.ElasticRun.wrap>` was given. Anywhere else
    the module is like ``torch.nn.Dropout``.

    Parameters
    ----------
    p
        Probability that an entry becomes zero, at least 0 and below 1; the others are divided by ``1 - p``.

    Raises
    ------
    TypeError, ValueError
        ``p`` is no number, or out of range.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = number("p", p, "at least 0 and below 1", at_least=0, below=1)
        self._index = 0
        self._place: Callable[[], Place | None] | None = None

    def extra_repr(self) -> str:
        """The arguments, for ``print``."""
        return f"p={self.p}"

    def forward(self, values: Tensor) -> Tensor:
        """Drops entries while the module is in training mode.

        Parameters
        ----------
        values
            Any tensor whose first dimension is the samples.

        Raises
        ------
        ValueError
            The first dimension is not that of this device's part of the batch.
        """
        if not self.training or self.p == 0:
            return values
        place = self._place() if self._place is not None else None
        if place is None:
            return functional.dropout(values, self.p)
        if len(values) != len(place.rows):
            raise ValueError(
                f"the first dimension of the input of BatchDropout must be the {len(place.rows)} samples of the "
                f"micro-batch, but got shape {tuple(values.shape)}"
            )
        generator = torch.Generator(values.device).manual_seed(derive_seed(place.seed, "dropout", self._index))
        drawn = torch.rand(place.batch_size, *values.shape[1:], generator=generator, device=values.device)
        keep = drawn[place.rows.to(values.device)] >= self.p
        return values * keep / (1 - self.p)


def bind_dropout(model: nn.Module, place: Callable[[], Place | None]) -> None:
    """Tells each :class:`BatchDropout` of a model how to find its place, and numbers them, so that masks differ."""
    for index, module in enumerate(module for module in model.modules() if isinstance(module, BatchDropout)):
        module._index, module._place = index, place
