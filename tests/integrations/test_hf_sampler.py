"""The order of training data for a Hugging Face trainer is the same in each launch, and in whole steps."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import RandomSampler, Sampler, SequentialSampler, WeightedRandomSampler  # noqa: E402

from syne_hypersched.integrations._hf_sampler import keep_order  # noqa: E402


class LengthGroupedSampler(Sampler):
    """As Hugging Face's: shuffles by the global generator, and sorts within a batch."""

    def __init__(self, batch_size):
        self.batch_size = batch_size

    def __len__(self):
        return 10

    def __iter__(self):
        order = torch.randperm(10).tolist()
        for start in range(0, 10, self.batch_size):
            yield from sorted(order[start : start + self.batch_size])


class Unknown(Sampler):
    """Draws from a generator that nobody can seed."""

    def __init__(self):
        self.num_calls = 0

    def __len__(self):
        return 10

    def __iter__(self):
        self.num_calls += 1
        return iter([self.num_calls % 10] * 10)


class Trainer:
    def __init__(self, make, drop_last=False, devices=1):
        self.train_dataset = list(range(10))
        self.state = SimpleNamespace(epoch=0)
        self.args = SimpleNamespace(
            seed=42, data_seed=None, dataloader_drop_last=drop_last, train_batch_size=4 // devices,
            gradient_accumulation_steps=1, world_size=devices,
        )  # fmt: skip
        self._make = make
        keep_order(self)

    def _get_train_sampler(self, train_dataset=None):
        return self._make(self.train_dataset)


def weighted(dataset):
    return WeightedRandomSampler([1.0] * 8 + [9.0] * 2, 10, generator=torch.Generator().manual_seed(3))


def epochs(trainer, *numbers):
    sampler = trainer._get_train_sampler(trainer.train_dataset)
    found = []
    for trainer.state.epoch in numbers:
        found.append(list(sampler))
        assert len(found[-1]) == len(sampler)
    return found


@pytest.mark.parametrize("make", [weighted, lambda dataset: LengthGroupedSampler(4)], ids=["own", "by length"])
def test_a_launch_that_goes_on_has_the_order_of_its_epoch(make):
    whole = epochs(Trainer(make), 0, 1.0, 2.0)
    assert whole[0] != whole[1] != whole[2]
    assert epochs(Trainer(make), 1.3, 2) == whole[1:]  # left inside an epoch
    assert epochs(Trainer(make), None) == whole[:1]


@pytest.mark.parametrize("make", [RandomSampler, SequentialSampler])
def test_what_the_trainer_repeats_by_itself_is_left_alone(make):
    sampler = Trainer(make)._get_train_sampler()
    assert type(sampler) is make
    assert Trainer(lambda dataset: None)._get_train_sampler() is None


@pytest.mark.parametrize("make", [RandomSampler, SequentialSampler, weighted])
def test_only_whole_steps_are_read_if_the_last_is_dropped(make):
    one, two = (epochs(Trainer(make, True, devices), 0, 1) for devices in (1, 2))
    assert one == two
    assert [len(each) for each in one] == [8, 8]


def test_samples_are_grouped_by_length_in_whole_steps_on_any_number_of_devices():
    one = epochs(Trainer(lambda dataset: LengthGroupedSampler(4)), 0)
    assert epochs(Trainer(lambda dataset: LengthGroupedSampler(2), devices=2), 0) == one


def test_an_order_that_is_not_known_is_said(caplog):
    caplog.set_level(logging.WARNING, "syne_hypersched")
    assert type(Trainer(lambda dataset: Unknown())._get_train_sampler()) is Unknown
    assert "an order of their own (Unknown)" in caplog.text
