"""Cost of one report and one suggestion of HyperSched by number of known trials, for both strategies.

    python benchmarking/speed/decision_cost.py                            # everything; some minutes
    python benchmarking/speed/decision_cost.py --sizes 100 1000 --strategies adaptive --num-devices 8

Trials with random learning curves run in virtual time, one on each device, until the given number of trials has been
started. The last of them are timed: the scheduler is *exploring*. Then the time is set to shortly before the deadline,
so that admission *closes* at the next call, and everything is timed until the deadline: trials are *resized*. The time
of a report includes its decision (a request to a backend that does nothing, and a record of the reason), and
``on_trial_remove`` if it ends the trial. Epoch times, devices and launch costs are reported as by an elastic backend,
so scaling and launch costs are learnt. ``explain`` is the time of ``explain().to_dict()``.

Seconds are CPU seconds of this thread: they exclude other work of the machine, but include garbage collection.
Configurations are drawn at random: ``searcher_cost.py`` measures the default searcher and others.
"""

from __future__ import annotations

import argparse
import heapq
import json
import logging
import platform
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice, loguniform
from syne_tune.constants import ST_WORKER_TIME
from syne_tune.optimizer.scheduler import SchedulerDecision

from syne_hypersched import HyperSched
from syne_hypersched.allocation.scaling import PUBLISHED_SCALING, TableScaling
from syne_hypersched.contract import ST_LAUNCH, ST_NUM_DEVICES, ST_SIGNAL_TO_REPORT_S

CONFIG_SPACE = {
    "lr": loguniform(1e-4, 1),
    "weight_decay": loguniform(1e-6, 1e-2),
    "optimizer": choice(["sgd", "adam", "adamw"]),
}
SIZES = (100, 1_000, 10_000, 100_000)
STRATEGIES = ("published", "adaptive")
MAX_T = 243
DEADLINE_S = 1e7
LAUNCH_S = 0.05
MAX_WINDOW = 2_000
"""Number of trials before a size that are timed."""
NUM_EXPLANATIONS = 100
GOAL_S, GOAL_SIZE = 1e-3, 10_000
"""Goal for the cost of a report with this number of known trials."""
SCALING = TableScaling(PUBLISHED_SCALING["resnet50"])


class SimpleTrial(Trial):
    """A trial that can be resized, as a scheduler sees it, without a backend."""

    num_devices = 1
    launch = -1
    worker_time_s = 0.0
    epoch = 0
    first_of_launch = True

    def resize(self, num_devices: int) -> None:
        self.num_devices = num_devices

    def follow(self, time_attr: str) -> None:
        pass

    def publish(self, result: Mapping[str, Any]) -> None:
        pass

    def note(self, what: str, reason: str, numbers: Mapping[str, float]) -> None:
        pass


@dataclass
class HyperSchedCosts:
    """Seconds of every call timed."""

    exploring_report_s: list[float] = field(default_factory=list)
    exploring_suggest_s: list[float] = field(default_factory=list)
    closing_s: list[float] = field(default_factory=list)
    last_report_s: list[float] = field(default_factory=list)
    explain_s: list[float] = field(default_factory=list)
    num_resizes: int = 0


class Tuning:
    """The tuner and an elastic backend in virtual time, which execute HyperSched's decisions."""

    def __init__(self, strategy: str, num_devices: int) -> None:
        self.now_s = 0.0
        self.trials: list[SimpleTrial] = []
        self.scheduler = HyperSched(
            CONFIG_SPACE, "loss", "epoch", MAX_T, num_devices, DEADLINE_S,
            clock=lambda: self.now_s, strategy=strategy, searcher="random_search", random_seed=0,
        )  # fmt: skip
        self.num_devices = num_devices
        self.exhausted = False
        self._random = random.Random(0)
        self._quality: list[tuple[float, float]] = []
        #: Time of the next report of each running trial.
        self._next: list[tuple[float, int]] = []

    @property
    def is_over(self) -> bool:
        """Whether no trial runs, or the deadline has passed."""
        return not self._next or self.now_s > DEADLINE_S

    def fill_devices(self, seconds: list[float] | None = None) -> None:
        """Starts and resumes the trials that the scheduler suggests, at most one for each device."""
        while not self.exhausted and len(self._next) < self.num_devices:
            started = time.thread_time()
            suggestion = self.scheduler.suggest()
            if seconds is not None:
                seconds.append(time.thread_time() - started)
            if suggestion is None:
                self.exhausted = True
                return
            if suggestion.spawn_new_trial_id:
                trial = SimpleTrial(len(self.trials), suggestion.config, datetime.min)
                self.trials.append(trial)
                self._quality.append((self._random.random(), self._random.uniform(0.5, 2.0)))
                self.scheduler.on_trial_add(trial=trial)
            else:
                trial = self.trials[suggestion.checkpoint_trial_id]
            trial.num_devices = 1
            self._launch(trial)

    def report(self) -> float:
        """Processes the next report and its decision; returns the seconds that this took."""
        self.now_s, trial_id = heapq.heappop(self._next)
        trial = self.trials[trial_id]
        trial.epoch += 1
        quality, epoch_s = self._quality[trial_id]
        num_devices, is_first = trial.num_devices, trial.first_of_launch
        trial.worker_time_s += epoch_s / SCALING.speed_up(num_devices)
        result = {
            "loss": quality + 1 / trial.epoch + self._random.gauss(0, 0.02),
            "epoch": trial.epoch,
            ST_WORKER_TIME: trial.worker_time_s,
            ST_NUM_DEVICES: num_devices,
            ST_LAUNCH: trial.launch,
        }
        if is_first:
            result[ST_SIGNAL_TO_REPORT_S] = LAUNCH_S + epoch_s / SCALING.speed_up(num_devices)
            trial.first_of_launch = False
        started = time.thread_time()
        decision = self.scheduler.on_trial_result(trial=trial, result=result)
        if decision != SchedulerDecision.CONTINUE:
            self.scheduler.on_trial_remove(trial=trial)
        seconds = time.thread_time() - started
        if decision == SchedulerDecision.CONTINUE and trial.num_devices != num_devices:
            self._launch(trial)
        elif decision == SchedulerDecision.CONTINUE:
            self._wait_for_epoch(trial, 0.0)
        return seconds

    def go_to(self, time_s: float) -> None:
        """Sets a later time; pending reports come after it with the same delay as they would have come after now."""
        passed_s = time_s - self.now_s
        self.now_s = time_s
        self._next = [(moment_s + passed_s, trial_id) for moment_s, trial_id in self._next]

    def _launch(self, trial: SimpleTrial) -> None:
        trial.launch += 1
        trial.first_of_launch = True
        self._wait_for_epoch(trial, LAUNCH_S)

    def _wait_for_epoch(self, trial: SimpleTrial, launch_s: float) -> None:
        epoch_s = self._quality[trial.trial_id][1] / SCALING.speed_up(trial.num_devices)
        heapq.heappush(self._next, (self.now_s + launch_s + epoch_s, trial.trial_id))


