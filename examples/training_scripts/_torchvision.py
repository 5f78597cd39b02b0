"""torchvision, where its compiled operators cannot be loaded too.

PyPI's wheel for Linux is built for CUDA. Beside a PyTorch for CPUs alone its operators cannot be loaded, and importing
torchvision fails with "operator torchvision::nms does not exist", although models, data sets and transforms need none
of them. If loading them fails, this module declares those that are looked up while torchvision is imported, without an
implementation. Take torchvision from here.
"""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path

import torch

_LOOKED_UP = ("nms", "qnms")
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _declare_missing_operators() -> torch.library.Library | None:
    """Declares the operators that are missing; they are forgotten with the object returned."""
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("torchvision is needed: pip install 'syne-hypersched[vision]'", name="torchvision")
    for compiled in sorted(Path(found.origin).parent.glob("_C*.so")):
        with contextlib.suppress(OSError):
            torch.ops.load_library(compiled)
    missing = [name for name in _LOOKED_UP if not hasattr(torch.ops.torchvision, name)]
    if not missing:
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in missing:
        library.define(name + _SIGNATURE)
    return library


_library = _declare_missing_operators()

from torchvision import datasets as datasets  # noqa: E402
from torchvision import models as models  # noqa: E402
from torchvision.transforms import v2 as v2  # noqa: E402
