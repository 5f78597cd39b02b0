"""What a training script in PyTorch may import.

Runs that may be ended at any moment and go on, on any number of devices; the noise scale of gradients; batch sizes
chosen by goodput.
"""

from __future__ import annotations

from syne_hypersched._extras import needs_extra

with needs_extra(__name__, "torch"):
    import torch as torch

from syne_hypersched.checkpoint_folder import CheckpointError as CheckpointError
from syne_hypersched.checkpoint_folder import CheckpointFolder as CheckpointFolder
from syne_hypersched.contract import EXIT_DRAINED as EXIT_DRAINED
from syne_hypersched.training._batch_size import BatchPlan as BatchPlan
from syne_hypersched.training._batch_size import GoodputBatchSize as GoodputBatchSize
from syne_hypersched.training._batch_size import learning_rate_factor as learning_rate_factor
from syne_hypersched.training._batch_size import split_batch as split_batch
from syne_hypersched.training._dropout import BatchDropout as BatchDropout
from syne_hypersched.training._loader import ElasticLoader as ElasticLoader
from syne_hypersched.training._noise_scale import GradientNoiseScale as GradientNoiseScale
from syne_hypersched.training._run import ElasticRun as ElasticRun

__all__ = [
    "ElasticRun",
    "ElasticLoader",
    "BatchDropout",
    "CheckpointFolder",
    "CheckpointError",
    "EXIT_DRAINED",
    "GradientNoiseScale",
    "GoodputBatchSize",
    "BatchPlan",
    "learning_rate_factor",
    "split_batch",
]
