"""Processes join and leave a training that goes on: real processes on Gloo, without a tuner."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarking.fidelity.invisible_resizing import (
    Trainer,
    Training,
    largest_difference,
    train_changed,
    train_undisturbed,
)
from benchmarking.fidelity.resizing_workloads import WORKLOADS, Workload

pytestmark = pytest.mark.usefixtures("no_process_left")


def counting(*arguments: str) -> Workload:
    workload = WORKLOADS["counting"]  # it fails if a sample is missed or counted twice
    return Workload(workload.script, (*workload.arguments, *arguments), workload.metrics)


@pytest.fixture
def trainer(tmp_path, counting_server):
    trainer = Trainer(counting("--epochs", "1000"), tmp_path, server=counting_server)
    trainer.launch(1)
    trainer.wait_until_able()
    yield trainer
    trainer.close()


def train_as_long(training: Training, folder: Path) -> Training:
    folder.mkdir()
    return train_undisturbed(counting("--epochs", str(len(training.reports))), folder)


@pytest.mark.slow
def test_processes_join_and_leave_in_mid_epoch(trainer, tmp_path):
    for num_devices in (2, 1, 2, 1):
        outcome = trainer.wait_for(trainer.order(num_devices))
        assert outcome is not None
        assert outcome.is_done, outcome.why
        assert outcome.pause_s > 0
    assert trainer.wait_for_report(trainer.count_reports() + 1)
    trainer.ask_to_leave()
    training = trainer.read()
    assert training.num_left == 1
    assert training.num_devices == [1, 2, 1, 2, 1]
    assert training.num_doubled == 0
    alone = train_as_long(training, tmp_path / "alone")
    assert largest_difference(alone, training, "train_loss") < 1e-4


@pytest.mark.slow
def test_a_process_in_the_middle_leaves_and_another_one_joins(tmp_path):
    (tmp_path / "moved").mkdir()
    trainer = Trainer(counting("--epochs", "1000"), tmp_path / "moved", num_slots=3)
    try:
        trainer.launch(3)
        trainer.wait_until_able()
        for order in ((2, (1,)), (3,), (1, (2, 1)), (2,), (1, (1,))):
            outcome = trainer.wait_for(trainer.order(*order))
            assert outcome is not None
            assert outcome.is_done, outcome.why
            assert trainer.wait_for_report(trainer.count_reports() + 1)
        trainer.ask_to_leave()
        training = trainer.read()
    finally:
        trainer.close()
    assert training.num_doubled == 0
    assert training.num_left == 1
    alone = train_as_long(training, tmp_path / "alone")
    assert largest_difference(alone, training, "train_loss") < 1e-4


def test_a_new_process_that_dies_costs_nothing(trainer):
    change = trainer.order(2)
    trainer.kill_newest()
    trainer.give_up(change)
    outcome = trainer.wait_for(change)
    assert outcome is not None
    if not outcome.is_done:  # it may have been let in before it died: then the others end as well
        assert trainer.wait_for_report(trainer.count_reports() + 1)
        again = trainer.wait_for(trainer.order(2))
        assert again is not None
        assert again.is_done


def test_a_change_can_be_withdrawn_while_it_is_prepared(trainer):
    change = trainer.order(2)
    if trainer.withdraw(change):
        assert trainer.wait_for_report(trainer.count_reports() + 1)
    assert trainer.wait_for(trainer.order(2 if trainer.num_ranks == 1 else 1)).is_done


@pytest.mark.slow  # test_elastic_processes.py asks two that were launched together
def test_two_processes_are_asked_to_leave_together(trainer):
    assert trainer.wait_for(trainer.order(2)).is_done
    trainer.ask_to_leave()
    assert trainer.read().num_left == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["digits_cnn", "transformer_lm", "counting"])
@pytest.mark.parametrize("faults", [False, True])
def test_ten_changes_are_invisible(tmp_path, name, faults):
    for folder in ("alone", "changed"):
        (tmp_path / folder).mkdir()
    alone = train_undisturbed(WORKLOADS[name], tmp_path / "alone")
    changed = train_changed(WORKLOADS[name], tmp_path / "changed", 10, seed=0, faults=faults)
    assert changed.num_doubled == 0
    for metric in WORKLOADS[name].metrics:
        bound = 1e-300 if name == "digits_cnn" else 1e-4  # virtual devices make it bitwise
        assert largest_difference(alone, changed, metric) < bound


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_micro_batches_and_worker_processes_go_on(tmp_path):
    workload = counting("--epochs", "60", "--num_workers", "1", "--max_local_batch_size", "9")
    changed = train_changed(workload, tmp_path, 6, seed=3)
    assert sorted(changed.reports) == list(range(1, 61))
    assert changed.num_doubled == 0
