"""Training that is bitwise the same on any number of devices.

Sums of floating-point numbers depend on their order, and in a network with kinks (ReLU, max-pooling) a difference in
the last digit grows to a visible one within some dozen steps. Here a step is always computed as if on the same number
of *virtual devices*: each real one computes the parts of several of them, one after the other, and the gradients of all
parts are added up in one order (as in EasyScale, Li et al., SC 2023).

That costs smaller batches per computation, memory for the gradients of all virtual devices, and their exchange without
overlap with the backward pass.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from syne_hypersched.training._group import ProcessGroup


class OrderedGradients:
    """Averages gradients over virtual devices in the order of their numbers.

    Parameters
    ----------
    num_virtual
        Virtual devices, a multiple of the real ones. The first real device computes the first of them, and so on.
    group
        The processes of the launch.
    """

    def __init__(self, num_virtual: int, group: ProcessGroup) -> None:
        self._num_virtual = num_virtual
        self._group = group
        self._parameters: list[nn.Parameter] = []
        #: Of each virtual device computed here so far in this step, shape (parameters,).
        self._gradients: list[Tensor] = []

    def add_model(self, model: nn.Module) -> None:
        """Adds a model, and gives all processes the weights of rank 0."""
        if self._group.num_ranks > 1:
            for tensor in [*model.parameters(), *model.buffers()]:
                dist.broadcast(tensor.detach(), 0)
        self._parameters += [parameter for parameter in model.parameters() if parameter.requires_grad]

    def take(self) -> None:
        """Moves the gradients of one virtual device away from the parameters."""
        flat = [
            torch.zeros_like(parameter).flatten() if parameter.grad is None else parameter.grad.flatten()
            for parameter in self._parameters
        ]
        self._gradients.append(torch.cat(flat))
        for parameter in self._parameters:
            parameter.grad = None

    def discard(self) -> None:
        """Drops the gradients taken since the last step."""
        self._gradients = []

    def give_back(self) -> None:
        """Gives the parameters the mean gradient over all virtual devices."""
        own = torch.stack(self._gradients)
        self._gradients = []
        everything = [own]
        if self._group.num_ranks > 1:
            everything = [torch.empty_like(own) for _ in range(self._group.num_ranks)]
            dist.all_gather(everything, own)
        total = torch.zeros_like(own[0])
        for gradient in torch.cat(everything):
            total += gradient
        total /= self._num_virtual
        sizes = [parameter.numel() for parameter in self._parameters]
        for parameter, gradient in zip(self._parameters, total.split(sizes), strict=True):  # type: ignore[no-untyped-call]
            parameter.grad = gradient.view_as(parameter)
