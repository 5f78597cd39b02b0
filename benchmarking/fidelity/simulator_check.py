"""The simulator against real processes: the same tuning on ElasticLocalBackend and in virtual time.

    python benchmarking/fidelity/simulator_check.py
    python benchmarking/fidelity/simulator_check.py --deadline 8

HyperSched tunes a script that sleeps through its epochs, checkpoints and reports, on four CPU slots and with resizes.
Before, the cost of launches and drains is measured with the same script. The simulation uses only this cost and the
known seconds of an epoch. The program prints the decisions of both side by side, and the times of all reports.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from syne_tune import Tuner
from syne_tune.config_space import uniform

from syne_hypersched import Deadline, ElasticLocalBackend, HyperSched, LaunchCost, PublishedRules, simulate
from syne_hypersched.blackboxes import LearningCurve
from syne_hypersched.experiments import QuietTunerLogger, read_events
from syne_hypersched.filenames import EVENTS_FILENAME
from syne_hypersched.schedulers.decisions import Decision

NUM_DEVICES = 4
MAX_T = 16
SLOWNESS = (1.12, 1.39, 1.78, 1.0, 1.28, 1.81, 1.24, 1.4, 1.11, 1.33)
"""Seconds of an epoch of each configuration, in sixteenths of the deadline."""
LOSSES = (0.66, 0.99, 0.85, 0.35, 0.66, 0.73, 0.46, 0.64, 0.36, 0.75)
"""Limit of the loss of each configuration."""
SCRIPT = """
import argparse, json, os, time
from pathlib import Path

started = time.time()
parser = argparse.ArgumentParser()
for name in ("epoch_s", "loss"):
    parser.add_argument(f"--{name}", type=float)
parser.add_argument("--max_t", type=int)
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
world_size, rank = int(os.environ.get("WORLD_SIZE", 1)), os.environ.get("RANK", "0")
checkpoint = args.st_checkpoint_dir / "epoch.json"
done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
ends = time.monotonic()
for epoch in range(done + 1, args.max_t + 1):
    ends += args.epoch_s / world_size
    time.sleep(max(0.0, ends - time.monotonic()))
    if rank == "0":
        args.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
        aside = checkpoint.with_suffix(".new")
        aside.write_text(json.dumps(epoch))
        os.replace(aside, checkpoint)
        # What syne_tune.Reporter prints; to import it takes longer than an epoch here.
        report = {"epoch": epoch, "loss": args.loss + 1 / epoch, "st_worker_time": time.time() - started}
        print(f"[tune-metric]: {json.dumps(report | {'st_worker_timestamp': time.time()})}", flush=True)
