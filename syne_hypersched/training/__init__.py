"""What a training script in PyTorch may import: how noisy its gradients are, and which batch size is worth it."""

from __future__ import annotations

from syne_hypersched.training._batch_size import BatchPlan as BatchPlan
from syne_hypersched.training._batch_size import GoodputBatchSize as GoodputBatchSize
from syne_hypersched.training._batch_size import learning_rate_factor as learning_rate_factor
from syne_hypersched.training._batch_size import split_batch as split_batch
from syne_hypersched.training._noise_scale import GradientNoiseScale as GradientNoiseScale

__all__ = ["BatchPlan", "GoodputBatchSize", "GradientNoiseScale", "learning_rate_factor", "split_batch"]
