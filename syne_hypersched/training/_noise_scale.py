"""The gradient noise scale, measured while a model is trained.

The noise scale ``B = trace(covariance of a sample's gradient) / |mean gradient| ** 2`` is the batch size, in samples,
at which noise and signal are equally strong in the gradient of a batch (McCandlish et al., *An Empirical Model of
Large-Batch Training*, 2018). Both terms follow from the squared norms of gradients over few and over many samples
(there: appendix A):

    E |gradient of b samples| ** 2 = |mean gradient| ** 2 + trace / b

Gradients over few samples are those of each replica and each micro-batch, taken by a hook before anything is added to
them; the gradient over many is their mean, with which the optimiser steps. Where there is one replica and one
micro-batch, two consecutive gradients take the place of two replicas. The model has moved in between, which biases that
estimate a little.

Smoothing and the choice between the three are those of AdaptDL's ``GradientNoiseScale``. Differences: the estimate is
of the whole model and not of each group of parameters; it is in samples, and thus independent of the initial batch; and
it does not average the gradients itself, but gets the scale of the loss from its caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from syne_hypersched.checks import is_iterable, number, positive_integer


class GradientNoiseScale:
    """Estimates the noise scale of a model from the gradients of its training.

    .. code-block:: python

        noise = GradientNoiseScale(model.parameters(), batch_size=128)
        for batch in loader:
            optimizer.zero_grad()
            loss_of(model(batch)).backward()
            noise.step(micro_batch_size=len(batch))
            optimizer.step()

    Every replica of a :class:`~torch.nn.parallel.DistributedDataParallel` model makes its own object and gets the same
    estimates. Parameters that are sharded (FSDP) are not supported: no process sees a whole gradient.

    Parameters
    ----------
    parameters
        The parameters that are trained. They need not all take part in every step.
    batch_size
        The user's global batch size; the averages decay by ``smoothing`` over that many samples.
    smoothing
        Weight of the measurements before, at least 0 and below 1.
    process_group
        Replicas of the model; by default all processes, or one if ``torch.distributed`` is not initialised.

    Raises
    ------
    TypeError, ValueError
        ``batch_size`` or ``smoothing`` is out of range, or no parameter requires a gradient.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        batch_size: int,
        smoothing: float = 0.999,
        process_group: dist.ProcessGroup | None = None,
    ) -> None:
        batch_size = positive_integer("batch_size", batch_size)
        smoothing = number("smoothing", smoothing, "at least 0 and below 1", at_least=0, below=1)
        tensors: list[Any] = list(parameters) if is_iterable(parameters) else [None]
        if not all(isinstance(parameter, Tensor) for parameter in tensors):
            raise TypeError(f"parameters must be tensors, such as model.parameters(), but got {parameters!r}")
        self._parameters: list[Tensor] = [parameter for parameter in tensors if parameter.requires_grad]
        if not self._parameters:
            raise ValueError("parameters must contain one that requires a gradient, but got none")
        self._batch_size = batch_size
        self._smoothing = smoothing
        self._process_group = process_group
        self._averages = _Smoothed()
        #: Gradient of the last step, where a step has one gradient only.
        self._previous: list[Tensor] | None = None
        #: Since the last step: sum of the squared norms of the gradients of all micro-batches on this replica, and the
        #: number of micro-batches that each parameter has taken part in.
        self._sum_of_squares: Tensor | None = None
        self._micro_batches = [0] * len(self._parameters)
        self._hooks = [
            parameter.register_hook(self._hook(index))  # type: ignore[no-untyped-call]
            for index, parameter in enumerate(self._parameters)
        ]

    def step(self, micro_batch_size: int, loss_scale: float = 1.0, gradient_scale: float = 1.0) -> bool:
        """Measures the gradients of an optimiser step, after the last backward pass, before clipping and the step.

        Parameters
        ----------
        micro_batch_size
            Samples of each micro-batch on each replica. Where they differ, call :meth:`discard` instead.
        loss_scale
            Factor by which the mean loss of a micro-batch was multiplied before its backward pass: one over the number
            of micro-batches where their gradients are added up, times the scale of an AMP gradient scaler.
        gradient_scale
            Factor that is still in ``grad``: the scale of an AMP gradient scaler, unless it has unscaled them already.

        Returns
        -------
        bool
            Whether the averages were updated. They are not where a gradient is not finite, nor by the first gradient
            where two consecutive ones are needed.

        Raises
        ------
        ValueError
            An argument is not positive.
        RuntimeError
            There was no backward pass since the last step.
        """
        for name, value in (
            ("micro_batch_size", micro_batch_size),
            ("loss_scale", loss_scale),
            ("gradient_scale", gradient_scale),
        ):
            if not value > 0:
                raise ValueError(f"{name} must be above 0, but got {value!r}")
        if self._sum_of_squares is None:
            raise RuntimeError("step() must follow a backward pass, but no parameter has received a gradient")
        num_replicas = dist.get_world_size(self._process_group) if dist.is_initialized() else 1
        count = num_replicas * max(self._micro_batches)
        sum_of_squares = self._sum_of_squares
        self._forget_step()
        if count == 1:
            return self._consecutive(micro_batch_size, gradient_scale)
        if num_replicas > 1:
            dist.all_reduce(sum_of_squares, group=self._process_group)
        self._previous = None
        few = float(sum_of_squares) / count / loss_scale**2
        many = float(_squared_norm(self._gradients())) / gradient_scale**2
        # Two equations, for b and for count * b samples, in the two unknowns.
        squared_norm = (count * many - few) / (count - 1)
        trace = (few - many) * micro_batch_size * count / (count - 1)
        return self._average(squared_norm, trace, count * micro_batch_size, biased=False)

    def discard(self) -> None:
        """Drops the gradients since the last step, as those of an uneven last batch."""
        self._forget_step()
        self._previous = None

    @property
    def squared_norm(self) -> float | None:
        """Squared norm of the mean gradient, at least 0; None before it is measured."""
        return None if self._averages.weight == 0 else max(self._averages.squared_norm / self._averages.weight, 0.0)

    @property
    def trace(self) -> float | None:
        """Trace of the covariance of a single sample's gradient, at least 0; None before it is measured."""
        return None if self._averages.weight == 0 else max(self._averages.trace / self._averages.weight, 0.0)

    @property
    def noise_scale(self) -> float | None:
        """The noise scale in samples; infinite where no signal is measured, None before it is measured."""
        if self.squared_norm is None or self.trace is None:
            return None
        return self.trace / self.squared_norm if self.squared_norm > 0 else math.inf

    def close(self) -> None:
        """Removes the hooks from the parameters."""
        for hook in self._hooks:
            hook.remove()

    def state_dict(self) -> dict[str, Any]:
        """The averages, to be kept in a checkpoint; gradients are not."""
        return vars(self._averages).copy()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the averages in ``state``, which :meth:`state_dict` returned on any number of replicas."""
        self._averages = _Smoothed(**state)
        self.discard()

    def _hook(self, index: int) -> Callable[[Tensor], None]:
        def add(gradient: Tensor) -> None:
            squares = _squared_norm([gradient.detach()])
            self._sum_of_squares = squares if self._sum_of_squares is None else self._sum_of_squares + squares
            self._micro_batches[index] += 1

        return add

    def _forget_step(self) -> None:
        self._sum_of_squares = None
        self._micro_batches = [0] * len(self._parameters)

    def _gradients(self) -> list[Tensor]:
        return [parameter.grad.detach() for parameter in self._parameters if parameter.grad is not None]

    def _consecutive(self, batch_size: int, gradient_scale: float) -> bool:
        """Estimates from this gradient ``g`` and the last one ``h``.

        With two gradients of ``b`` samples the two equations become ``g . h`` and ``b |g - h| ** 2 / 2``.
        """
        gradients = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.detach() / gradient_scale
            for parameter in self._parameters
        ]
        previous, self._previous = self._previous, gradients
        if not math.isfinite(float(_squared_norm(gradients))):
            self._previous = None
            return False
        if previous is None:
            return False
        pairs = list(zip(gradients, previous, strict=True))
        squared_norm = float(torch.stack([(g * h).sum() for g, h in pairs]).sum())
        trace = float(_squared_norm([g - h for g, h in pairs])) * batch_size / 2
        return self._average(squared_norm, trace, 2 * batch_size, biased=True)

    def _average(self, squared_norm: float, trace: float, samples: int, biased: bool) -> bool:
        if not (math.isfinite(squared_norm) and math.isfinite(trace)):
            return False
        if self._averages.biased and not biased:
            self._averages = _Smoothed()
        self._averages.add(squared_norm, trace, self._smoothing ** (samples / self._batch_size), biased)
        return True


class _Smoothed:
    """Exponential averages that start at nothing: what was added is divided by the weight added."""

    def __init__(
        self, squared_norm: float = 0.0, trace: float = 0.0, weight: float = 0.0, biased: bool = False
    ) -> None:
        self.squared_norm = squared_norm
        self.trace = trace
        self.weight = weight
        #: Whether they are of consecutive gradients.
        self.biased = biased

    def add(self, squared_norm: float, trace: float, decay: float, biased: bool) -> None:
        self.squared_norm = decay * self.squared_norm + (1 - decay) * squared_norm
        self.trace = decay * self.trace + (1 - decay) * trace
        self.weight = decay * self.weight + (1 - decay)
        self.biased = biased


def _squared_norm(tensors: Iterable[Tensor]) -> Tensor:
    """Sum of the squares of all entries, on the device of the tensors, in float32 at least."""
    precise = [(tensor, torch.promote_types(tensor.dtype, torch.float32)) for tensor in tensors]
    return torch.stack([torch.linalg.vector_norm(tensor, dtype=dtype).square() for tensor, dtype in precise]).sum()
