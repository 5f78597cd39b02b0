"""Makes the loss of a ``transformers.Trainer`` the same on any number of devices.

The trainer tells the model how many items (tokens, for example) the batch of all devices has. A model that divides by
this number returns the share of its device. So the trainer multiplies the loss by the number of devices, and does not
divide it by the accumulation steps. Many models accept the number but ignore it. Then loss and gradients grow with the
devices. A trainer with its own ``compute_loss`` may divide by the number without multiplying by the devices. Then the
gradients shrink with the number of devices.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import torch

from syne_hypersched._wording import counted
from syne_hypersched.integrations._ranks import Ranks

logger = logging.getLogger(__name__)


def keep_loss(trainer: Any, ranks: Ranks) -> None:
    """Makes a trainer compute the same loss on any number of devices, in training and in evaluations."""
    _Loss(trainer, ranks)


def divides(once: float, twice: float) -> bool | None:
    """Whether a loss was divided by the number of items; None: this cannot be seen.

    Parameters
    ----------
    once
        The loss of a batch.
    twice
        The loss of the same batch if twice the number of items is given.
    """
    if not math.isfinite(once) or not math.isfinite(twice) or abs(once) < 1e-12:
        return None
    return twice / once < 0.75  # a model may add a loss of its experts, which is not divided by the number


def is_share(told: float, mean: float, num_devices: int) -> bool:
    """Whether a loss, divided by the items of all devices, is only this device's share of their mean.

    Parameters
    ----------
    told
        The loss of a batch, given that each device has as many items as this device.
    mean
        The mean loss of the same batch.
    num_devices
        Number of devices.
    """
    if num_devices < 2 or not (math.isfinite(told) and math.isfinite(mean)) or abs(mean) < 1e-12:
        return False
    return abs(told / mean * num_devices - 1) < 0.1


class _Loss:
    def __init__(self, trainer: Any, ranks: Ranks) -> None:
        self._trainer, self._ranks = trainer, ranks
        self._is_known = self._is_share = False
        self._compute, self._predict = trainer.compute_loss, trainer.prediction_step
        trainer.compute_loss, trainer.prediction_step = self.compute_loss, self.prediction_step

    def compute_loss(self, model: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
        """At the first step of a launch, checks whether the loss is divided by the number of items.

        The trainer passes the number by name. In a user's class, the other arguments may have any order.
        """
        num_items = options.get("num_items_in_batch") if model.training else None
        if num_items is not None and not self._is_known and self._matters():
            found, self._is_share = self._ranks.broadcast(self._look(model, inputs, num_items))
            self._is_known = found is not None
            if found is False:
                self._use_mean()
            elif self._is_share:
                self._tell_share()
        loss = self._compute(model, inputs, *rest, **options)
        if num_items is None or not self._is_share:
            return loss
        devices = self._trainer.args.world_size
        return (loss[0] * devices, *loss[1:]) if isinstance(loss, tuple) else loss * devices

    def prediction_step(self, *arguments: Any, **options: Any) -> Any:
        """Computes the mean of each device's own batch, as on one device. The trainer takes the mean of these means."""
        args = self._trainer.args
        before, args.average_tokens_across_devices = args.average_tokens_across_devices, False
        try:
            return self._predict(*arguments, **options)
        finally:
            args.average_tokens_across_devices = before

    def _matters(self) -> bool:
        args = self._trainer.args
        return bool(args.world_size * max(1, args.n_gpu) * args.gradient_accumulation_steps > 1)

    def _look(self, model: Any, inputs: Any, num_items: Any) -> tuple[bool | None, bool]:
        """Computes the loss with different numbers of items, and without dropout.

        Returns whether the loss is divided by the number, and whether it is only the share of this device.
        """
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []

        def loss(number: Any) -> float:
            torch.manual_seed(0)
            return float(self._compute(model, dict(inputs), num_items_in_batch=number).mean())

        model.eval()
        try:
            with torch.no_grad(), torch.random.fork_rng(devices):
                found = divides(loss(num_items), loss(2 * num_items))
                return found, bool(found) and self._has_own_loss() and self._looks_like_share(inputs, loss)
        finally:
            model.train()

    def _has_own_loss(self) -> bool:
        """Whether a user's class computes the loss. The trainer itself multiplies its loss by the devices."""
        return not getattr(self._compute, "__module__", "").startswith("transformers.")

    def _looks_like_share(self, inputs: Any, loss: Callable[[Any], float]) -> bool:
        args = self._trainer.args
        try:  # this is a private method of the trainer, and the user's code may need a number
            own = self._num_items(inputs)
            return own is not None and is_share(loss(own * args.world_size), loss(None), args.world_size)
        except Exception as error:
            logger.info("It is not known whether the loss is the share of one device: %s", error)
            return False

    def _num_items(self, inputs: Any) -> Any:
        """Number of items in a micro-batch of this device."""
        args = self._trainer.args
        before, args.average_tokens_across_devices = args.average_tokens_across_devices, False
        try:
            return self._trainer._get_num_items_in_batch([inputs], args.device)
        finally:
            args.average_tokens_across_devices = before

    def _tell_share(self) -> None:
        if self._ranks.is_main:
            logger.warning(
                "compute_loss divides by num_items_in_batch, the items of all %s, so it returns the share of one of "
                "them. The trainer takes the mean over the devices, so the share is multiplied by their number.",
                counted(self._trainer.args.world_size, "device"),
            )

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
