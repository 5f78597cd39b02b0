"""A model whose replicas may become more or fewer while it is trained."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel


class ResizableModel(nn.Module):
    """Calls a model, by itself or as a replica of those on other devices.

    Attributes, parameters and the state are those of the model. Hooks that are registered here or in the model stay
    when the replicas change.

    Parameters
    ----------
    model
        The model.
    find_unused_parameters
        See :meth:`ElasticRun.wrap`.
    """

    def __init__(self, model: nn.Module, find_unused_parameters: bool) -> None:
        super().__init__()
        self.module = model
        self._find_unused = find_unused_parameters
        self.__dict__["replica"] = None  # no submodule: its parameters are those of the model

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "replica": None}  # a copy exchanges nothing, as an average of the weights

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """That of the model."""
        replica: nn.Module | None = self.__dict__["replica"]
        return (self.module if replica is None else replica)(*inputs, **named)

    def train(self, mode: bool = True) -> ResizableModel:
        """Sets the mode."""
        super().train(mode)
        if self.__dict__["replica"] is not None:
            self.__dict__["replica"].train(mode)
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """That of the model."""
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """That of the model."""
        return self.module.load_state_dict(*args, **kwargs)

    def connect(self, in_step: bool) -> None:
        """Exchanges gradients with the other processes of the default group from now on.

        Parameters
        ----------
        in_step
            Whether all of them have the same weights already.
        """
        options: dict[str, Any] = {"init_sync": False} if in_step else {}
        replica = DistributedDataParallel(self.module, find_unused_parameters=self._find_unused, **options)
        replica.train(self.training)  # type: ignore[no-untyped-call]
        self.__dict__["replica"] = replica

    def disconnect(self) -> None:
        """Exchanges nothing any more, and holds no process group."""
        replica, self.__dict__["replica"] = self.__dict__["replica"], None
        release(replica)

    def set_exchange(self, exchanges: bool) -> None:
        """Whether the next backward pass exchanges gradients."""
        if self.__dict__["replica"] is not None:
            self.__dict__["replica"].require_backward_grad_sync = exchanges


def release(replica: nn.Module | None) -> None:
    """Drops DDP's references, so that its hooks go and Gloo's threads can stop."""
    if isinstance(replica, DistributedDataParallel):
        for name in ("reducer", "logger", "process_group"):
            vars(replica).pop(name, None)