"""


class Sleeper:
    """The reports and times of the script, as a blackbox."""

    elapsed_time_attr = "elapsed_s"

    def learning_curve(
        self, config: Mapping[str, Any], max_resource: float | None = None, seed: int = 0
    ) -> LearningCurve:
        reports = tuple({"epoch": epoch, "loss": config["loss"] + 1 / epoch} for epoch in range(1, MAX_T + 1))
        return LearningCurve(reports, (config["epoch_s"],) * MAX_T)


@dataclass(frozen=True)
class TunedRun:
    """The results of one of the two."""

    decisions: list[Decision]
    results: pd.DataFrame

    def by_trial(self) -> dict[int | None, list[tuple[str, int]]]:
        """The decisions about each trial, in order, with the number of devices; None: about admission."""
        decided: dict[int | None, list[tuple[str, int]]] = {}
        for decision in self.decisions:
            decided.setdefault(decision.trial_id, []).append((decision.what, decision.num_devices))
        return decided

    def by_report(self) -> dict[tuple[int, int], tuple[int, str]]:
        """Devices and decision of each report, by trial and epoch."""
        columns = ("trial_id", "epoch", "st_num_devices", "st_decision")
        rows = zip(*(self.results[column].tolist() for column in columns), strict=True)
        return {(trial_id, epoch): (num_devices, decision) for trial_id, epoch, num_devices, decision in rows}


def make_scheduler(deadline_s: float, clock: Callable[[], float] | None = None) -> HyperSched:
    """HyperSched on configurations for which no decision depends on some hundredths of a second.

    With a deadline of 8 s, the simulation makes the same decisions with launches of 0.01 to 0.1 s, drains of 0 to 0.08
    s and epochs that are up to 1.5 % longer.
    """
    points = [
        {"epoch_s": slowness * deadline_s / 16, "loss": loss} for slowness, loss in zip(SLOWNESS, LOSSES, strict=True)
    ]
    space = {"epoch_s": uniform(0.0, deadline_s / 8), "loss": uniform(0.0, 1.0), "max_t": MAX_T}
    return HyperSched(
        space, "loss", "epoch", MAX_T, NUM_DEVICES, deadline_s,
        scaling={1: 1, NUM_DEVICES: NUM_DEVICES}, grace_period=2, reduction_factor=2,
        points_to_evaluate=points, strategy=PublishedRules(recharge_period=1), random_seed=0, clock=clock,
    )  # fmt: skip


def make_backend(folder: Path) -> ElasticLocalBackend:
    """A backend with real processes; the script needs no preloading."""
    script = folder / "sleeper.py"
    script.write_text(SCRIPT)
    return ElasticLocalBackend(script, NUM_DEVICES, device_type="cpu", preload=(), grace_s=1.0)


def measure_launch_cost(folder: Path, num_rounds: int = 3) -> LaunchCost:
    """Medians over launches and drains of one trial that is resized, paused and resumed many times."""
    epoch_s = 0.1
    backend = make_backend(folder)
    backend.set_path(results_root=str(folder / "launch-cost"))
    trial = backend.start_trial({"epoch_s": epoch_s, "loss": 0.0, "max_t": 10_000})
    trial.follow("epoch")
    costs: dict[str, list[float]] = {"start_s": [], "resize_s": [], "resume_s": []}
    last = _next_launch(backend, 0)
    for _ in range(num_rounds):
        for size in (2, 4):
            trial.resize(size)
            last = _next_launch(backend, last["st_launch"] + 1)
            costs["resize_s"].append(last["st_signal_to_report_s"] - epoch_s / size)
        backend.pause_trial(trial.trial_id, last)
        while backend.busy_trial_ids():
            time.sleep(0.01)
        backend.resume_trial(trial.trial_id)
        last = _next_launch(backend, last["st_launch"] + 1)
        costs["resume_s"].append(last["st_signal_to_report_s"] - epoch_s)
    backend.stop_all()
    events = read_events(backend.local_path / EVENTS_FILENAME)
    drain_s = statistics.median(
        event.details["drain_s"] for event in events if event.event == "exit" and event.details["drain_s"] is not None
    )
    resume_s = max(0.0, statistics.median(costs["resume_s"]))
    # A resize is timed from the request to drain; the first launch of all waits for the server that forks the others.
    resize_s = max(0.0, statistics.median(costs["resize_s"]) - drain_s)
    return LaunchCost(start_s=resume_s, resume_s=resume_s, resize_s=resize_s, drain_s=drain_s)


def _next_launch(backend: ElasticLocalBackend, launch: int) -> dict[str, Any]:
    """The first report of a launch; older ones are dropped."""
    while True:
        _, reports = backend.fetch_status_results([0])
        for _, report in reports:
            if report["st_launch"] >= launch and "st_signal_to_report_s" in report:
                return report
        time.sleep(0.005)


def run_real(folder: Path, deadline_s: float) -> TunedRun:
    """The tuning with real processes, under the stock tuner."""
    backend, scheduler = make_backend(folder), make_scheduler(deadline_s)
    with experiments_in(folder):
        tuner = Tuner(
            backend, scheduler, Deadline(deadline_s, trial_backend=backend, drain_s=0.0), NUM_DEVICES,
            sleep_time=0.01, save_tuner=False, output_logger=QuietTunerLogger(),
        )  # fmt: skip
        tuner.run()
    return TunedRun(scheduler.decisions, tuner.callbacks[0].dataframe())


def run_simulated(launch_cost: LaunchCost, deadline_s: float) -> TunedRun:
    """The same tuning in virtual time."""
    scheduler = make_scheduler(deadline_s)
    simulation = simulate(
        scheduler, Sleeper(), num_devices=NUM_DEVICES, deadline_s=deadline_s, scaling="linear", launch_cost=launch_cost
    )
    return TunedRun(scheduler.decisions, simulation.results)


def report_times(real: TunedRun, simulated: TunedRun) -> pd.DataFrame:
    """The times of each report in both: ``real_s``, ``simulated_s``, indexed by trial and epoch.

    Real times count from the launch of the first trial, since a server of processes must start before it. A simulation
    has no such server.
    """
    index = ["trial_id", "epoch"]
    real_s = real.results.set_index(index)["st_worker_timestamp"]
    first = real.results.iloc[0]
    started = first["st_worker_timestamp"] - first["st_worker_time"]
    simulated_s = simulated.results.set_index(index)["st_worker_timestamp"]
    first_simulated = simulated.results.iloc[0]
    simulated_start = first_simulated["st_worker_timestamp"] - first_simulated["st_worker_time"]
    return pd.DataFrame({"real_s": real_s - started, "simulated_s": simulated_s - simulated_start}).dropna()


@contextmanager
def experiments_in(folder: Path) -> Iterator[None]:
    """Makes Syne Tune store its experiments in a folder; only the environment can set this."""
    before = os.environ.get("SYNETUNE_FOLDER")
    os.environ["SYNETUNE_FOLDER"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SYNETUNE_FOLDER"]
        else:
            os.environ["SYNETUNE_FOLDER"] = before


def main() -> int:
    """Prints the comparison.

    Returns
    -------
    int
        0 if every decision is equal and every report within 5 % of its time, else 1.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deadline", type=float, default=24.0, help="seconds; epochs take a sixteenth to an eighth")
    deadline_s = parser.parse_args().deadline
    with tempfile.TemporaryDirectory() as name:
        launch_cost = measure_launch_cost(Path(name))
        real = run_real(Path(name), deadline_s)
    simulated = run_simulated(launch_cost, deadline_s)
    print(f"launch cost as measured: {launch_cost}\n")
    print(f"{'trial':>9}  decisions (devices)")
    for trial_id in sorted(real.by_trial().keys() | simulated.by_trial().keys(), key=lambda key: (key is None, key)):
        told = [outcome.by_trial().get(trial_id) for outcome in (real, simulated)]
        decided = " ".join(f"{what}({num_devices})" for what, num_devices in told[0] or ())
        print(
            f"{'admission' if trial_id is None else trial_id:>9}  {decided}{'' if told[0] == told[1] else '  DIFFERS'}"
        )
        if told[0] != told[1]:
            print(f"{'simulated':>9}  {' '.join(f'{what}({devices})' for what, devices in told[1] or ())}")
    same = real.by_trial() == simulated.by_trial() and real.by_report() == simulated.by_report()
    times = report_times(real, simulated)
    error = ((times.simulated_s - times.real_s) / times.real_s).abs()
    print(f"\n{len(times)} reports, {'all' if same else 'NOT all'} decisions equal")
    print(f"times off by {error.median():.2%} (median), {error.max():.2%} (most)")
    return 0 if same and error.max() <= 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())
