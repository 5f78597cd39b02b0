"""How long training stops when the number of devices changes: processes that join and leave against relaunches.

    python benchmarking/speed/resize_pause.py
    python benchmarking/speed/resize_pause.py --parameters 1000000 --setup 5 --changes 20 --how in_place

A script with a model of a given size, momenta, and a set-up that takes a given time (a sleep) writes down when each of
its steps ends. The pause is the time from the last step at the old size to the first finished step at the new one, less
one step (the median step at the new size). The table has the median and the 95th percentile, for growing from one to
two devices and for shrinking back.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from syne_hypersched import ElasticLocalBackend

_PATIENCE_S = 180.0

SCRIPT = """
import argparse, json, os, time
import torch
from torch import nn
from torch.utils.data import TensorDataset
from syne_hypersched.training import ElasticRun

parser = argparse.ArgumentParser()
parser.add_argument("--parameters", type=int)
parser.add_argument("--setup_s", type=float)
parser.add_argument("--steps", type=str)
parser.add_argument("--st_checkpoint_dir")
args = parser.parse_args()
width = max(1, round((args.parameters / 4) ** 0.5))
with ElasticRun(args.st_checkpoint_dir) as run:
    time.sleep(args.setup_s)
    model = run.wrap(nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in range(4))))
    run.track(optimizer=torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9))
    batches = run.loader(TensorDataset(torch.randn(4000, width)), 8)
    steps = open(args.steps, "a", buffering=1) if run.is_main else None
    for epoch in run.epochs(1000000):
        for (samples,) in batches:
            run.step(model(samples).square().mean())
            if steps is not None:
                print(json.dumps([time.time(), run.num_devices, run.num_steps]), file=steps)
        run.report()
"""


def measure(num_parameters: int, setup_s: float, num_changes: int, how: str, folder: Path) -> dict[str, list[float]]:
    """Pauses in seconds, of growing and of shrinking."""
    script, steps = folder / "train.py", folder / "steps"
    script.write_text(SCRIPT)
    steps.touch()
    backend = ElasticLocalBackend(
        script, 2, device_type="cpu", time_attr="epoch", grace_s=60.0, resize="auto" if how == "in_place" else how,
        share_devices=True,
    )  # fmt: skip
    backend.set_path(str(folder / "run"))

    def taken() -> list[tuple[float, int, int]]:
        lines = steps.read_text().split("\n")[:-1]
        return [tuple(json.loads(line)) for line in lines]

    def wait_for_steps(num_devices: int, count: int) -> None:
        give_up_at = time.monotonic() + _PATIENCE_S + 2 * setup_s
        while len(last := taken()[-count:]) < count or any(step[1] != num_devices for step in last):
            backend.fetch_status_results([0])
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"no steps on {num_devices} devices; see {folder}")
            time.sleep(0.005)

    try:
        trial = backend.start_trial({"parameters": num_parameters, "setup_s": setup_s, "steps": str(steps)})
        wait_for_steps(1, 20)
        for number in range(num_changes):
            trial.resize(2 - number % 2)
            wait_for_steps(2 - number % 2, 20)
    finally:
        backend.stop_all()
    found: dict[str, list[float]] = {"grow": [], "shrink": []}
    all_steps = taken()
    lengths = {
        size: statistics.median(
            after[0] - before[0] for before, after in itertools.pairwise(all_steps) if before[1] == after[1] == size
        )
        for size in (1, 2)
    }
    for before, after in itertools.pairwise(all_steps):
        if after[1] != before[1]:
            pause_s = after[0] - before[0] - lengths[after[1]]
            found["grow" if after[1] > before[1] else "shrink"].append(max(0.0, pause_s))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--setup", type=float, nargs="+", default=[0.0, 5.0, 20.0], help="seconds")
    parser.add_argument("--changes", type=int, default=20, help="half of them grow")
    parser.add_argument("--how", choices=["in_place", "relaunch"], nargs="+", default=["in_place", "relaunch"])
    args = parser.parse_args(arguments)
    print(f"{'parameters':>11}{'set-up':>8}  {'how':<10}{'grow: median':>13}{'p95':>8}{'shrink: median':>16}{'p95':>8}")
    for num_parameters in args.parameters:
        for setup_s in args.setup:
            for how in args.how:
                with tempfile.TemporaryDirectory() as folder:
                    found = measure(num_parameters, setup_s, args.changes, how, Path(folder))
                cells = [f"{quantile:.3f} s" for kind in found.values() for quantile in _quantiles(kind)]
                print(
                    f"{num_parameters:>11}{setup_s:>6g} s  {how:<10}{cells[0]:>13}{cells[1]:>8}{cells[2]:>16}"
                    f"{cells[3]:>8}", flush=True,
                )  # fmt: skip


def _quantiles(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return float("nan"), float("nan")
    in_order = sorted(values)
    return statistics.median(in_order), in_order[min(len(in_order) - 1, round(0.95 * (len(in_order) - 1)))]


if __name__ == "__main__":
    main()
