"""A synthetic stand-in for NAS-Bench-201: its exact space, with invented learning curves.

**Nothing here is measured.** It exists so that programs for the real table (``load_from_repository``) run without it.
Results on this table tell nothing about the real table.

The curves are made as follows, for each of the 15,625 cells and each data set:

- *Signal*: the cell has four paths from its input to its output. The signal of a path is the product of the
  transmissions of its operations, and a path learns by its convolutions. The quality of the cell is
  ``1 - exp(-sum over paths)``, with some scatter. A cell without a convolution on any path to the output stays near
  chance.
- *Final accuracy* grows with quality, through a curve that is calibrated to the published range of each data set.
- *Curve*: a saturating rise, slower for cells with more convolutions (so that curves cross), and a last gain as the
  learning rate falls to zero along a cosine over the 200 epochs.
- *Noise*: from epoch to epoch, shrinking with the learning rate, and between the three repetitions.
- *Epoch time*: a constant for each cell, linear in its operations, calibrated to the hours of published runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from syne_tune.config_space import choice

from syne_hypersched.blackboxes._table import TableBlackbox
from syne_hypersched.checks import is_one_of

OPERATIONS = ("avg_pool_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_1x1", "none")
"""The five operations, named and ordered as in Syne Tune's blackbox ``nasbench201``."""

EDGES = ("hp_x0", "hp_x1", "hp_x2", "hp_x3", "hp_x4", "hp_x5")
"""The six edges of the cell: 0 to 1, 0 to 2, 1 to 2, 0 to 3, 1 to 3, 2 to 3."""

NUM_EPOCHS = 200
NUM_SEEDS = 3
METRIC = "metric_valid_error"

_PATHS = ((3,), (0, 4), (1, 5), (0, 2, 5))
_PASSED_ON = (0.55, 1.0, 0.85, 0.95, 0.0)  # by operation
_LEARNT = (0.02, 1.0, 0.0, 0.6, 0.0)
_COST = (0.5, 1.6, 0.15, 0.8, 0.0)
_BASE_COST = 1.6


@dataclass(frozen=True)
class _Dataset:
    chance: float
    best: float
    """Accuracy of the best cells, as published."""
    spread: float
    """Difference between the best cells and a useless cell, before chance."""
    mean_epoch_s: float
    noise: float
    """Standard deviation of the accuracy between epochs at the initial learning rate."""
    seed: int


_DATASETS = {
    "cifar10": _Dataset(0.10, 0.9437, 0.19, 26.0, 0.006, 1),
    "cifar100": _Dataset(0.01, 0.7351, 0.40, 28.0, 0.045, 2),
    "ImageNet16-120": _Dataset(1 / 120, 0.4731, 0.36, 78.0, 0.035, 3),
}


def synthetic_nasbench201(dataset: str) -> TableBlackbox:
    """The synthetic stand-in for NAS-Bench-201 (Dong and Yang, ICLR 2020). The module describes its curves.

    Parameters
    ----------
    dataset
        ``"cifar10"``, ``"cifar100"`` or ``"ImageNet16-120"``.

    Returns
    -------
    TableBlackbox
        15,625 configurations, 200 epochs (``hp_epoch``), 3 repetitions; metric ``metric_valid_error``, seconds
        ``metric_elapsed_time``. ``is_synthetic`` is true. The same object at every call.

    Raises
    ------
    ValueError
        The data set is unknown.
    """
    if not is_one_of(dataset, tuple(_DATASETS)):
        raise ValueError(f"dataset must be one of {', '.join(map(repr, _DATASETS))}, but got {dataset!r}")
    return _table(dataset)


@cache
def _table(dataset: str) -> TableBlackbox:
    parameters = _DATASETS[dataset]
    # The stream of RandomState is the same in every version of NumPy.
    random_state = np.random.RandomState(parameters.seed)
    cells = np.indices((len(OPERATIONS),) * len(EDGES)).reshape(len(EDGES), -1).T
    passed_on, learnt = np.array(_PASSED_ON)[cells], np.array(_LEARNT)[cells]
    signal = sum(
        passed_on[:, path].prod(axis=1) * (0.1 + 0.9 * learnt[:, path].sum(axis=1)) for path in map(list, _PATHS)
    )
    capacity = sum(passed_on[:, path].prod(axis=1) * learnt[:, path].sum(axis=1) for path in map(list, _PATHS))
    learns = (capacity > 0.03).astype(float)
    quality = np.clip(1 - np.exp(-0.9 * signal) + 0.035 * random_state.standard_normal(len(cells)), 0.0, 1.0)
    below = 0.08 * np.abs(random_state.standard_normal(len(cells)))
    final = parameters.best - parameters.spread * ((1 - quality) ** 1.3 + below)
    final = parameters.chance + learns * (final - parameters.chance)

    epoch = np.arange(1, NUM_EPOCHS + 1) / NUM_EPOCHS
    pace = np.exp(-0.10 * np.minimum(capacity, 4.0) + 0.2 * random_state.standard_normal(len(cells)))
    rise = 1 - np.exp(-((60 * epoch[np.newaxis, :] * pace[:, np.newaxis]) ** 0.55))
    late = 0.5 * (1 - np.cos(np.pi * epoch))
    shape = 0.86 * rise / rise[:, -1:] + 0.14 * late
    curve = parameters.chance + (final - parameters.chance)[:, np.newaxis] * shape

    sd = parameters.noise * (0.5 * (1 + np.cos(np.pi * epoch)) + 0.04)
    between = 0.003 * random_state.standard_normal((len(cells), NUM_SEEDS, 1))
    accuracy = np.empty((len(cells), NUM_SEEDS, NUM_EPOCHS), dtype=np.float32)
    for seed in range(NUM_SEEDS):
        noise = random_state.standard_normal(curve.shape) * sd * (0.3 + 0.7 * learns[:, np.newaxis])
        noisy = np.minimum(curve + noise + learns[:, np.newaxis] * between[:, seed] * shape, parameters.best)
        accuracy[:, seed] = np.maximum(noisy, parameters.chance / 2)
    cost = _BASE_COST + np.array(_COST)[cells].sum(axis=1)
    epoch_s = np.round(parameters.mean_epoch_s * cost / cost.mean(), 3)
    elapsed_s = (epoch_s[:, np.newaxis] * np.arange(1, NUM_EPOCHS + 1)).astype(np.float32)[:, np.newaxis, :]
    return TableBlackbox(
        [{edge: OPERATIONS[operation] for edge, operation in zip(EDGES, cell, strict=True)} for cell in cells.tolist()],
        # Rounded, so that the last digits do not depend on the machine's mathematical library.
        {METRIC: np.round(1 - accuracy, 5)},
        np.broadcast_to(elapsed_s, accuracy.shape),
        configuration_space={edge: choice(list(OPERATIONS)) for edge in EDGES},
        time_attr="hp_epoch",
        elapsed_time_attr="metric_elapsed_time",
        lookup="exact",
        name=f"synthetic stand-in for NASBench201 {dataset}",
        description="SYNTHETIC: the space of NAS-Bench-201 with invented learning curves; nothing was measured",
        is_synthetic=True,
    )
