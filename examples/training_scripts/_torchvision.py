"""torchvision, where its compiled operators cannot be loaded too.

PyPI's wheel for Linux is built for CUDA. Beside a PyTorch for CPUs alone its operators cannot be loaded, and importing
torchvision fails with "operator torchvision::nms does not exist", although models, data sets and transforms need none
of them. If it fails like that, this module declares the operators that are looked up while torchvision is imported,
without an implementation, and tries again. Take torchvision from here.
"""

from __future__ import annotations

import torch

try:
    import torchvision as torchvision
except RuntimeError as error:
    if "operator torchvision::nms does not exist" not in str(error):
        raise
    # The operators are forgotten with this object.
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _library.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from torchvision import datasets as datasets
from torchvision import models as models
from torchvision.transforms import v2 as v2
