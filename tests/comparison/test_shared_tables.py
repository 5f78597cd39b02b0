from __future__ import annotations

import pandas as pd
import pytest

from syne_hypersched.comparison import shared_tables as module
from syne_hypersched.comparison.shared_tables import (
    FOLDER_VARIABLE,
    LCBENCH_DATASETS,
    TASKSET_TASKS,
    data_folder,
    shared_tables,
)


def test_the_folder_is_the_one_that_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert data_folder() == tmp_path
    assert shared_tables() == {}


def test_without_the_variable_it_is_beside_the_repository_if_there_is_one(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(module, "repository", lambda: tmp_path / "clone")
    assert data_folder() == tmp_path / "shared" / "data"
    monkeypatch.setattr(module, "repository", lambda: None)
    assert data_folder() is None
    assert shared_tables() == {}


def test_tables_are_those_whose_folders_are_there(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "lcbench_surrogate").mkdir()
    assert set(shared_tables()) == {f"lcbench-surrogate-{dataset}" for dataset in LCBENCH_DATASETS}
    (tmp_path / "cnn_cifar10_265").mkdir()
    assert "cnn-cifar10" in shared_tables()


def test_spiking_networks_are_those_of_100_epochs(tmp_path, monkeypatch):
    folder = tmp_path / "spikenas_bench"
    folder.mkdir()
    networks = {"arch_id": [7, 3, 5], "n_epochs": [100, 100, 8], "elapsed_s": [200.0, 50.0, 9.0]}
    edges = {"edge_0": ["a", "b", "c"], "edge_1": ["x", "y", "z"]}
    pd.DataFrame(networks | edges).to_parquet(folder / "cifar10_archs.parquet")
    rows = [(arch, epoch, arch + epoch / 100) for arch in (3, 5, 7) for epoch in range(1, 101)]
    pd.DataFrame(rows, columns=["arch_id", "epoch", "val_acc"]).to_parquet(folder / "cifar10_curves.parquet")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    entry = shared_tables()["spikenas-cifar10"]
    table = entry.load()
    assert table.configurations == [{"edge_0": "b", "edge_1": "y"}, {"edge_0": "a", "edge_1": "x"}]
    last = table.objective_function({"edge_0": "a", "edge_1": "x"}, 100)
    assert last["val_acc"] == pytest.approx(8.0)
    assert last[table.elapsed_time_attr] == pytest.approx(200.0)
    assert not entry.do_minimize


def test_tables_without_times_have_a_second_for_each_level(tmp_path, monkeypatch):
    folder = tmp_path / "taskset_imdb_rnn"
    folder.mkdir()
    pd.DataFrame({"config_id": [0, 1], "learning_rate": [0.1, 0.2]}).to_parquet(folder / "configs.parquet")
    rows = [
        (task, config, level, config + level / 10)
        for task in TASKSET_TASKS.values()
        for config in (0, 1)
        for level in range(4)
    ]
    pd.DataFrame(rows, columns=["task", "config_id", "eval", "valid_loss"]).to_parquet(folder / "curves.parquet")
    folder = tmp_path / "nn_performance_prediction"
    folder.mkdir()
    configs = {"config_id": [0, 1, 2], "n_layers": [2, 3, 2], "n_inputs": [5, 6, 5]}
    pd.DataFrame(configs).to_parquet(folder / "lstm_ptb_configs.parquet")
    rows = [(config, epoch, 100.0 * config - epoch) for config in range(3) for epoch in range(60)]
    pd.DataFrame(rows, columns=["config_id", "epoch", "perplexity"]).to_parquet(folder / "lstm_ptb_curves.parquet")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    tables = shared_tables()
    taskset = tables["taskset-gru"].load()
    # The evaluation before training is left out.
    assert list(taskset.levels) == [1, 2, 3]
    assert taskset.objective_function({"learning_rate": 0.2}, 3)["valid_loss"] == pytest.approx(1.3)
    assert taskset.objective_function({"learning_rate": 0.2}, 3)[taskset.elapsed_time_attr] == 3.0
    networks = tables["performance-lstm"].load()
    # A repetition of a configuration is left out, and so is the time before training.
    assert len(networks) == 2
    assert networks.objective_function({"n_layers": 3, "n_inputs": 6}, 59)["perplexity"] == pytest.approx(41.0)
