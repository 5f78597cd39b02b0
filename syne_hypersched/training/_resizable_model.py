"""A model whose number of replicas may change during training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

#: Methods of every module that are those of the model: names, parts, hooks and copies are as if it was not wrapped.
_OF_THE_MODEL = (
    "add_module", "children", "get_buffer", "get_parameter", "get_submodule", "load_state_dict", "modules",
    "named_buffers", "named_children", "named_modules", "named_parameters", "register_buffer",
    "register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
    "register_full_backward_pre_hook", "register_load_state_dict_post_hook", "register_load_state_dict_pre_hook",
    "register_module", "register_parameter", "register_state_dict_post_hook", "register_state_dict_pre_hook",
    "set_submodule", "state_dict",
)  # fmt: skip


class ResizableModel(nn.Module):
    """Calls a model, alone or as one of several replicas.

    Attributes, methods, parameters and their names, hooks and the state are those of the model, also if they are set
    here; a copy is one of the model. Hooks stay when the replicas change.

    Parameters
    ----------
    model
        The model.
    find_unused_parameters
        See :meth:`ElasticRun.wrap`.
    """

    def __init__(self, model: nn.Module, find_unused_parameters: bool) -> None:
        super().__init__()
        self.__dict__["_find_unused"] = find_unused_parameters
        self.__dict__["replica"] = None  # no submodule: its parameters are those of the model
        #: Whether the replica computes the gradients of this micro-batch, and so exchanges them.
        self.__dict__["is_called"] = False
        self.__dict__["training"] = model.training
        self._modules["module"] = model

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ or hasattr(type(self), name):
            super().__setattr__(name, value)
        else:
            setattr(self.module, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.__dict__:
            super().__delattr__(name)
        else:
            delattr(self.module, name)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "replica": None}  # a saved model exchanges nothing

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        model: nn.Module = copy.deepcopy(self.module, memo)  # an average of the weights, which exchanges nothing
        return model

    # Containers, as `nn.Sequential`; for other models they raise what the model would.

    def __bool__(self) -> bool:
        return bool(self.module)

    def __len__(self) -> int:
        return len(self.module)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.module)

    def __getitem__(self, key: Any) -> Any:
        return self.module[key]

    def __contains__(self, part: object) -> bool:
        return part in self.module

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """That of the model."""
        replica: nn.Module | None = self.__dict__["replica"]
        if replica is None:
            return self.module(*inputs, **named)
        if torch.is_grad_enabled():
            self.__dict__["is_called"] = True
        return replica(*inputs, **named)

    def train(self, mode: bool = True) -> ResizableModel:
        """Sets the mode."""
        self.__dict__["training"] = mode
        self.module.train(mode)
        if self.__dict__["replica"] is not None:
            self.__dict__["replica"].train(mode)
        return self

    def apply(self, fn: Callable[[nn.Module], None]) -> ResizableModel:
        """Calls ``fn`` with each part of the model, and with the model."""
        self.module.apply(fn)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ResizableModel:
        self.module._apply(fn, recurse)
        return self

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
        self.__dict__["is_called"] = False
        if self.__dict__["replica"] is not None:
            self.__dict__["replica"].require_backward_grad_sync = exchanges

    def exchange_rest(self) -> None:
        """Exchanges the gradients of a step that has not called the model itself, but another method of it, or a part.

        The replica exchanges those of its own forward pass only; without this, the weights of the devices would differ.
        All processes call it together, after the backward pass.
        """
        if self.__dict__["replica"] is None or self.__dict__["is_called"]:
            return
        weights = [weight for weight in self.module.parameters() if weight.requires_grad]
        if not weights:
            return
        has_gradient = torch.tensor([weight.grad is not None for weight in weights], dtype=torch.int32)
        has_gradient = has_gradient.to(weights[0].device)
        dist.all_reduce(has_gradient, dist.ReduceOp.MAX)
        for weight, exchanges in zip(weights, has_gradient.tolist(), strict=True):
            if exchanges:
                if weight.grad is None:
                    weight.grad = torch.zeros_like(weight)
                dist.all_reduce(weight.grad)
                weight.grad /= dist.get_world_size()
        for buffer in self.module.buffers() if has_gradient.any() else ():
            dist.broadcast(buffer, 0)


def _of_the_model(name: str) -> Callable[..., Any]:
    def call(self: ResizableModel, *inputs: Any, **named: Any) -> Any:
        return getattr(self.module, name)(*inputs, **named)

    call.__name__, call.__doc__ = name, "That of the model."
    return call


for _name in _OF_THE_MODEL:
    if hasattr(nn.Module, _name):  # some are younger than the oldest PyTorch that is supported
        setattr(ResizableModel, _name, _of_the_model(_name))


def release(replica: nn.Module | None) -> None:
    """Drops DDP's references, so that its hooks go and Gloo's threads can stop."""
    if isinstance(replica, DistributedDataParallel):
        for name in ("reducer", "logger", "process_group"):
            vars(replica).pop(name, None)
