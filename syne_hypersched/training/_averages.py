"""Averages over the samples of an epoch, on however many devices and launches they were computed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from syne_hypersched.training._group import ProcessGroup


class Averages:
    """Weighted means by name. They stay on the device of the run, so that adding to them does not wait for it."""

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        #: Sum of weight times value, and sum of the weights.
        self._sums: dict[str, Tensor] = {}

    def add(self, weight: float, **means: Tensor | float) -> None:
        """Adds means over ``weight`` samples.

        Raises
        ------
        TypeError
            A mean is not a number.
        ValueError
            A mean is not a single number.
        """
        for name, mean in means.items():
            try:
                value = torch.as_tensor(mean)
            except (TypeError, ValueError, RuntimeError):
                got = type(mean).__name__
                raise TypeError(f"{name} must be a number or a tensor with one, but got {got}") from None
            value = value.detach().to(self._group.device, torch.float64)
            if value.numel() != 1:
                raise ValueError(f"{name} must be a single number, but got a tensor of shape {tuple(value.shape)}")
            # A device without samples of its own computes one that does not count, even if the result is NaN.
            term = torch.stack([value.reshape(()) * weight, value.new_tensor(weight)]) if weight else value.new_zeros(2)
            self._sums[name] = self._sums[name] + term if name in self._sums else term

    def means(self) -> dict[str, float]:
        """The mean of each name over all devices; every device must call it."""
        return {name: total / weight for name, (total, weight) in self.state_dict().items() if weight > 0}

    def clear(self) -> None:
        """Drops all sums."""
        self._sums = {}

    def state_dict(self) -> dict[str, list[float]]:
        """The sums over all devices; every device must call it."""
        # Devices may have added different names, or in a different order.
        names = list(dict.fromkeys(name for names in self._group.gather(list(self._sums)) for name in names))
        if not names:
            return {}
        nothing = torch.zeros(2, dtype=torch.float64, device=self._group.device)
        totals = self._group.sum(torch.stack([self._sums.get(name, nothing) for name in names])).tolist()
        return dict(zip(names, totals, strict=True))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the sums over all devices, on rank 0; the other ranks start at 0."""
        is_first = self._group.rank == 0
        self._sums = {
            name: torch.tensor(sums if is_first else [0.0, 0.0], dtype=torch.float64, device=self._group.device)
            for name, sums in state.items()
        }
