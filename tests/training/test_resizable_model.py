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
        self.temperature = 1.0

    def forward(self, inputs):
        return self.layer(inputs) / self.temperature

    def loss(self, inputs):
        return self(inputs).sum()


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


def test_what_is_set_on_it_is_set_on_the_model():
    net = Net()
    model = ResizableModel(net, False)
    before = model(torch.ones(1, 2))
    model.temperature = 2.0
    assert net.temperature == 2.0
    assert torch.equal(model(torch.ones(1, 2)), before / 2)
    model.layer = nn.Linear(2, 5)
    assert net.layer.out_features == 5
    assert [name for name, _ in model.named_parameters()] == ["layer.weight", "layer.bias"]
    model.register_buffer("seen", torch.zeros(1))
    assert "seen" in net.state_dict()
    del model.seen
    assert not hasattr(net, "seen")


def test_its_parts_are_those_of_the_model():
    net = nn.Sequential(Net(), nn.Tanh())
    model = ResizableModel(net, False)
    for look in ("named_parameters", "named_modules", "named_children", "named_buffers"):
        assert list(getattr(model, look)()) == list(getattr(net, look)()), look
    assert list(model) == list(net)
    assert model[1] is net[1]
    assert len(model) == 2
    assert model
    assert ResizableModel(Net(), False)
    with pytest.raises(TypeError, match="Net"):
        len(ResizableModel(Net(), False))
    seen = []
    assert model.apply(seen.append) is model
    assert net in seen
    assert model.double() is model
    assert net[0].layer.weight.dtype is torch.float64
    assert not model.eval().training
    assert not net.training
    assert not net[0].training


def test_an_average_of_the_weights_can_be_loaded_again():
    model = ResizableModel(Net(), False)
    state = torch.optim.swa_utils.AveragedModel(model).state_dict()
    assert list(state) == list(torch.optim.swa_utils.AveragedModel(model.module).state_dict())
    torch.optim.swa_utils.AveragedModel(ResizableModel(Net(), False)).load_state_dict(state)


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
    assert type(other) is Net
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
