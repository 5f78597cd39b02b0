from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from syne_hypersched.training._virtual_devices import OrderedGradients  # noqa: E402

ALONE = SimpleNamespace(rank=0, num_ranks=1)


def make(num_virtual=2):
    model = nn.Linear(2, 1)
    model.bias.requires_grad = False
    gradients = OrderedGradients(num_virtual, ALONE)
    gradients.add_model(model)
    return model, gradients


def take(model, gradients, values):
    model.weight.grad = None if values is None else torch.tensor([values])
    gradients.take()
    assert model.weight.grad is None


def test_parameters_get_the_mean_over_virtual_devices():
    model, gradients = make()
    take(model, gradients, [1.0, 2.0])
    take(model, gradients, [3.0, 6.0])
    gradients.give_back()
    assert model.weight.grad.tolist() == [[2.0, 4.0]]
    assert model.bias.grad is None, "it is not trained"


def test_a_part_without_gradients_counts_as_zero():
    model, gradients = make()
    take(model, gradients, None)
    take(model, gradients, [3.0, 6.0])
    gradients.give_back()
    assert model.weight.grad.tolist() == [[1.5, 3.0]]


def test_each_step_begins_anew():
    model, gradients = make()
    take(model, gradients, [100.0, 100.0])
    gradients.discard()
    for _ in range(2):
        for _ in range(2):
            take(model, gradients, [1.0, 1.0])
        gradients.give_back()
        assert model.weight.grad.tolist() == [[1.0, 1.0]]


def test_they_are_added_up_one_after_the_other():
    model, gradients = make(3)
    for value in (1e8, 1.0, -1e8):
        take(model, gradients, [value, 0.0])
    gradients.give_back()
    one_by_one = (torch.tensor(1e8) + torch.tensor(1.0)) + torch.tensor(-1e8)
    assert model.weight.grad[0, 0] == one_by_one / 3


def test_several_models():
    first, gradients = make()
    second = nn.Linear(1, 2, bias=False)
    gradients.add_model(second)
    for value in (1.0, 3.0):
        second.weight.grad = torch.full((2, 1), value)
        take(first, gradients, [value, 10 * value])
        assert second.weight.grad is None
    gradients.give_back()
    assert first.weight.grad.tolist() == [[2.0, 20.0]]
    assert second.weight.grad.tolist() == [[2.0], [2.0]]
