"""Real processes on Gloo: trained without interruption on one device, and resized and killed repeatedly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarking.fidelity import invisible_resizing
from benchmarking.fidelity.invisible_resizing import (
    Server,
    Trainer,
    Training,
    largest_difference,
    train_disturbed,
    train_undisturbed,
)
from benchmarking.fidelity.resizing_workloads import WORKLOADS, Workload

pytestmark = pytest.mark.usefixtures("no_process_left")


def shortened(name: str, num_epochs: int, *arguments: str) -> Workload:
    workload = WORKLOADS[name]
    return replace(workload, arguments=(*workload.arguments, "--epochs", str(num_epochs), *arguments))


def both(
    workload: Workload, folder: Path, num_resizes: int, seed: int, server: Server | None = None
) -> tuple[Training, Training]:
    outcomes = []
    for name in ("alone", "resized"):
        (folder / name).mkdir()
        if name == "alone":
            outcomes.append(train_undisturbed(workload, folder / name, server))
        else:
            outcomes.append(train_disturbed(workload, folder / name, num_resizes, seed, server))
    return outcomes[0], outcomes[1]


@pytest.mark.parametrize(
    "arguments",
    [(), pytest.param(("--max_local_batch_size", "9", "--num_workers", "1"), marks=pytest.mark.slow)],
)
def test_every_sample_counts_once_an_epoch(tmp_path, counting_server, arguments):
    # The script fails if its reports say otherwise.
    alone, resized = both(shortened("counting", 4, *arguments), tmp_path, 2, seed=1, server=counting_server)
    assert list(resized.reports) == [1, 2, 3, 4]
    assert resized.num_doubled == 0
    assert resized.num_devices[:2] == [1, 2]
    assert resized.num_left + resized.num_killed >= 1
    assert largest_difference(alone, resized, "train_loss") < 1e-4


@pytest.mark.slow  # tests/examples/test_digits_cnn.py resizes the same script with virtual devices, in fewer launches
def test_virtual_devices_make_it_bitwise(tmp_path):
    alone, resized = both(shortened("digits_cnn", 4), tmp_path, num_resizes=1, seed=0)
    assert [report["train_loss"] for report in alone.reports.values()] == [
        report["train_loss"] for report in resized.reports.values()
    ]
    assert resized.num_devices == [1, 2]


def test_all_processes_leave_together_in_mid_epoch(tmp_path, counting_server):
    trainer = Trainer(shortened("counting", 1000), tmp_path, server=counting_server)
    try:
        trainer.launch(2)
        assert trainer.wait_for_report(1)
        trainer.ask_to_leave()
        assert trainer.outcome.num_left == 1, "each with the exit code for it"
    finally:
        trainer.close()


@pytest.mark.slow
def test_a_batch_chosen_by_goodput_is_the_same_on_all_devices(tmp_path):
    workload = replace(
        WORKLOADS["digits_cnn_ddp"],
        arguments=("--epochs", "4", "--width", "4", "--batch_size", "32", "--max_batch_size", "512"),
    )
    trainer = Trainer(workload, tmp_path)
    try:
        trainer.launch(2)
        reports = trainer.finish().reports
    finally:
        trainer.close()
    assert list(reports) == [1, 2, 3, 4]
    assert reports[1]["batch_size"] == 32
    for report in reports.values():
        assert 32 <= report["batch_size"] <= 512
        assert report["batch_size"] % 2 == 0
        assert (report["min_batch_size"], report["max_batch_size"]) == (32, 512)
        assert report["noise_scale"] > 0
        assert 0 < report["efficiency"] <= 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["digits_cnn", "transformer_lm", "transformer_lm_sharded", "counting"])
def test_ten_resizes_are_invisible(tmp_path, name):
    alone, resized = both(WORKLOADS[name], tmp_path, num_resizes=10, seed=0)
    assert len(resized.num_devices) == 11
    assert resized.num_doubled == 0
    for metric in WORKLOADS[name].metrics:
        assert largest_difference(alone, resized, metric) < 1e-4


@pytest.mark.slow
def test_the_benchmark_prints_a_table(capsys, monkeypatch):
    monkeypatch.setitem(WORKLOADS, "counting", shortened("counting", 3))
    invisible_resizing.main(["--script", "counting", "--resizes", "1"])
    printed = capsys.readouterr().out
    assert "counting" in printed
    assert "train_loss" in printed
