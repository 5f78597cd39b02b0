"""Blackboxes of Syne Tune's repository: small ones in its own formats, and the error without a network."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from syne_tune.config_space import choice, randint

from syne_hypersched import simulate
from syne_hypersched.blackboxes import load_from_repository
from syne_hypersched.blackboxes._repository import FOLDER_VARIABLE
from syne_hypersched.schedulers import ASHA

if TYPE_CHECKING:
    from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular

OBJECTIVES = ("valid_error", "train_error", "runtime", "elapsed_time", "latency", "flops", "params")
EPOCHS = 9


def nasbench201(scale: float) -> BlackboxTabular:
    """In the layout of the real one: six edges, three repetitions, seven objectives, 32-bit floats."""
    from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular

    operations = ["avg_pool_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_1x1", "none"]
    edges = [f"hp_x{edge}" for edge in range(6)]
    cells = pd.DataFrame([[operations[(row + edge) % 5] for edge in range(6)] for row in range(5)], columns=edges)
    values = np.random.RandomState(0).rand(5, 3, EPOCHS, len(OBJECTIVES)).astype("float32") * scale
    values[..., 3] = np.cumsum(values[..., 2], axis=2)
    space = {edge: choice(operations) for edge in edges}
    names = [f"metric_{name}" for name in OBJECTIVES]
    return BlackboxTabular(cells, space, {"hp_epoch": randint(1, 201)}, values, np.arange(1, EPOCHS + 1), names)


@pytest.fixture
def folder(tmp_path):
    from syne_tune.blackbox_repository.blackbox_tabular import serialize

    blackboxes = {name: nasbench201(scale) for name, scale in (("cifar10", 1.0), ("cifar100", 2.0))}
    metadata = {
        "metric_elapsed_time": "metric_elapsed_time",
        "default_metric": "metric_valid_error",
        "time_attr": "hp_epoch",
    }
    serialize(blackboxes, tmp_path / "nasbench201", metadata)
    return tmp_path


def test_the_values_of_the_repository_are_those_of_the_table(folder):
    table = load_from_repository("nasbench201", "cifar100", path=folder)
    original = nasbench201(2.0)
    assert table.name == "nasbench201:cifar100"
    assert not table.is_synthetic
    assert table.metrics == ("metric_valid_error", "metric_train_error")
    assert (table.time_attr, table.elapsed_time_attr, table.num_seeds) == ("hp_epoch", "metric_elapsed_time", 3)
    for row, config in enumerate(table.configurations):
        curve = table.learning_curve(config, seed=2)
        np.testing.assert_allclose(
            [report["metric_valid_error"] for report in curve.reports], original.objectives_evaluations[row, 2, :, 0]
        )
        np.testing.assert_allclose(np.cumsum(curve.epoch_s), original.objectives_evaluations[row, 2, :, 3], rtol=1e-5)


def test_it_can_be_simulated(folder, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    table = load_from_repository("nasbench201", "cifar10")
    scheduler = ASHA(table.configuration_space, "metric_valid_error", "hp_epoch", EPOCHS, random_seed=0)
    assert simulate(scheduler, table, num_devices=2, max_num_trials=3).num_results > 3


def test_pd1_has_a_format_of_its_own(tmp_path):
    from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular
    from syne_tune.blackbox_repository.conversion_scripts.scripts import pd1_import

    rows = pd.DataFrame({name: [0.1, 0.5] for name in pd1_import.CONFIGURATION_SPACE})
    values = np.stack(
        [np.array([[0.9, 0.8, np.nan], [0.7, 0.6, 0.5]]), np.array([[1.0, 2, np.nan], [1, 3, 5]])], axis=2
    )
    blackbox = BlackboxTabular(
        rows, pd1_import.CONFIGURATION_SPACE, {"global_step": randint(1, 3)}, values[:, None], np.arange(1, 4),
        ["metric_valid_error_rate", "metric_elapsed_time"],
    )  # fmt: skip
    (tmp_path / "pd1").mkdir()
    pd1_import.serialize({"task": blackbox}, tmp_path / "pd1", {"metric_elapsed_time": "metric_elapsed_time"})
    table = load_from_repository("pd1", path=tmp_path)
    assert [len(table.learning_curve(row).reports) for row in table.configurations] == [2, 3]
    assert table.learning_curve(table.configurations[1]).epoch_s == (1.0, 2.0, 2.0)


def test_errors_name_what_there_is(folder):
    with pytest.raises(
        ValueError, match="dataset must be one of 'cifar10', 'cifar100' for 'nasbench201', but got 'svhn'"
    ):
        load_from_repository("nasbench201", "svhn", path=folder)
    with pytest.raises(ValueError, match=r"name must be one of .*lcbench.*, but got 'nasbench'"):
        load_from_repository("nasbench", path=folder)
    with pytest.raises(FileNotFoundError, match=r"'fcnet' must be in .*fcnet, but there is no metadata\.json"):
        load_from_repository("fcnet", path=folder)


def test_without_a_network_it_says_what_to_do(tmp_path, monkeypatch):
    from syne_tune.blackbox_repository import repository

    def unreachable(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(repository, "repository_path", tmp_path)
    monkeypatch.setattr(socket, "create_connection", unreachable)
    with pytest.raises(FileNotFoundError) as error:
        load_from_repository("nasbench201", "cifar10")
    for word in ("Network is unreachable", "load_blackbox('nasbench201')", FOLDER_VARIABLE, "synthetic_nasbench201"):
        assert word in str(error.value)


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fastparquet", None)
    with pytest.raises(ImportError, match=r"need fastparquet: pip install 'syne-hypersched\[benchmarks\]'"):
        load_from_repository("nasbench201", "cifar10")
