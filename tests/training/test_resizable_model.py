"""What wraps a model in a run whose processes may change looks like the model."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402

from syne_hypersched.training._resizable_model import ResizableModel  # noqa: E402


class Net(nn.Module):
    width = 3

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, inputs):
        return self.layer(inputs)


@pytest.fixture
def group(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_attributes_and_state_are_those_of_the_model():
    net = Net()
    model = ResizableModel(net, False)
    assert model.width == 3
    assert model.layer is net.layer
    assert list(model.state_dict()) == list(net.state_dict())
    assert list(model.parameters()) == list(net.parameters())
    other = ResizableModel(Net(), False)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.layer.weight, net.layer.weight)
    with pytest.raises(AttributeError, match="nothing"):
        _ = model.nothing


def test_hooks_survive_a_change_of_the_group(group):
    model = ResizableModel(Net(), False)
    called = []
    model.register_forward_hook(lambda *_: called.append("outside"))
    model.layer.register_forward_hook(lambda *_: called.append("inside"))
    for change in (lambda: None, lambda: model.connect(True), model.disconnect):
        change()
        called.clear()
        model(torch.ones(1, 2)).sum().backward()
        assert called == ["inside", "outside"]


def test_gradients_are_exchanged_once_after_any_number_of_changes(group):
    model = ResizableModel(Net(), False)
    alone = torch.autograd.grad(model.module(torch.ones(1, 2)).sum(), list(model.parameters()))
    for _ in range(3):
        model.connect(in_step=True)
        assert isinstance(model.replica, DistributedDataParallel)
        for mode in (False, True):
            model.train(mode)
            assert model.replica.training is mode
        model.zero_grad()
        model.set_exchange(True)
        model(torch.ones(1, 2)).sum().backward()
        assert all(torch.equal(p.grad, gradient) for p, gradient in zip(model.parameters(), alone, strict=True))
        model.disconnect()
        assert model.replica is None


def test_a_copy_exchanges_nothing(group):
    model = ResizableModel(Net(), False)
    model.connect(in_step=True)
    average = torch.optim.swa_utils.AveragedModel(model)
    other = copy.deepcopy(model)
    assert other.replica is None
    assert torch.equal(other(torch.ones(1, 2)), model(torch.ones(1, 2)))
    average.update_parameters(model)
    model.disconnect()


def test_a_compiled_model_goes_on(group):
    model = ResizableModel(Net(), False)
    compiled = torch.compile(model, backend="eager")
    inputs = torch.ones(1, 2)
    expected = model(inputs)
    for change in (lambda: None, lambda: model.connect(True), model.disconnect):
        change()
        assert torch.equal(compiled(inputs), expected)
        compiled(inputs).sum().backward()
