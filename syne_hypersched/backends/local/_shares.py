"""How a backend shares its GPUs among trials, and what it does about their memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from syne_hypersched.backends.shared.shares import fitting, gpus_of

logger = logging.getLogger(__name__)

LEAST_SHARE = 0.8
"""A launch on one of n shares waits until this part of one n-th of the GPU's memory is free."""


class GpuShares:
    """See the module.

    Parameters
    ----------
    shares_per_gpu
        Trials of one device that may be on one GPU.
    memory
        Gives free and total memory of a GPU in bytes, or None where that is not known.
    """

    def __init__(
        self, shares_per_gpu: int = 1, memory: Callable[[str], tuple[int, int] | None] = lambda gpu: None
    ) -> None:
        self.shares_per_gpu = shares_per_gpu
        self._memory = memory
        #: Trials that have run out of memory beside others.
        self._alone: set[int] = set()
        self._has_warned = False

    def wanted(self, trial_id: int, num_devices: int) -> int:
        """Shares that a trial is to have when a number is requested."""
        if trial_id in self._alone:
            num_devices = max(num_devices, self.shares_per_gpu)
        return fitting(num_devices, self.shares_per_gpu)

    def is_shared(self, num_devices: int) -> bool:
        """Whether a launch on this many shares has other trials beside it."""
        return self.shares_per_gpu > 1 and num_devices == 1

    def set_alone(self, trial_id: int) -> None:
        """The trial needs a GPU of its own from now on."""
        self._alone.add(trial_id)

    def has_memory(self, trial_id: int, shares: Iterable[str]) -> bool:
        """Whether there is memory for a launch; warns once if there is not."""
        if self.shares_per_gpu == 1:
            return True
        for gpu in gpus_of(shares):
            known = self._memory(gpu)
            if known is None:
                continue
            free, total = known
            if free < LEAST_SHARE * total / self.shares_per_gpu:
                if not self._has_warned:
                    self._has_warned = True
                    logger.warning(
                        "Trial %d waits for memory of GPU %s: %.1f of %.1f GB are free, less than %g of one of %d "
                        "shares. Others use it, or shares_per_gpu is too large.", trial_id, gpu, free / 1e9,
                        total / 1e9, LEAST_SHARE, self.shares_per_gpu,
                    )  # fmt: skip
                return False
        return True


NOT_SHARED = GpuShares()
