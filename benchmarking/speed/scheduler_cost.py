"""Cost of one report and one suggestion of a scheduler, by the number of trials recorded before.

    python benchmarking/speed/scheduler_cost.py                       # everything; some minutes
    python benchmarking/speed/scheduler_cost.py --sizes 100 1000 --schedulers "ASHA stopping" "ASHA promotion"

One worker runs trials with random learning curves, max_t 81, reduction factor 3. Reports are timed over the last trials
before each size: those at a rung level, where the scheduler decides, and those between. Memory is the growth of the
process since the scheduler was created. Each scheduler runs in a separate process, one after the other.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import logging
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import psutil
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice, loguniform, randint
from syne_tune.optimizer.scheduler import SchedulerDecision

CONFIG_SPACE = {
    "lr": loguniform(1e-4, 1),
    "weight_decay": loguniform(1e-6, 1e-2),
    "batch_size": randint(16, 256),
    "optimizer": choice(["sgd", "adam", "adamw"]),
}
MAX_T = 81
RUNG_LEVELS = (1, 3, 9, 27)
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
MAX_WINDOW = 2_000
"""Number of trials before a size that are timed."""
MIN_TIMED_TRIALS = 1_000
"""Small sizes are repeated until this many trials have been timed."""


@dataclass(frozen=True)
class Subject:
    """A scheduler to be measured."""

    module: str
    name: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    max_size: int = SIZES[-1]
    """Largest number of trials for which it is fast enough."""
    every_epoch: bool = False
    """Whether untimed trials report every epoch, and not only at rung levels: the cost depends on this."""

    def make(self) -> Any:
        scheduler_class = getattr(importlib.import_module(self.module), self.name)
        return scheduler_class(
            CONFIG_SPACE, metric="loss", time_attr="epoch", max_t=MAX_T, random_seed=0, **self.kwargs
        )


SUBJECTS: dict[str, Subject] = {
    "ASHA stopping": Subject("syne_hypersched.schedulers", "ASHA", {"type": "stopping"}),
    "ASHA promotion": Subject("syne_hypersched.schedulers", "ASHA", {"type": "promotion"}),
    "PASHA": Subject("syne_hypersched.schedulers", "PASHA", max_size=100_000, every_epoch=True),
    "Syne Tune ASHA": Subject("syne_tune.optimizer.baselines", "ASHA", max_size=100_000),
}


@dataclass
class SchedulerCosts:
    """Seconds of every call timed."""

    suggest_s: list[float] = field(default_factory=list)
    rung_report_s: list[float] = field(default_factory=list)
    other_report_s: list[float] = field(default_factory=list)


class Worker:
    """Executes the suggestions of a scheduler: one worker, trials with random learning curves."""

    def __init__(self, scheduler: Any, max_trials: int) -> None:
        self.scheduler = scheduler
        self.num_trials = 0
        self._epochs = bytearray(max_trials + 1)
        self._random = random.Random(0)

    def run_one(self, every_epoch: bool, costs: SchedulerCosts | None = None) -> None:
        """Starts or resumes a trial and lets it report until the scheduler ends or pauses it."""
        started = time.perf_counter()
        suggestion = self.scheduler.suggest()
        suggest_s = time.perf_counter() - started
        if suggestion.spawn_new_trial_id:
            trial = Trial(self.num_trials, suggestion.config, datetime.min)
            self.num_trials += 1
            self.scheduler.on_trial_add(trial=trial)
        else:
            trial = Trial(suggestion.checkpoint_trial_id, {}, datetime.min)
        if costs is not None:
            costs.suggest_s.append(suggest_s)
        for epoch in self._epochs_from(self._epochs[trial.trial_id], every_epoch):
            result = {"loss": self._random.random() + 1 / epoch, "epoch": epoch}
            started = time.perf_counter()
            decision = self.scheduler.on_trial_result(trial=trial, result=result)
            report_s = time.perf_counter() - started
            if costs is not None:
                (costs.rung_report_s if epoch in RUNG_LEVELS else costs.other_report_s).append(report_s)
            if decision != SchedulerDecision.CONTINUE:
                self._epochs[trial.trial_id] = epoch
                self.scheduler.on_trial_remove(trial=trial)
                return

    def fill(self, num_trials: int, every_epoch: bool) -> None:
        """Runs trials until the given number has been started."""
        while self.num_trials < num_trials:
            self.run_one(every_epoch)

    @staticmethod
    def _epochs_from(epoch: int, every_epoch: bool) -> Iterator[int]:
        epochs = range(1, MAX_T + 1) if every_epoch else (*RUNG_LEVELS, MAX_T)
        return (e for e in epochs if e > epoch)


class StockWorker(Worker):
    """The same for Syne Tune's ASHA, which is filled directly: its own calls would take hours."""

    def fill(self, num_trials: int, every_epoch: bool) -> None:
        """Stores values where ``on_trial_result`` would store them: in the lowest rung, and in the searcher."""
        _, lowest = self.scheduler.brackets[0].rungs[-1]
        config = {"lr": 0.1, "weight_decay": 1e-3, "batch_size": 64, "optimizer": "sgd"}
        while self.num_trials < num_trials:
            loss = self._random.random() + 1
            lowest[self.num_trials] = {"loss": loss}
            self.scheduler.searcher.on_trial_result(self.num_trials, config, metric=loss)
            self.num_trials += 1


