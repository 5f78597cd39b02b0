"""What an elastic run asks of a trainer's arguments."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from syne_hypersched.integrations import _hf_arguments as arguments


def args(**changes):
    found = {
        "eval_strategy": "epoch", "save_strategy": "epoch", "eval_steps": None, "save_steps": 500,
        "save_only_model": False, "ignore_data_skip": False, "auto_find_batch_size": False,
        "enable_jit_checkpoint": False, "push_to_hub": False, "hub_strategy": "every_save",
        "accelerator_config": SimpleNamespace(split_batches=False),
        "restore_callback_states_from_checkpoint": False, "fsdp": None, "device": SimpleNamespace(type="cpu"),
        "eval_delay": 0, "train_batch_size": 4, "gradient_accumulation_steps": 3, "world_size": 2,
    }  # fmt: skip
    return SimpleNamespace(**{**found, **changes})


def state(step, epoch, eval_steps=10, max_steps=100):
    return SimpleNamespace(global_step=step, epoch=epoch, eval_steps=eval_steps, max_steps=max_steps)


def test_a_trainer_saves_when_it_evaluates():
    by_steps = args(save_strategy="steps")
    arguments.adopt(by_steps, "epoch")
    assert by_steps.save_strategy == "epoch"
    assert by_steps.restore_callback_states_from_checkpoint
    other = args(eval_strategy="steps", save_strategy="steps", eval_steps=10, save_steps=500)
    arguments.adopt(other, "eval")
    assert other.save_steps == 10


@pytest.mark.parametrize(
    ("changes", "resource", "message"),
    [
        ({"eval_strategy": "no"}, "epoch", "eval_strategy must be"),
        ({"eval_strategy": "steps"}, "epoch", 'use resource="eval"'),
        ({"save_strategy": "best"}, "epoch", "save_strategy must be that of eval_strategy"),
        ({"save_only_model": True}, "epoch", "save_only_model must be False, since a run continues with its optimiser"),
        ({"ignore_data_skip": True}, "epoch", "ignore_data_skip must be False"),
        ({"auto_find_batch_size": True}, "eval", "auto_find_batch_size must be False"),
        ({"push_to_hub": True}, "epoch", "hub_strategy must be"),
        ({"accelerator_config": SimpleNamespace(split_batches=True)}, "epoch", "split_batches must be False"),
        ({"fsdp": True}, "epoch", "fsdp must be off on CPU slots, since accelerate ignores it there"),
    ],
)
def test_what_does_not_go_with_an_elastic_run_is_refused(changes, resource, message):
    with pytest.raises(ValueError, match=message):
        arguments.adopt(args(**changes), resource)


@pytest.mark.parametrize(
    ("changes", "global_batch_size", "train", "evaluation"),
    [
        ({}, None, (4, 1), 8),
        ({}, 16, (4, 2), 8),
        ({"dataloader_drop_last": True}, None, (4, 1), 4),
        ({"n_gpu": 1, "world_size": 1, "dataloader_drop_last": True}, None, (4, 2), 8),
    ],
)
def test_batches_are_those_of_one_device(changes, global_batch_size, train, evaluation):
    given = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "per_device_eval_batch_size": 8,
             "n_gpu": 0, "dataloader_drop_last": False}  # fmt: skip
    found = args(**{**given, **changes})
    arguments.divide(found, global_batch_size)
    assert (found.per_device_train_batch_size, found.gradient_accumulation_steps) == train
    assert found.per_device_eval_batch_size == evaluation


def test_a_last_batch_of_an_evaluation_that_depends_on_the_devices_is_refused():
    found = args(
        per_device_train_batch_size=4, per_device_eval_batch_size=7, n_gpu=0, dataloader_drop_last=True
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"per_device_eval_batch_size must be a multiple of the 2 devices.* but got 7"):
        arguments.divide(found, 8)


def test_sharded_models_are_for_gpus():
    on_gpu = args(fsdp=True, device=SimpleNamespace(type="cuda"))
    arguments.adopt(on_gpu, "epoch")
    assert on_gpu.fsdp


def test_the_trainers_own_handler_of_sigterm_is_switched_off(caplog):
    with_jit = args(enable_jit_checkpoint=True)
    arguments.adopt(with_jit, "epoch")
    assert not with_jit.enable_jit_checkpoint
    assert "enable_jit_checkpoint is switched off" in caplog.text


def test_half_an_epoch_is_no_epoch():
    assert arguments.level(args(), state(8, 2.0), "epoch") == 2
    assert arguments.level(args(), state(10, 2.5), "epoch") is None
    assert arguments.level(args(), state(10, 2.5), "eval") == 3
    assert arguments.level(args(eval_strategy="steps"), state(20, 2.5), "eval") == 2
    assert arguments.level(args(eval_strategy="steps"), state(21, 2.6), "eval") == 3


def test_an_evaluation_is_due_at_the_end_of_an_epoch_and_of_the_run():
    assert arguments.is_due(args(), state(8, 2.0))
    assert not arguments.is_due(args(), state(9, 2.25))
    assert arguments.is_due(args(), state(100, 2.25))
    assert arguments.is_due(args(eval_strategy="steps"), state(20, 0.3))
    assert not arguments.is_due(args(eval_strategy="steps"), state(21, 1.0))


def test_no_evaluation_is_due_in_the_delay_before_the_first_one():
    assert not arguments.is_due(args(eval_delay=3), state(8, 2.0))
    assert arguments.is_due(args(eval_delay=3), state(12, 3.0))
    assert not arguments.is_due(args(eval_delay=3), state(100, 2.5))
    assert not arguments.is_due(args(eval_strategy="steps", eval_delay=21), state(20, 9.0))
    assert arguments.is_due(args(eval_strategy="steps", eval_delay=20), state(20, 0.3))


def test_a_step_has_the_samples_of_all_devices_and_micro_batches():
    assert arguments.batch_size(args()) == 24


def test_a_missing_metric_is_named():
    assert arguments.chosen(("eval_loss",), {"eval_loss": 1.0, "eval_runtime": 2.0}) == {"eval_loss": 1.0}
    with pytest.raises(ValueError, match=r"evaluation results \(eval_loss\), but got 'loss'"):
        arguments.chosen(("loss",), {"eval_loss": 1.0})


@pytest.mark.parametrize(
    ("metrics", "resource", "error"),
    [("eval_loss", "epoch", TypeError), ((), "epoch", ValueError), (("x",), "step", ValueError)],
)
def test_names_are_checked(metrics, resource, error):
    with pytest.raises(error):
        arguments.checked(metrics, resource)
