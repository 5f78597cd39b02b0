"""Steps in one process: gradients of micro-batches, learning rates, and what a step that fails leaves behind."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from syne_hypersched.training._batching import Batching  # noqa: E402
from syne_hypersched.training._division import divide, divide_virtually  # noqa: E402
from syne_hypersched.training._group import ProcessGroup  # noqa: E402
from syne_hypersched.training._stepper import Stepper  # noqa: E402

INPUTS = torch.arange(6.0)[:, None]


class Training:
    """A weight of 0 that is trained by gradient descent: each step takes the mean of its inputs off."""

    def __init__(self, virtual_devices=None, lr=1.0, batching=None, **tracked):
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.model.weight)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr)
        self.demands = []
        self.stepper = Stepper(
            ProcessGroup(), {"optimizer": self.optimizer, **tracked}, virtual_devices,
            lambda: self.demands.append(1) or 0,
        )  # fmt: skip
        self.stepper.add_model(self.model)
        self.batching = batching or Batching("fixed", 6, 1)

    def step(self, parts, max_norm=None):
        has_stepped = []
        for part in parts:
            self.stepper.enter(part)
            loss = self.model(INPUTS[part.rows]).mean()
            has_stepped.append(self.stepper.step(loss, part, self.batching, max_norm))
        return has_stepped

    @property
    def weight(self):
        return self.model.weight.item()


@pytest.mark.parametrize(
    ("parts", "virtual_devices"),
    [
        (divide(6, 0, 1, 1), None), (divide(6, 0, 1, 3), None), (divide(6, 0, 1, 4), None),
        (divide_virtually(6, 0, 1, 2), 2), (divide_virtually(6, 0, 1, 4), 4),
    ],
)  # fmt: skip
def test_a_step_is_that_of_the_whole_batch_however_it_is_divided(parts, virtual_devices):
    training = Training(virtual_devices)
    assert training.step(parts) == [False] * (len(parts) - 1) + [True]
    assert training.weight == pytest.approx(-2.5)
    assert training.demands == [1], "the processes agree once a step"
    assert training.model.weight.grad is None
    training.step(parts)
    assert training.weight == pytest.approx(-5.0)


def test_gradients_are_clipped():
    training = Training()
    training.step(divide(6, 0, 1, 2), max_norm=0.5)
    assert training.weight == pytest.approx(-0.5, rel=1e-4)


def test_the_learning_rate_follows_the_batch_in_the_step_alone():
    training = Training(batching=Batching("weak", 6, 3, learning_rate_rule="linear"))
    training.step(divide(6, 0, 1, 1))
    assert training.weight == pytest.approx(-7.5)
    assert training.optimizer.param_groups[0]["lr"] == 1.0


def test_a_scaler_changes_nothing_but_the_scale():
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    training = Training(scaler=scaler)
    training.step(divide(6, 0, 1, 2))
    assert training.weight == pytest.approx(-2.5)
    training.step(divide(6, 0, 1, 1), max_norm=0.5)
    assert training.weight == pytest.approx(-3.0, rel=1e-4)
    assert scaler.get_scale() == 8.0


@pytest.mark.parametrize("virtual_devices", [None, 3])
def test_a_step_that_is_left_leaves_no_gradients(virtual_devices):
    training = Training(virtual_devices)
    parts = divide(6, 0, 1, 3) if virtual_devices is None else divide_virtually(6, 0, 1, 3)
    assert training.step(parts[:1]) == [False]
    training.stepper.abandon()
    assert training.model.weight.grad is None
    training.step(parts)
    assert training.weight == pytest.approx(-2.5)


def test_a_step_that_fails_leaves_no_gradients():
    training = Training()
    first, last = divide(6, 0, 1, 2)
    training.step([first])
    with pytest.raises(RuntimeError, match="does not require grad"):
        training.stepper.step(torch.tensor(1.0), last, training.batching, None)
    assert training.model.weight.grad is None
    training.step([first, last])
    assert training.weight == pytest.approx(-2.5)


def test_gradients_of_the_users_own_stay_between_steps():
    training = Training()
    training.step(divide(6, 0, 1, 1))
    training.model.weight.grad = torch.ones(1, 1)
    training.stepper.abandon()
    assert training.model.weight.grad is not None


def test_evaluating_restores_each_models_mode():
    training = Training()
    frozen = nn.Dropout().eval()
    training.stepper.add_model(frozen)
    modes = []

    def validate():
        with training.stepper.evaluating():
            modes.append((training.model.training, frozen.training, torch.is_grad_enabled()))
            raise KeyError

    with pytest.raises(KeyError):
        validate()
    assert modes == [(False, False, False)]
    assert torch.is_grad_enabled()
    assert training.model.training
    assert not frozen.training


def test_a_learning_rate_scheduler_of_a_restored_run_does_not_warn():
    training = Training()
    training.stepper.go_on()
    torch.optim.lr_scheduler.StepLR(training.optimizer, 1).step()  # warnings are errors


class Noise:
    """Notes what it is told."""

    noise_scale = 3.0

    def __init__(self):
        self.told = []

    def step(self, *arguments):
        self.told.append(arguments)

    def discard(self):
        self.told.append("discard")


def test_noise_is_measured_in_steps_that_are_evenly_divided():
    training = Training()
    noise = training.stepper.noise = Noise()
    assert training.stepper.noise_scale == 3.0
    training.step(divide(6, 0, 1, 2))
    training.step(divide(6, 0, 1, 4))
    assert noise.told == [(3, 0.5), "discard"]
    training.stepper.connect()
    assert noise.told[2:] == ["discard"]
    assert Training().stepper.noise_scale is None
