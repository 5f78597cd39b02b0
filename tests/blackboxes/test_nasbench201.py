"""The synthetic stand-in for NASBench201."""

from __future__ import annotations

import numpy as np
import pytest

from syne_hypersched.blackboxes import synthetic_nasbench201

PUBLISHED_BEST = {"cifar10": 94.37, "cifar100": 73.51, "ImageNet16-120": 47.31}


@pytest.fixture(scope="module")
def table(request):
    """The table of a data set; a table takes a second and much memory to make, so tests of one follow each other."""
    return synthetic_nasbench201(request.param)


def final_accuracies(table, num=400):
    rows = np.random.RandomState(0).choice(len(table), num, replace=False)
    curves = [table.learning_curve(table.configurations[row]) for row in rows]
    return np.array([100 * (1 - curve.reports[-1]["metric_valid_error"]) for curve in curves])


@pytest.mark.parametrize("table", ["cifar10"], indirect=True)
def test_the_space_is_that_of_the_real_one(table):
    assert len(table) == 5**6
    assert list(table.configuration_space) == [f"hp_x{edge}" for edge in range(6)]
    operations = {"avg_pool_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_1x1", "none"}
    assert all(set(domain.categories) == operations for domain in table.configuration_space.values())
    assert (table.levels[0], table.levels[-1], table.num_seeds) == (1, 200, 3)
    assert (table.time_attr, table.elapsed_time_attr) == ("hp_epoch", "metric_elapsed_time")


@pytest.mark.parametrize("table, dataset", [(name, name) for name in PUBLISHED_BEST], indirect=["table"])
def test_it_says_that_it_is_synthetic_and_stays_in_the_published_range(table, dataset):
    assert table.is_synthetic
    assert "synthetic" in table.name
    assert table.description.startswith("SYNTHETIC")
    accuracies = final_accuracies(table)
    assert accuracies.max() <= PUBLISHED_BEST[dataset] + 1e-6
    assert accuracies.max() > PUBLISHED_BEST[dataset] - 2.5


@pytest.mark.parametrize("table", ["cifar10"], indirect=True)
def test_a_cell_without_a_path_stays_at_chance(table):
    curve = table.learning_curve({f"hp_x{edge}": "none" for edge in range(6)})
    assert all(abs(report["metric_valid_error"] - 0.9) < 0.06 for report in curve.reports)


@pytest.mark.parametrize("table", ["cifar100"], indirect=True)
def test_repetitions_differ_a_little(table):
    config = {f"hp_x{edge}": "nor_conv_3x3" for edge in range(6)}
    errors = [table.learning_curve(config, seed=seed).reports[-1]["metric_valid_error"] for seed in range(3)]
    assert 0 < max(errors) - min(errors) < 0.05


def test_an_unknown_data_set():
    with pytest.raises(
        ValueError, match="dataset must be one of 'cifar10', 'cifar100', 'ImageNet16-120', but got 'svhn'"
    ):
        synthetic_nasbench201("svhn")
