"""Computes gradients from the loss of a micro-batch, and steps the optimisers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from syne_hypersched.training._batching import Batching
from syne_hypersched.training._division import Part
from syne_hypersched.training._group import ProcessGroup
from syne_hypersched.training._noise_scale import GradientNoiseScale
from syne_hypersched.training._resizable_model import ResizableModel
from syne_hypersched.training._virtual_devices import OrderedGradients


class Stepper:
    """Steps the models of a run.

    Parameters
    ----------
    group
        The processes of the launch.
    tracked
        The objects that the run tracks, by name; optimisers and a gradient scaler are looked up here.
    virtual_devices
        See :class:`ElasticRun`.
    demand
        Returns this process's request between two steps. The processes begin to agree on it while the optimisers
        step.
    """

    def __init__(
        self,
        group: ProcessGroup,
        tracked: Mapping[str, Any],
        virtual_devices: int | None,
        demand: Callable[[], int],
    ) -> None:
        self.models: list[nn.Module] = []
        self.noise: GradientNoiseScale | None = None
        self._group = group
        self._tracked = tracked
        self._ordered = None if virtual_devices is None else OrderedGradients(virtual_devices, group)
        self._demand = demand
        #: Whether some micro-batches of the present step are computed, and not all.
        self._is_inside_step = False

    @property
    def noise_scale(self) -> float | None:
        """Gradient noise scale in samples, if it is measured and known."""
        return None if self.noise is None else self.noise.noise_scale

    def add_model(self, model: nn.Module) -> None:
        """Adds a model, as it is called in the forward pass."""
        self.models.append(model)
        if self._ordered is not None:
            self._ordered.add_model(model)

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """See :meth:`ElasticRun.validating`."""
        modes = [(model, model.training) for model in self.models]
        for model, _ in modes:
            model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for model, mode in modes:
                model.train(mode)

    def enter(self, part: Part) -> None:
        """Prepares the forward pass of a micro-batch: devices exchange gradients only in the last one of a step."""
        for model in self.models:
            if isinstance(model, ResizableModel):
                model.set_exchange(part.is_last)
            elif callable(getattr(model, "set_requires_gradient_sync", None)):  # sharded, on several devices
                model.set_requires_gradient_sync(part.is_last)  # type: ignore[operator]

    def step(self, loss: Tensor, part: Part, batching: Batching, max_norm: float | None) -> bool:
        """See :meth:`ElasticRun.step`. A step that fails leaves no gradients."""
        self._is_inside_step = True
        try:
            has_stepped = self._step(loss, part, batching, max_norm)
        except Exception:
            self.abandon()
            raise
        self._is_inside_step = not has_stepped
        return has_stepped

    def abandon(self) -> None:
        """Drops the gradients of a step of which not all micro-batches were computed."""
        if not self._is_inside_step:
            return
        self._is_inside_step = False
        for optimizer in self.optimizers():
            optimizer.zero_grad(set_to_none=True)
        if self._ordered is not None:
            self._ordered.discard()
        if self.noise is not None:
            self.noise.discard()

    def go_on(self) -> None:
        """Tells the optimisers of a run that was restored that they have stepped before.

        Otherwise a learning rate scheduler warns that it is stepped first, in a launch that only validates an epoch.
        """
        for optimizer in self.optimizers():
            optimizer._opt_called = True  # type: ignore[attr-defined]

    def close(self) -> None:
        """Drops DDP's references so that Gloo's threads can stop.

        The frames of an exception may keep the models alive, and a thread that outlives the interpreter aborts it.
        """
        self.disconnect()

    def disconnect(self) -> None:
        """The processes change: nothing holds the group that is left."""
        for model in self.models:
            if isinstance(model, ResizableModel):
                model.disconnect()

    def connect(self) -> None:
        """The processes have changed, and all of them have the same weights."""
        if self._group.num_ranks > 1:
            for model in self.models:
                if isinstance(model, ResizableModel):
                    model.connect(in_step=True)
        if self.noise is not None:
            self.noise.discard()

    def _step(self, loss: Tensor, part: Part, batching: Batching, max_norm: float | None) -> bool:
        scaler = next((thing for thing in self._tracked.values() if isinstance(thing, torch.amp.GradScaler)), None)
        scaled = loss if part.loss_weight == 1 else loss * part.loss_weight
        (scaled if scaler is None else scaler.scale(scaled)).backward()  # type: ignore[no-untyped-call]
        if self._ordered is not None:
            self._ordered.take()
        if not part.is_last:
            return False
        if self._ordered is not None:
            self._ordered.give_back()
        for model in self.models:
            if isinstance(model, ResizableModel):
                model.exchange_rest()
        self._group.begin_agreement(self._demand())
        optimizers = self.optimizers()
        if scaler is not None:
            for optimizer in optimizers:
                scaler.unscale_(optimizer)
        if self.noise is not None and part.is_even:
            self.noise.step(part.num_samples, part.loss_weight * (1.0 if scaler is None else scaler.get_scale()))
        elif self.noise is not None:
            self.noise.discard()
        if max_norm is not None:
            nn.utils.clip_grad_norm_([weight for model in self.models for weight in model.parameters()], max_norm)
        factor = batching.learning_rate_factor(self.noise_scale)
        for optimizer in optimizers:
            with _learning_rates_times(factor, optimizer):
                if scaler is None:
                    optimizer.step()
                else:
                    scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        if scaler is not None:
            scaler.update()
        return True

    def optimizers(self) -> list[Optimizer]:
        """Those that the run tracks."""
        return [thing for thing in self._tracked.values() if isinstance(thing, Optimizer)]


@contextlib.contextmanager
def _learning_rates_times(factor: float, optimizer: Optimizer) -> Iterator[None]:
    """Multiplies the learning rates inside the block, where no learning rate scheduler sees it."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * factor
    try:
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
