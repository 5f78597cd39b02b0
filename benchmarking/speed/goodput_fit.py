"""Accuracy of the estimates of throughput and noise scale, and cost of fitting and allocating.

    python benchmarking/speed/goodput_fit.py                # everything; about two minutes
    python benchmarking/speed/goodput_fit.py --only cost

*recovery*: AdaptDL's step-time model with coefficients published with its schedulers (Pollux and Sia; devices of one
node, and of several nodes), and a network so slow that eight devices are slower than one. A trial is timed on three
numbers of devices with 2 % of noise, and the fit predicts the throughput on the other numbers from 1 to 8. The error is
the largest relative error of these. Every point is one measurement, or the median of 16 steps (an epoch of a real trial
has more).

*noise scale*: the estimate from gradients compared with brute force (the gradient of every single sample), on a small
regression with a model that does not change.

*cost*: fitting 64 trials and dividing devices among 64 trials, in milliseconds. After a report only its trial is
fitted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from syne_hypersched.allocation.goodput import Outlook, allocate_goodput
from syne_hypersched.allocation.learnt_throughput import LearntThroughput, Steps
from syne_hypersched.allocation.throughput import ThroughputModel, fit_throughput

BATCH_SIZE = 128
MODELS = {
    "Pollux, one node": ThroughputModel(0.121, 0.00568, 0.0118, 0.00317, 1.14),
    "Pollux, several nodes": ThroughputModel(0.121, 0.00568, 0.0236, 0.00634, 1.14),
    "Sia, one node": ThroughputModel(0.023, 9.08e-5, 0.012109, 0.007306, 1.914794),
    "Sia, several nodes": ThroughputModel(0.023, 9.08e-5, 0.0133, 0.008036, 1.914794),
    "slow network": ThroughputModel(0.1, 0.01, 0.5, 1.0, 1.2),
}
SEEN = ((1, 2, 4), (1, 2, 8), (1, 4, 8))
NUM_DEVICES = 8
NOISE = 0.02
NUM_TRIALS = 64


def recovery(draws: int) -> None:
    random_state = np.random.RandomState(0)
    print(f"recovery: largest error at unseen sizes, % of throughput, over {draws} draws of the noise")
    print(f"{'model':<24}{'batch':<8}{'seen':<12}{'one step a point':>28}{'16 steps a point':>28}")
    print(f"{'':<44}" + f"{'median':>9}{'p95':>7}{'within 5 %':>12}" * 2)
    for name, model in MODELS.items():
        for batch in ("fixed", "weak"):
            for seen in SEEN:
                cells = ""
                for steps in (1, 16):
                    errors = [_largest_error(model, batch, seen, steps, random_state) for _ in range(draws)]
                    within = np.mean(np.array(errors) <= 0.05)
                    median, p95 = 100 * np.quantile(errors, [0.5, 0.95])
                    cells += f"{median:>9.1f}{p95:>7.1f}{within:>12.0%}"
                print(f"{name:<24}{batch:<8}{', '.join(map(str, seen)):<12}{cells}", flush=True)


def _largest_error(
    model: ThroughputModel, batch: str, seen: tuple[int, ...], steps: int, random_state: np.random.RandomState
) -> float:
    sizes = np.arange(1, NUM_DEVICES + 1)
    local = BATCH_SIZE / sizes if batch == "fixed" else np.full(NUM_DEVICES, float(BATCH_SIZE))
    measured = np.isin(sizes, seen)
    noise = np.exp(NOISE * random_state.standard_normal((steps, len(seen))))
    times = np.median(model.step_time_s(sizes[measured], local[measured]) * noise, axis=0)
    fitted = fit_throughput(sizes[measured], local[measured], times)
    ratio = fitted.throughput(sizes, local) / model.throughput(sizes, local)
    return float(np.abs(ratio[~measured] - 1).max())


def noise_scale(num_seeds: int) -> None:
    # Imported here, since the other parts need no PyTorch.
    import torch

    from syne_hypersched.training._noise_scale import GradientNoiseScale

    torch.set_num_threads(1)
    batch_size, num_samples, steps = 32, 512, 2000
    print(f"\nnoise scale: estimate over brute force after {steps} steps, batch {batch_size}, {num_seeds} seeds")
    print(f"{'gradients':<28}{'brute force':>14}{'median ratio':>14}{'worst ratio':>14}")
    for micro_batches, name in ((1, "one device, consecutive"), (2, "2 micro-batches"), (8, "8 micro-batches")):
        ratios, truths = [], []
        for seed in range(num_seeds):
            generator = torch.Generator().manual_seed(seed)
            x = torch.randn(num_samples, 6, generator=generator)
            y = x @ torch.arange(1.0, 7.0) + 3 * torch.randn(num_samples, generator=generator)
            torch.manual_seed(seed)
            model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))

            def loss(index: torch.Tensor) -> torch.Tensor:
                return (model(x[index])[:, 0] - y[index]).square().mean()  # noqa: B023

            each = [torch.autograd.grad(loss(torch.tensor([i])), list(model.parameters())) for i in range(num_samples)]
            gradients = torch.stack([torch.cat([part.flatten() for part in parts]) for parts in each]).double()
            truths.append(float(gradients.var(0).sum() / gradients.mean(0).square().sum()))
            estimate = GradientNoiseScale(model.parameters(), batch_size, smoothing=0.9999)
            for _ in range(steps):
                model.zero_grad()
                for _ in range(micro_batches):
                    index = torch.randint(num_samples, (batch_size // micro_batches,), generator=generator)
                    (loss(index) / micro_batches).backward()
                estimate.step(batch_size // micro_batches, loss_scale=1 / micro_batches)
            estimate.close()
            measured = estimate.noise_scale
            assert measured is not None
            ratios.append(measured / truths[-1])
        worst = max(ratios, key=lambda ratio: abs(np.log(ratio)))
        print(f"{name:<28}{np.median(truths):>14.1f}{np.median(ratios):>14.3f}{worst:>14.3f}", flush=True)


def cost(repetitions: int) -> None:
    random_state = np.random.RandomState(0)
    print(f"\ncost, ms: median and p95 of {repetitions}, {NUM_TRIALS} trials")
    reports = _reports(random_state)
    learnt = LearntThroughput()

    def observe(trial_ids: range) -> None:
        for trial_id in trial_ids:
            for num_devices, epoch_time_s, steps in reports[trial_id]:
                learnt.observe(trial_id, num_devices, epoch_time_s * (1 + random_state.random_sample() / 100), steps)

    def start_again() -> None:
        nonlocal learnt
        learnt = LearntThroughput()
        observe(range(NUM_TRIALS))

    def fit() -> object:
        # Asking for one model fits all trials that have reported since the last time.
        return learnt.model(0)

    def rates_of_all() -> object:
        return [learnt.rates(trial_id, 64) for trial_id in range(NUM_TRIALS)]

    def start_again_and_fit() -> None:
        start_again()
        fit()

    _print_times("fit all trials, first time", fit, start_again, repetitions)
    _print_times("fit all trials, from where the last fit ended", fit, lambda: observe(range(NUM_TRIALS)), repetitions)
    _print_times("rates of all trials, fitted before", rates_of_all, start_again_and_fit, repetitions)
    for num_devices in (64, 128, 256, 512):
        values = {trial_id: float(random_state.random_sample()) for trial_id in range(NUM_TRIALS)}

        def divide() -> object:
            outlooks = {
                trial_id: Outlook(1 + trial_id % 3, 5.0, rates)
                for trial_id in range(NUM_TRIALS)
                if (rates := learnt.rates(trial_id, num_devices)) is not None  # noqa: B023
            }
            sizes = range(1, num_devices + 1)  # noqa: B023
            return allocate_goodput(values, outlooks, num_devices, sizes, 1e6, 1000.0, 5.0)  # noqa: B023

        divide()
        _print_times(f"divide {num_devices} devices", divide, lambda: None, repetitions)
        what = f"a report: fit its trial, divide {num_devices} devices"
        _print_times(what, divide, lambda: observe(range(1)), repetitions)


def _reports(random_state: np.random.RandomState) -> list[list[tuple[int, float, Steps]]]:
    """Reports of similar trials with different speeds and batch sizes, from 1, 2, 4 and 8 devices."""
    reports = []
    for _ in range(NUM_TRIALS):
        coefficients = np.array([0.121, 0.00568, 0.0236, 0.00634]) * np.exp(0.3 * random_state.standard_normal(4))
        model = ThroughputModel(*coefficients, gamma=1.14)
        batch_size = int(random_state.choice([32, 64, 128, 256]))
        seen = []
        for num_devices in (1, 2, 4, 8):
            step_time_s = float(model.step_time_s(num_devices, batch_size / num_devices))
            seen.append((num_devices, 50_000 / batch_size * step_time_s, Steps(step_time_s, batch_size)))
        reports.append(seen)
    return reports


def _print_times(what: str, call: Callable[[], object], prepare: Callable[[], None], repetitions: int) -> None:
    times_ms = []
    for _ in range(repetitions):
        prepare()
        started = time.perf_counter()
        call()
        times_ms.append(1e3 * (time.perf_counter() - started))
    median, p95 = np.quantile(times_ms, [0.5, 0.95])
    print(f"{what:<50}{median:>8.2f}{p95:>8.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["recovery", "noise", "cost"], help="one part instead of all")
    parser.add_argument("--draws", type=int, default=200, help="draws of the noise for the recovery")
    parser.add_argument("--seeds", type=int, default=5, help="problems for the noise scale")
    parser.add_argument("--repetitions", type=int, default=100, help="repetitions of every timing")
    arguments = parser.parse_args()
    if arguments.only in (None, "recovery"):
        recovery(arguments.draws)
    if arguments.only in (None, "noise"):
        noise_scale(arguments.seeds)
    if arguments.only in (None, "cost"):
        cost(arguments.repetitions)


if __name__ == "__main__":
    main()