def measure(name: str, sizes: Sequence[int]) -> list[tuple[int, SchedulerCosts, float]]:
    """Costs of a scheduler at each size, and its memory in MiB."""
    # Syne Tune's ASHA warns about an argument that it passes itself.
    logging.getLogger("syne_tune").setLevel(logging.ERROR)
    subject = SUBJECTS[name]
    stock = subject.module.startswith("syne_tune")
    worker_class: Callable[[Any, int], Worker] = StockWorker if stock else Worker
    process = psutil.Process()
    rows = []
    worker, rss_before = _fresh(subject, worker_class, max(sizes), process)
    for size in sorted(sizes):
        # Stock reports take up to 0.4 s: fewer of them are enough.
        window = min(size // 2, MAX_WINDOW if not stock else max(20, 200_000 // size))
        costs = SchedulerCosts()
        for repetition in range(max(1, MIN_TIMED_TRIALS // window) if size < MIN_TIMED_TRIALS else 1):
            if repetition > 0:
                worker, rss_before = _fresh(subject, worker_class, max(sizes), process)
            worker.fill(size - window, subject.every_epoch)
            while worker.num_trials < size:
                worker.run_one(every_epoch=True, costs=costs)
        gc.collect()
        rows.append((size, costs, (process.memory_info().rss - rss_before) / 2**20))
    return rows


def _fresh(subject: Subject, worker_class: Callable[[Any, int], Worker], max_size: int, process: Any) -> Any:
    worker = worker_class(subject.make(), max_size)
    gc.collect()
    return worker, process.memory_info().rss


def print_table(name: str, rows: list[tuple[int, SchedulerCosts, float]]) -> None:
    """One line for each size, and the growth of the medians from the second size on."""
    print(f"\n{name}\n{'':>10}{'suggest µs':>22}{'rung report µs':>22}{'other report µs':>22}{'memory':>12}")
    print(f"{'trials':>10}" + f"{'median':>12}{'p99':>10}" * 3 + f"{'MiB':>12}")
    for size, costs, mebibytes in rows:
        cells = ""
        for seconds in (costs.suggest_s, costs.rung_report_s, costs.other_report_s):
            median, p99 = np.quantile(seconds, [0.5, 0.99]) * 1e6 if seconds else (np.nan, np.nan)
            cells += f"{median:>12.1f}{p99:>10.1f}"
        print(f"{size:>10,}{cells}{mebibytes:>12.1f}", flush=True)
    if len(rows) > 2:
        (first, first_costs, _), (last, last_costs, _) = rows[1], rows[-1]
        growth = [
            f"{what} {np.median(getattr(last_costs, key)) / np.median(getattr(first_costs, key)):.2f}"
            for what, key in (("suggest", "suggest_s"), ("rung report", "rung_report_s"))
        ]
        print(f"growth of the medians from {first:,} to {last:,} trials: {', '.join(growth)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of trials, each at least 40")
    parser.add_argument("--schedulers", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    arguments = parser.parse_args()
    started = time.perf_counter()
    # A process for each scheduler, so that memory freed by one is not taken for memory that the next does not need.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name in arguments.schedulers:
            subject = SUBJECTS[name]
            sizes = [size for size in arguments.sizes if size <= subject.max_size]
            print_table(name, pool.apply(measure, (name, sizes)))
    print(f"\n{time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
