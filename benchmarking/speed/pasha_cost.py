"""Cost of a report of PASHA in the most expensive case: the cap stays low, so that most pairs of trials are compared.

    python benchmarking/speed/pasha_cost.py
    python benchmarking/speed/pasha_cost.py --sizes 100 1000

One worker, reduction factor 3. The curves have the same ranking at epochs 1 and 3, and a random one at epoch 2. So
pairs of curves cross back and forth, up to (n / 3)^2 / 2 of them determine epsilon, and the cap stays at 3. Reports are
timed over the last trials before each size. ``scheduler_cost.py`` has the usual case, in which the cap moves.
"""

from __future__ import annotations

import argparse
import random
import time
from datetime import datetime

import numpy as np
import psutil
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import uniform
from syne_tune.optimizer.scheduler import SchedulerDecision

from syne_hypersched.schedulers import PASHA

MAX_TIMED_TRIALS = 1_000


class PashaWorker:
    """Runs the trials that a scheduler suggests, one after the other, and times its reports by epoch."""

    def __init__(self, scheduler: PASHA) -> None:
        self.scheduler = scheduler
        self.trials: list[Trial] = []
        self.report_s: dict[int, list[float]] = {}
        self._random = random.Random(0)
        self._epochs: list[int] = []

    def run_one(self) -> None:
        """Starts or resumes a trial and lets it report until it is paused."""
        suggestion = self.scheduler.suggest()
        if suggestion.spawn_new_trial_id:
            trial = Trial(len(self.trials), suggestion.config, datetime.min)
            self.trials.append(trial)
            self._epochs.append(0)
            self.scheduler.on_trial_add(trial=trial)
        else:
            trial = self.trials[suggestion.checkpoint_trial_id]
        decision = SchedulerDecision.CONTINUE
        while decision == SchedulerDecision.CONTINUE:
            epoch = self._epochs[trial.trial_id] = self._epochs[trial.trial_id] + 1
            loss = trial.config["x"] + (self._random.gauss(0, 0.1) if epoch == 2 else 0.0)
            started = time.perf_counter()
            decision = self.scheduler.on_trial_result(trial=trial, result={"loss": loss, "epoch": epoch})
            self.report_s.setdefault(epoch, []).append(time.perf_counter() - started)
        self.scheduler.on_trial_remove(trial=trial)


def milliseconds(seconds: list[float], q: float) -> str:
    """A quantile, in milliseconds."""
    return f"{1000 * float(np.quantile(seconds, q)):.3f}"


def main() -> None:
    """Prints one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000], help="numbers of trials")
    arguments = parser.parse_args()
    print("milliseconds a report, median / p99 (all reports: median, and by epoch)")
    print(f"{'trials':>8}{'pairs':>12}{'exact':>7}{'all':>9}{'epoch 1':>18}{'epoch 2':>18}{'epoch 3':>18}{'MiB':>7}")
    for size in arguments.sizes:
        before = psutil.Process().memory_info().rss
        scheduler = PASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t=81, random_seed=0)
        worker = PashaWorker(scheduler)
        while len(worker.trials) < size - min(MAX_TIMED_TRIALS, size // 2):
            worker.run_one()
        worker.report_s.clear()
        while len(worker.trials) < size:
            worker.run_one()
        automatic = scheduler._bracket._automatic
        every = [cost for costs in worker.report_s.values() for cost in costs]
        by_epoch = [
            f"{milliseconds(worker.report_s[e], 0.5)} / {milliseconds(worker.report_s[e], 0.99)}" for e in (1, 2, 3)
        ]
        memory = (psutil.Process().memory_info().rss - before) / 2**20
        print(
            f"{size:>8}{automatic.num_pairs:>12}{automatic.is_exact!s:>7}{milliseconds(every, 0.5):>9}"
            + "".join(f"{cell:>18}" for cell in by_epoch)
            + f"{memory:>7.0f}",
            flush=True,
        )
        if scheduler.current_max_t != 3:
            raise RuntimeError(f"the cap was to stay at 3, but is {scheduler.current_max_t}")


if __name__ == "__main__":
    main()
