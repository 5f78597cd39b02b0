from __future__ import annotations

import math
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from syne_hypersched.training._noise_scale import GradientNoiseScale  # noqa: E402

NUM_SAMPLES = 512
BATCH_SIZE = 32


class Problem:
    """A small regression whose noise scale is known by brute force: from the gradient of every single sample."""

    def __init__(self, seed: int = 0, noise: float = 3.0) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(NUM_SAMPLES, 6, generator=self.generator)
        self.y = self.x @ torch.arange(1.0, 7.0) + noise * torch.randn(NUM_SAMPLES, generator=self.generator)
        torch.manual_seed(seed)
        self.model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))

    def loss(self, index):
        return (self.model(self.x[index])[:, 0] - self.y[index]).square().mean()

    def gradient(self, index):
        gradients = torch.autograd.grad(self.loss(index), list(self.model.parameters()))
        return torch.cat([gradient.flatten() for gradient in gradients])

    def brute_force(self):
        """Squared norm of the mean gradient, and trace of the covariance of the gradients of single samples."""
        each = torch.stack([self.gradient([index]) for index in range(NUM_SAMPLES)]).double()
        return each.mean(0).square().sum().item(), each.var(0).sum().item()

    def draw(self, size):
        # With replacement: batches are then independent, as the theory has it.
        return torch.randint(NUM_SAMPLES, (size,), generator=self.generator)


def measure(problem, steps, micro_batches, amp_scale=1.0, unscaled=False):
    """Noise scale over steps that leave the model where it is, as brute force takes it."""
    noise = GradientNoiseScale(problem.model.parameters(), BATCH_SIZE, smoothing=0.9999)
    size = BATCH_SIZE // micro_batches
    for _ in range(steps):
        problem.model.zero_grad()
        for _ in range(micro_batches):
            (problem.loss(problem.draw(size)) * amp_scale / micro_batches).backward()
        if unscaled:
            for parameter in problem.model.parameters():
                parameter.grad /= amp_scale
        noise.step(size, loss_scale=amp_scale / micro_batches, gradient_scale=1.0 if unscaled else amp_scale)
    noise.close()
    return noise


@pytest.mark.parametrize(
    ("micro_batches", "amp_scale", "unscaled"),
    [
        pytest.param(1, 1.0, False, marks=pytest.mark.slow),
        pytest.param(2, 1.0, False, marks=pytest.mark.slow),
        pytest.param(8, 1.0, False, marks=pytest.mark.slow),
        pytest.param(1, 1024.0, False, marks=pytest.mark.slow),
        (4, 1024.0, True),
    ],
)
def test_agrees_with_brute_force_within_a_tenth(micro_batches, amp_scale, unscaled):
    problem = Problem()
    squared_norm, trace = problem.brute_force()
    noise = measure(problem, 2000 if micro_batches == 1 else 1000, micro_batches, amp_scale, unscaled)
    assert noise.squared_norm == pytest.approx(squared_norm, rel=0.1)
    assert noise.trace == pytest.approx(trace, rel=0.1)
    assert noise.noise_scale == pytest.approx(trace / squared_norm, rel=0.1)


def test_follows_a_model_that_is_trained():
    problem = Problem()
    optimizer = torch.optim.SGD(problem.model.parameters(), lr=0.002)
    noise = GradientNoiseScale(problem.model.parameters(), BATCH_SIZE, smoothing=0.99)
    before = None
    for step in range(400):
        optimizer.zero_grad()
        problem.loss(problem.draw(BATCH_SIZE)).backward()
        noise.step(BATCH_SIZE)
        optimizer.step()
        if step == 50:
            before = noise.noise_scale
    assert noise.noise_scale > 3 * before, "the signal fades while noise stays"


def test_a_step_without_noise_has_noise_scale_zero():
    problem = Problem()
    noise = GradientNoiseScale(problem.model.parameters(), BATCH_SIZE)
    for updated in (False, True):
        problem.model.zero_grad()
        problem.loss(range(BATCH_SIZE)).backward()
        assert noise.step(BATCH_SIZE) is updated
    assert noise.noise_scale == 0


def test_opposite_gradients_are_noise_alone():
    parameter = torch.nn.Parameter(torch.tensor(2.0))
    noise = GradientNoiseScale([parameter], 1)
    for sign in (1, -1):
        (sign * parameter / 2).backward()
    noise.step(1, loss_scale=0.5)
    assert noise.noise_scale == math.inf
    assert (noise.squared_norm, noise.trace) == (0.0, 2.0)


