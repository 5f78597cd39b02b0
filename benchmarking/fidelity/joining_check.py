"""Devices that join a real training while it goes on, against the simulator and against relaunches.

    python benchmarking/fidelity/joining_check.py                              # two minutes
    python benchmarking/fidelity/joining_check.py --picture docs/joining.png   # and the loss of every step

A script trains a small network on handwritten digits; each of its samples takes some milliseconds (a sleep), and its
set-up some seconds. It is resized in place after given epochs, first by one plan, in which
:class:`LaunchCost(prepare_s, join_s) <syne_hypersched.LaunchCost>` is measured, then by another one. The simulator,
which knows this cost and how long the epochs of the second run take in which no device comes or goes, says when each
report comes and on how many devices. With ``--picture`` the second plan is carried out by relaunches as well.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syne_tune.config_space import uniform
from syne_tune.optimizer.baselines import RandomSearch

from syne_hypersched import ElasticLocalBackend, LaunchCost, simulate
from syne_hypersched.blackboxes import LearningCurve
from syne_hypersched.experiments import read_events
from syne_hypersched.filenames import EVENTS_FILENAME

#: Devices after epochs.
MEASURED_PLAN = {1: 2, 5: 1, 6: 2, 10: 1}
CHECKED_PLAN = {3: 2, 9: 1, 12: 2}
NUM_EPOCHS = {"measured": 11, "checked": 17}
PATIENCE_S = 300.0
SCRIPT = """
import argparse, json, time
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset
from syne_hypersched.training import ElasticRun

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--setup_s", type=float)
parser.add_argument("--sample_s", type=float)
parser.add_argument("--steps", type=str)
parser.add_argument("--st_checkpoint_dir")
args = parser.parse_args()
images, labels = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32)[:640], torch.tensor(labels)[:640])
time.sleep(args.setup_s)
with ElasticRun(args.st_checkpoint_dir) as run:
    model = run.wrap(nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10)))
    run.track(optimizer=torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    batches = run.loader(data, 64)
    for epoch in run.epochs(args.epochs):
        for images, labels in batches:
            time.sleep(args.sample_s * len(labels))
            loss = functional.cross_entropy(model(images), labels)
            run.step(loss)
            run.add(loss=loss)
            if run.is_main:
                with open(args.steps, "a") as file:
                    print(json.dumps([time.time(), run.num_devices, loss.item()]), file=file)
        run.report()
"""


@dataclass(frozen=True)
class Timed:
    """A training: when each epoch was reported, and each step done, in seconds from the first report."""

    report_s: list[float]
    num_devices: list[int]
    #: Time, devices and loss of each step.
    steps: list[tuple[float, int, float]]
    #: From the order to the moment when the new processes were ready, and for which training stopped, for each change.
    prepare_s: list[float]
    pause_s: list[float]
    #: From when to when processes got ready.
    preparations: list[tuple[float, float]]


def train(folder: Path, plan: Mapping[int, int], num_epochs: int, setup_s: float, sample_s: float, how: str) -> Timed:
    """Trains with real processes, which get other devices after the epochs of ``plan``."""
    folder.mkdir(parents=True)
    script, steps = folder / "train.py", folder / "steps"
    script.write_text(SCRIPT)
    backend = ElasticLocalBackend(
        script, 2, device_type="cpu", time_attr="epoch", grace_s=60.0, resize=how, share_devices=True
    )
    backend.set_path(str(folder / "run"))
    reports: list[dict[str, Any]] = []
    give_up_at = time.monotonic() + PATIENCE_S
    try:
        config = {"epochs": num_epochs, "setup_s": setup_s, "sample_s": sample_s, "steps": str(steps)}
        trial = backend.start_trial(config)
        while len(reports) < num_epochs:
            for _, report in backend.fetch_status_results([0])[1]:
                reports.append(report)
                if report["epoch"] in plan:
                    trial.resize(plan[report["epoch"]])
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"not finished after {PATIENCE_S:g} s; see {folder}")
            backend.wait_for_news(0.02)
    finally:
        backend.stop_all()
    began = reports[0]["st_worker_timestamp"]
    events = read_events(Path(backend.local_path) / EVENTS_FILENAME)
    changes = [event for event in events if event.event in ("prepare", "joined")]
    return Timed(
        [report["st_worker_timestamp"] - began for report in reports],
        [report["st_num_devices"] for report in reports],
        [(at - began, devices, loss) for at, devices, loss in map(json.loads, steps.read_text().splitlines())],
        [event.details["prepare_s"] for event in events if event.event == "ready"],
        [event.details["pause_s"] for event in events if event.event in ("joined", "left")],
        [
            (one.details["timestamp"] - began, other.details["timestamp"] - began)
            for one, other in itertools.pairwise(changes)
            if (one.event, other.event) == ("prepare", "joined")
        ],
    )


def epoch_times(training: Timed) -> dict[int, float]:
    """Median seconds of an epoch, by devices, of the epochs in which these did not change."""
    found: dict[int, list[float]] = {}
    for (before_s, after_s), (before, after), (start, end) in zip(
        itertools.pairwise(training.report_s),
        itertools.pairwise(training.num_devices),
        itertools.pairwise(_steps_by_report(training)),
        strict=True,
    ):
        if before == after and {devices for _, devices, _ in training.steps[start:end]} == {after}:
            found.setdefault(after, []).append(after_s - before_s)
    return {devices: statistics.median(times) for devices, times in found.items()}


def _steps_by_report(training: Timed) -> list[int]:
    return [sum(at <= report_s for at, _, _ in training.steps) for report_s in training.report_s]


class Epochs:
    """A training whose epochs take equally long on one device, as a blackbox."""

    elapsed_time_attr = "elapsed_s"

    def __init__(self, epoch_s: float, num_epochs: int) -> None:
        self._epoch_s, self._num_epochs = epoch_s, num_epochs

    def learning_curve(
        self, config: Mapping[str, Any], max_resource: float | None = None, seed: int = 0
    ) -> LearningCurve:
        reports = tuple({"epoch": epoch, "loss": 1.0 / epoch} for epoch in range(1, self._num_epochs + 1))
        return LearningCurve(reports, (self._epoch_s,) * self._num_epochs)


def predict(
    plan: Mapping[int, int], num_epochs: int, epoch_s: Mapping[int, float], launch_cost: LaunchCost
) -> tuple[list[float], list[int]]:
    """When the simulator has each report come, in seconds from the first one, and on how many devices."""

    def resize(trial: Any, report: dict[str, Any], decision: str) -> None:
        if report["epoch"] in plan:
            trial.resize(plan[report["epoch"]])

    run = simulate(
        RandomSearch({"x": uniform(0, 1)}, metrics=["loss"], random_seed=0), Epochs(epoch_s[1], num_epochs),
        num_devices=2, n_workers=1, max_num_trials=1, launch_cost=launch_cost, on_result=resize,
        scaling={1: 1.0, 2: epoch_s[1] / epoch_s[2]},
    )  # fmt: skip
    times = run.results.st_tuner_time
    return [float(at - times.iloc[0]) for at in times], run.results.st_num_devices.tolist()


def draw(path: Path, in_place: Timed, relaunched: Timed) -> None:
    """The loss of every step of both trainings, and their devices."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(9, 5), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    for panel, training, title in (
        (panels[0], in_place, "devices join and leave while it trains"),
        (panels[1], relaunched, "launched again from its checkpoint for each change"),
    ):
        times, devices, losses = zip(*training.steps, strict=True)
        panel.plot(times, losses, ".", color="#1f4e79", markersize=3)
        panel.set_title(title, loc="left", fontsize=10)
        panel.set_yscale("log")
        panel.set_ylabel("loss of a step")
        starts = [0, *(number for number in range(1, len(times)) if devices[number] != devices[number - 1])]
        for start, end in itertools.pairwise([*starts, len(times)]):
            if devices[start] == 2:
                panel.axvspan(times[start], times[end - 1], color="#f2c14e", alpha=0.35, linewidth=0)
        for began, joined in training.preparations:
            panel.axvspan(began, joined, facecolor="none", edgecolor="#c08a00", hatch="///", alpha=0.5, linewidth=0)
    figure.legend(
        handles=[
            Patch(facecolor="none", edgecolor="#c08a00", hatch="///", alpha=0.5, label="a second device gets ready"),
            Patch(facecolor="#f2c14e", alpha=0.35, label="two devices"),
        ],
        loc="outside upper right", ncols=2, frameon=False, fontsize=9,
    )  # fmt: skip
    panels[1].set_xlabel("seconds since the first report")
    figure.savefig(path, dpi=110)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the comparison.

    Returns
    -------
    int
        0 if the simulator has every report within 5 % of its time, and at most one beside each change on another number
        of devices; else 1.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", type=float, default=2.0, help="seconds of the script's set-up")
    parser.add_argument("--sample", type=float, default=0.002, help="seconds of a sample")
    parser.add_argument("--picture", type=Path, help="file for a picture of the second plan, in place and relaunched")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:

        def trained(folder: str, plan: Mapping[int, int], num_epochs: int, how: str = "in_place") -> Timed:
            return train(Path(name) / folder, plan, num_epochs, args.setup, args.sample, how)

        measured = trained("measured", MEASURED_PLAN, NUM_EPOCHS["measured"])
        real = trained("checked", CHECKED_PLAN, NUM_EPOCHS["checked"])
        if args.picture is not None:
            relaunched = trained("relaunched", CHECKED_PLAN, NUM_EPOCHS["checked"], "relaunch")
            draw(args.picture, real, relaunched)
    cost = LaunchCost(prepare_s=statistics.median(measured.prepare_s), join_s=statistics.median(measured.pause_s))
    epoch_s = epoch_times(real)
    times, devices = predict(CHECKED_PLAN, NUM_EPOCHS["checked"], epoch_s, cost)
    told = ", ".join(f"{seconds:.3f} s on {devices}" for devices, seconds in sorted(epoch_s.items()))
    print(
        f"an epoch takes {told}; measured in the other run: prepare_s={cost.prepare_s:.3f}, join_s={cost.join_s:.3f}\n"
    )
    print(f"{'epoch':>5}{'devices':>9}{'simulated':>11}{'seconds':>10}{'simulated':>11}")
    for epoch, row in enumerate(zip(real.num_devices, devices, real.report_s, times, strict=True), 1):
        print(f"{epoch:>5}{row[0]:>9}{row[1]:>11}{row[2]:>10.3f}{row[3]:>11.3f}")
    errors = [abs(times[epoch] / real.report_s[epoch] - 1) for epoch in range(1, len(times))]
    num_different = sum(one != other for one, other in zip(devices, real.num_devices, strict=True))
    print(f"\ndevices differ at {num_different} of {len(devices)} reports; times are off by {max(errors):.1%} at most")
    return 0 if num_different <= len(CHECKED_PLAN) and max(errors) <= 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())
