"""The loss of a ``transformers.Trainer``, which is to be the same on any number of devices.

The trainer tells the model how many items (tokens, for example) the batch of all devices has. A model that divides by
this number returns the share of its device, so the trainer multiplies the loss by the number of devices and does not
divide it by the accumulation steps. Many models accept the number and ignore it, and then loss and gradients grow with
the devices.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import torch

from syne_hypersched._wording import counted
from syne_hypersched.integrations._ranks import Ranks

logger = logging.getLogger(__name__)


def keep_loss(trainer: Any, ranks: Ranks) -> None:
    """Has a trainer compute the same loss on any number of devices, in training and in evaluations."""
    _Loss(trainer, ranks)


def divides(once: float, twice: float) -> bool | None:
    """Whether a loss was divided by the number of items; None: it does not show.

    Parameters
    ----------
    once
        The loss of some batch.
    twice
        The loss of the same batch if twice the number of items is told.
    """
    if not math.isfinite(once) or not math.isfinite(twice) or abs(once) < 1e-12:
        return None
    return twice / once < 0.75  # a model may add a loss of its experts, which is not divided


class _Loss:
    def __init__(self, trainer: Any, ranks: Ranks) -> None:
        self._trainer, self._ranks = trainer, ranks
        self._is_known = False
        self._compute, self._predict = trainer.compute_loss, trainer.prediction_step
        trainer.compute_loss, trainer.prediction_step = self.compute_loss, self.prediction_step

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None, **options: Any
    ) -> Any:
        """Looks, at the first step of a launch, whether the loss is divided by the number of items."""
        if model.training and num_items_in_batch is not None and not self._is_known and self._matters():
            found = self._ranks.broadcast(self._look(model, inputs, num_items_in_batch))
            self._is_known = found is not None
            if found is False:
                self._use_mean()
        return self._compute(model, inputs, return_outputs, num_items_in_batch=num_items_in_batch, **options)

    def prediction_step(self, *arguments: Any, **options: Any) -> Any:
        """Each device takes the mean of its own batch, as one device does; the trainer takes the mean of these."""
        args = self._trainer.args
        before, args.average_tokens_across_devices = args.average_tokens_across_devices, False
        try:
            return self._predict(*arguments, **options)
        finally:
            args.average_tokens_across_devices = before

    def _matters(self) -> bool:
        args = self._trainer.args
        return bool(args.world_size * max(1, args.n_gpu) * args.gradient_accumulation_steps > 1)

    def _look(self, model: Any, inputs: Any, num_items: Any) -> bool | None:
        """Computes the loss twice, with different numbers of items, and without dropout."""
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        found = []
        model.eval()
        try:
            with torch.no_grad(), torch.random.fork_rng(devices):
                for number in (num_items, 2 * num_items):
                    torch.manual_seed(0)
                    found.append(float(self._compute(model, dict(inputs), num_items_in_batch=number).mean()))
        finally:
            model.train()
        return divides(*found)

    def _use_mean(self) -> None:
        trainer = self._trainer
        trainer.model_accepts_loss_kwargs = False
        if getattr(trainer, "loss_is_scaled_for_ga", None) is None:
            trainer.loss_is_scaled_for_ga = False
        trainer.args.average_tokens_across_devices = False
        steps, devices = trainer.args.gradient_accumulation_steps, trainer.args.world_size * max(1, trainer.args.n_gpu)
        if self._ranks.is_main:
            logger.warning(
                "The loss does not depend on num_items_in_batch, the number of items that the trainer tells the model. "
                "On %s with gradient_accumulation_steps=%d its gradients would be %d times too large, so the mean over "
                "the batch is taken instead.",
                counted(devices, "device"),
                steps,
                steps * devices,
            )