def test_before_anything_is_measured():
    noise = GradientNoiseScale(Problem().model.parameters(), 8)
    assert (noise.noise_scale, noise.squared_norm, noise.trace) == (None, None, None)
    with pytest.raises(RuntimeError, match=r"step\(\) must follow a backward pass"):
        noise.step(8)


def test_gradients_that_are_not_finite_are_left_out():
    problem = Problem()
    for micro_batches in (1, 2):
        noise = GradientNoiseScale(problem.model.parameters(), BATCH_SIZE)
        for scale in (1.0, 1.0, math.inf, 1.0, 1.0):
            problem.model.zero_grad()
            for _ in range(micro_batches):
                (problem.loss(problem.draw(8)) * scale).backward()
            before = noise.state_dict()
            updated = noise.step(8)
            assert updated == (before != noise.state_dict())
            assert scale == 1.0 or not updated
        assert math.isfinite(noise.trace)


def test_estimates_of_consecutive_gradients_give_way_to_better_ones():
    problem = Problem()
    noise = GradientNoiseScale(problem.model.parameters(), BATCH_SIZE)

    def step(micro_batches):
        problem.model.zero_grad()
        for _ in range(micro_batches):
            (problem.loss(problem.draw(8)) / micro_batches).backward()
        noise.step(8, loss_scale=1 / micro_batches)

    for _ in range(10):
        step(1)
    assert noise.state_dict()["biased"]
    step(2)
    alone = noise.state_dict()
    assert not alone["biased"]
    assert alone["weight"] == pytest.approx(1 - 0.999 ** (16 / BATCH_SIZE))


def test_a_discarded_step_is_in_no_estimate():
    problem = Problem()
    noise = GradientNoiseScale(problem.model.parameters(), BATCH_SIZE)
    problem.loss(problem.draw(8)).backward()
    noise.step(8)
    problem.loss(problem.draw(3)).backward()
    noise.discard()
    problem.model.zero_grad()
    problem.loss(problem.draw(8)).backward()
    assert not noise.step(8), "the gradient before is no longer comparable"


def test_state_goes_into_a_checkpoint_and_back():
    problem = Problem()
    noise = measure(problem, 10, 2)
    again = GradientNoiseScale(problem.model.parameters(), BATCH_SIZE)
    again.load_state_dict(noise.state_dict())
    assert again.noise_scale == noise.noise_scale
    assert again.state_dict() == noise.state_dict()


def test_closed_hooks_cost_nothing():
    problem = Problem()
    noise = GradientNoiseScale(problem.model.parameters(), BATCH_SIZE)
    noise.close()
    problem.loss(problem.draw(8)).backward()
    with pytest.raises(RuntimeError, match="backward pass"):
        noise.step(8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, but got 0"),
        ({"smoothing": 1.0}, "smoothing must be at least 0 and below 1, but got 1.0"),
        ({"parameters": []}, "parameters must contain one that requires a gradient"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GradientNoiseScale(**{"parameters": Problem().model.parameters(), "batch_size": 8, **arguments})


@pytest.mark.parametrize("name", ["micro_batch_size", "loss_scale", "gradient_scale"])
def test_bad_arguments_of_a_step(name):
    problem = Problem()
    noise = GradientNoiseScale(problem.model.parameters(), 8)
    with pytest.raises(ValueError, match=f"{name} must be above 0, but got -1"):
        noise.step(**{"micro_batch_size": 8, name: -1})


REPLICA = """
import sys
import torch, torch.distributed as dist
from syne_hypersched.training._noise_scale import GradientNoiseScale

rank, file = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
torch.manual_seed(0)
model = torch.nn.Linear(3, 1)
replica = torch.nn.parallel.DistributedDataParallel(model)
noise = GradientNoiseScale(model.parameters(), 8)
x = torch.randn(4, 4, 3)
for step in range(3):
    replica.zero_grad()
    with replica.no_sync():
        (replica(x[rank]).square().mean() / 2).backward()
    (replica(x[2 + rank]).square().mean() / 2).backward()
    noise.step(4, loss_scale=0.5)
    x = x + 1
print(noise.squared_norm, noise.trace)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_replicas_and_micro_batches_together_are_independent_gradients(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", REPLICA, str(rank), str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=280)[0] for process in processes]
    assert said[0] == said[1], "replicas agree"
    # The same four micro-batches on one process.
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    noise = GradientNoiseScale(model.parameters(), 8)
    x = torch.randn(4, 4, 3)
    for _ in range(3):
        model.zero_grad()
        for micro_batch in x:
            (model(micro_batch).square().mean() / 4).backward()
        noise.step(4, loss_scale=0.25)
        x = x + 1
    assert [float(number) for number in said[0].split()] == pytest.approx([noise.squared_norm, noise.trace], rel=1e-4)
