"""Imports torchvision even if its compiled operators cannot be loaded.

PyPI's wheel for Linux is built for CUDA. With a CPU-only PyTorch its operators cannot be loaded, and the import of
torchvision fails with "operator torchvision::nms does not exist", although models, data sets and transforms do not need
them. In this case, this module declares the operators that the import of torchvision looks up, without an
implementation, and tries again. Import torchvision from here.
"""

from __future__ import annotations

import torch

try:
    import torchvision as torchvision
except RuntimeError as error:
    if "operator torchvision::nms does not exist" not in str(error):
        raise
    # The operators exist as long as this object.
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _library.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from torchvision import datasets as datasets
from torchvision import models as models
from torchvision.transforms import v2 as v2
