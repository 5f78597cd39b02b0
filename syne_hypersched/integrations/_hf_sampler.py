"""Fixes the order of a ``transformers.Trainer``'s training data where it would depend on the launch or on the devices.

The trainer repeats the order only of data that it shuffles itself. A user's sampler begins each launch with the order
of the first epoch. With ``dataloader_drop_last``, the trainer drops a last micro-batch, and not the whole step. So the
steps of an epoch would differ between numbers of devices.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from torch.utils.data import RandomSampler, Sampler, SequentialSampler

from syne_hypersched.integrations._hf_arguments import batch_size
from syne_hypersched.integrations._order import EpochOrder, SamplerOrder, order_of

logger = logging.getLogger(__name__)


def keep_order(trainer: Any) -> None:
    """Makes the trainer read its data in whole steps, in an order that follows from the seed and the epoch.

    Nothing is changed if the trainer already reads the data in the same way in each launch.

    Parameters
    ----------
    trainer
        The ``transformers.Trainer``.
    """
    make = trainer._get_train_sampler

    def make_in_order(*arguments: Any, **options: Any) -> Any:
        sampler = make(*arguments, **options)
        dataset = arguments[0] if arguments else options.get("train_dataset", trainer.train_dataset)
        return _in_order(trainer, sampler, trainer.train_dataset if dataset is None else dataset)

    trainer._get_train_sampler = make_in_order


class WholeSteps(Sampler[int]):
    """The samples of an epoch in order, without the samples after the last whole step.

    Parameters
    ----------
    order
        All samples of an epoch.
    trainer
        The trainer, which knows the epoch.
    size
        Number of samples of a step; 1: all samples are read.
    """

    def __init__(self, order: EpochOrder, trainer: Any, size: int) -> None:
        self._order, self._trainer, self._size = order, trainer, size

    def __iter__(self) -> Iterator[int]:
        """The samples of the present epoch."""
        return iter(self._order(int((self._trainer.state.epoch or 0) + 1e-6))[: len(self)])

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._order) // self._size * self._size


def _in_order(trainer: Any, sampler: Any, dataset: Any) -> Any:
    args = trainer.args
    if not isinstance(sampler, Sampler) or (
        type(sampler) in (RandomSampler, SequentialSampler) and not args.dataloader_drop_last
    ):
        return sampler
    if type(sampler).__name__ == "LengthGroupedSampler":
        sampler.batch_size = batch_size(args)  # type: ignore[attr-defined]  # that of all devices
    if type(sampler).__name__ == "BatchRebalanceSampler":
        return sampler
    order = order_of(sampler, dataset, args.seed if args.data_seed is None else args.data_seed)
    if order is None or (isinstance(order, SamplerOrder) and not order.look()[0]):
        logger.warning(
            "The training data have an order of their own (%s): a launch that goes on may read some samples of an "
            "epoch again, and others not at all.", type(sampler).__name__,
        )  # fmt: skip
        return sampler
    return WholeSteps(order, trainer, batch_size(args) if args.dataloader_drop_last else 1)
