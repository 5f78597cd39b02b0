"""What an elastic run changes in Lightning's counts, refuses, and corrects in its checkpoints."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from syne_hypersched.integrations._lightning_trainer import (  # noqa: E402
    Exchange,
    check_trainer,
    count_steps,
    fingerprint,
    keep_whole_steps,
    move_paths,
)


class GradientAccumulationScheduler:
    def __init__(self, scheduling):
        self.scheduling = scheduling


def one_trainer(**changed):
    loop = SimpleNamespace(max_batches=changed.pop("max_batches", 24))
    given = {
        "accumulate_grad_batches": 1, "callbacks": [GradientAccumulationScheduler({0: 1})], "limit_train_batches": 1.0,
        "val_check_interval": 1.0, "val_check_batch": 24, "fit_loop": loop, **changed,
    }  # fmt: skip
    return SimpleNamespace(**given)


def module(automatic=True):
    return SimpleNamespace(automatic_optimization=automatic)


def test_a_plain_trainer_is_taken():
    check_trainer(one_trainer(), module(), 4)
    check_trainer(one_trainer(), module(automatic=False), 1)


@pytest.mark.parametrize(
    ("changed", "is_automatic", "name"),
    [
        ({"accumulate_grad_batches": 4}, True, "accumulate_grad_batches"),
        ({"callbacks": [GradientAccumulationScheduler({0: 1, 2: 4})]}, True, "GradientAccumulationScheduler"),
        ({}, False, "max_local_batch_size"),
    ],
)
def test_what_would_change_the_global_batch_is_refused(changed, is_automatic, name):
    with pytest.raises(ValueError, match=f"{name}.* but "):
        check_trainer(one_trainer(**changed), module(is_automatic), 4)


def test_numbers_of_batches_count_steps():
    trainer = one_trainer(limit_train_batches=5, val_check_interval=3)
    count_steps(trainer, 4)
    assert (trainer.limit_train_batches, trainer.val_check_interval) == (20, 12)
    trainer = one_trainer(limit_train_batches=0.3)
    count_steps(trainer, 4)
    assert (trainer.limit_train_batches, trainer.val_check_interval) == (0.3, 1.0)


@pytest.mark.parametrize(("num_accumulated", "batches", "check"), [(4, 7, 6), (2, 3, 3), (1, 1, 1)])
def test_shares_of_an_epoch_are_whole_steps_on_any_number_of_devices(num_accumulated, batches, check):
    trainer = one_trainer(
        limit_train_batches=0.3, val_check_interval=0.25, max_batches=batches, val_check_batch=check
    )  # fmt: skip
    keep_whole_steps(trainer, num_accumulated)
    assert (trainer.fit_loop.max_batches, trainer.val_check_batch) == (num_accumulated, num_accumulated)


def test_all_of_an_epoch_is_left_alone():
    trainer = one_trainer(max_batches=23)
    keep_whole_steps(trainer, 4)
    assert trainer.fit_loop.max_batches == 23
    keep_whole_steps(one_trainer(max_batches=float("inf"), limit_train_batches=0.5), 4)


def test_paths_follow_the_folder():
    states = {
        "ModelCheckpoint": {
            "best_model_path": "/old/0/checkpoints/mine/a.ckpt", "dirpath": "/old/0/checkpoints/mine",
            "best_k_models": {"/old/0/checkpoints/mine/a.ckpt": torch.tensor(1.0)}, "kth_best_model_path": "",
            "last_model_path": "/old/0/logs/last.ckpt", "other": ["/old/0x/checkpoints", 3],
        }
    }  # fmt: skip
    untouched = copy.deepcopy(states)
    move_paths(states, "/old/0/checkpoints", "/old/0/checkpoints")
    assert states == untouched
    move_paths(states, "/old/0/checkpoints", "/new/7/checkpoints")
    found = states["ModelCheckpoint"]
    assert found["best_model_path"] == "/new/7/checkpoints/mine/a.ckpt"
    assert found["dirpath"] == "/new/7/checkpoints/mine"
    assert found["best_k_models"] == {"/new/7/checkpoints/mine/a.ckpt": torch.tensor(1.0)}
    assert (found["kth_best_model_path"], found["last_model_path"]) == ("", "/new/7/logs/last.ckpt")
    assert found["other"] == ["/old/0x/checkpoints", 3]


def test_a_folder_of_another_name_moves_alone():
    states = {"x": {"own": "/old/0/a.ckpt", "beside": "/old/1"}}
    move_paths(states, "/old/0", "/new/7")
    assert states == {"x": {"own": "/new/7/a.ckpt", "beside": "/old/1"}}


def test_batches_are_told_apart():
    one, other = torch.arange(6.0), torch.arange(1.0, 7.0)
    assert fingerprint([one, {"y": other}]) == fingerprint((one.clone(), {"y": other.clone()}))
    assert len({fingerprint(each) for each in (one, other, one.bfloat16().reshape(2, 3), [one, "a"], [one, "b"])}) == 5
    assert fingerprint(["text"]) is None


@pytest.fixture
def _one_process():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


class Strategy:
    """Wraps as Lightning's does."""

    def __init__(self, exchange, module):
        self.exchange, self.model, self.num_wraps = exchange, module, 0

    def configure_ddp(self):
        self.exchange.begin(self.model)
        self.model = torch.nn.parallel.DistributedDataParallel(self.model)
        self.num_wraps += 1


@pytest.mark.usefixtures("_one_process")
def test_released_layers_are_exchanged_from_then_on():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    module[0].requires_grad_(False)
    exchange = Exchange()
    strategy = Strategy(exchange, module)
    strategy.configure_ddp()
    exchange.keep_up(strategy)
    assert strategy.num_wraps == 1
    module[0].requires_grad_(True)
    for _ in range(2):
        exchange.keep_up(strategy)
        strategy.model(torch.ones(1, 2)).sum().backward()
    assert strategy.num_wraps == 2
    assert strategy.model.module is module
    module[1].requires_grad_(False)  # the other way round nothing is missing
    exchange.keep_up(strategy)
    assert strategy.num_wraps == 2


def test_a_module_on_one_device_is_not_wrapped():
    module = torch.nn.Linear(2, 1)
    strategy = Strategy(Exchange(), module)
    strategy.exchange.keep_up(strategy)
    assert strategy.model is module