def measure(strategy: str, size: int, num_devices: int) -> HyperSchedCosts:
    """Costs with ``size`` trials known."""
    costs, tuning = HyperSchedCosts(), Tuning(strategy, num_devices)
    tuning.fill_devices()
    window_from = size - min(size // 2, MAX_WINDOW)
    while len(tuning.trials) < size:
        seconds = tuning.report()
        timed = len(tuning.trials) >= window_from
        if timed:
            costs.exploring_report_s.append(seconds)
        tuning.fill_devices(costs.exploring_suggest_s if timed else None)
    # The last stretch of the adaptive strategy and the time that a new trial needs by the published rules are both
    # longer than a tenth of a full run here.
    tuning.go_to(DEADLINE_S - 0.1 * MAX_T)
    while not tuning.is_over:
        was_open = tuning.scheduler.admission_open
        seconds = tuning.report()
        closes = was_open and not tuning.scheduler.admission_open
        (costs.closing_s if closes else costs.last_report_s).append(seconds)
        tuning.fill_devices()
    costs.num_resizes = sum(decision.what == "resize" for decision in tuning.scheduler.decisions)
    for _ in range(NUM_EXPLANATIONS):
        started = time.thread_time()
        tuning.scheduler.explain().to_dict()
        costs.explain_s.append(time.thread_time() - started)
    return costs


def summarise(costs: HyperSchedCosts) -> dict[str, Any]:
    """Median, 99th percentile and maximum of each kind of call, in seconds, and the number of calls."""
    rows: dict[str, Any] = {"num_resizes": costs.num_resizes}
    for name, seconds in vars(costs).items():
        if isinstance(seconds, list) and seconds:
            median_s, p99_s = np.quantile(seconds, [0.5, 0.99])
            rows[name] = {"calls": len(seconds), "median_s": median_s, "p99_s": p99_s, "max_s": max(seconds)}
    return rows


def describe(strategy: str, num_devices: int, size: int, summary: Mapping[str, Any]) -> str:
    """The summary as lines of text, in microseconds."""
    lines = [f"{strategy}, {num_devices} devices, {size:,} trials known, {summary['num_resizes']} resizes"]
    for name, row in summary.items():
        if name == "num_resizes":
            continue
        label = name.removesuffix("_s").replace("_", " ")
        cells = "".join(f"{1e6 * row[key]:>12.1f}" for key in ("median_s", "p99_s", "max_s"))
        lines.append(f"  {label:<18}{row['calls']:>8}{cells}")
    return "\n".join(lines)


def meets_goal(summary: Mapping[str, Any]) -> bool:
    """Whether the 99th percentiles of reports, and the report that closes admission, are within the goal."""
    reports = [summary[name]["p99_s"] for name in ("exploring_report_s", "last_report_s") if name in summary]
    return max(*reports, summary.get("closing_s", {"max_s": 0.0})["max_s"]) <= GOAL_S


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of trials, each at least 40")
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=STRATEGIES)
    parser.add_argument("--num-devices", type=int, nargs="+", default=(8, 128))
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    options = parser.parse_args(arguments)
    logging.getLogger("syne_tune").setLevel(logging.ERROR)
    rows = []
    print(
        f"microseconds on Python {platform.python_version()}\n{'':20}{'calls':>8}{'median':>12}{'p99':>12}{'max':>12}"
    )
    for strategy in options.strategies:
        for num_devices in options.num_devices:
            # With fewer trials than devices, all trials would start before the first report.
            for size in (size for size in options.sizes if size >= 2 * num_devices):
                summary = summarise(measure(strategy, size, num_devices))
                rows.append({"strategy": strategy, "num_devices": num_devices, "size": size, **summary})
                print(describe(strategy, num_devices, size, summary), flush=True)
                if size == GOAL_SIZE:
                    print(f"  goal of {1e3 * GOAL_S:g} ms a report: {'met' if meets_goal(summary) else 'MISSED'}")
    if options.output is not None:
        options.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
