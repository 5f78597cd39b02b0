"""Found through ``PYTHONPATH`` by the scripts of these tests: lets torchvision be imported beside a PyTorch for CPUs.

PyPI's wheel of torchvision is built for CUDA, and fails with "operator torchvision::nms does not exist" when its
operators cannot be loaded. transformers and torchmetrics import torchvision wherever it is installed. The operators are
declared here when torchvision is imported, without an implementation.
"""

from __future__ import annotations

import importlib.metadata
import sys
from importlib.abc import MetaPathFinder
from typing import Any


class _Torchvision(MetaPathFinder):
    library: Any = None

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname != "torchvision":
            return
        sys.meta_path.remove(self)
        import torch

        if torch.version.cuda is None and "+cu" in _built_for():
            # The operators exist as long as this object.
            type(self).library = torch.library.Library("torchvision", "FRAGMENT")
            for name in ("nms", "qnms"):
                self.library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _built_for() -> str:
    files = importlib.metadata.files("torchvision") or []
    return next((file.read_text() for file in files if str(file) == "torchvision/version.py"), "")


sys.meta_path.insert(0, _Torchvision())
