"""Two thousand short trials in one experiment: what remains of them in the tuner's process.

    python benchmarking/faults/soak.py                 # some minutes on two cores
    python benchmarking/faults/soak.py --trials 200

A fast script (no PyTorch) runs under the stock tuner with ``ElasticLocalBackend``, ASHA and a journal. One trial in
three writes its checkpoints aside, one in place after the report, and one writes none. After each tenth of the trials,
the table shows: resident memory of the tuner's process, its open files, its zombies (children that were not waited
for), all processes below it, and the median of the last thousand polls. So growth with the number of trials is visible.

Almost everything that remains of an ended trial belongs to Syne Tune: a row of its table of trials and the statistics
of each metric, a row for every report, which is stored in ``results.csv`` repeatedly, the last report, and the trial
itself.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform
from syne_tune.tuner_callback import TunerCallback

from syne_hypersched import ASHA, ElasticLocalBackend, Journal
from syne_hypersched.experiments import QuietTunerLogger

SCRIPT = """
import argparse
import json
import os
import time

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--st_checkpoint_dir")
args = parser.parse_args()
way = ("aside", "plain", "none")[int(1000 * args.x) % 3]
path = os.path.join(args.st_checkpoint_dir, "epoch.json")
os.makedirs(args.st_checkpoint_dir, exist_ok=True)


def save(epoch):
    with open(path if way == "plain" else path + ".new", "w") as file:
        json.dump(epoch, file)
    if way == "aside":
        os.replace(path + ".new", path)


for epoch in range(1, 4):
    if way == "aside":
        save(epoch)
    report = {"epoch": epoch, "loss": args.x + 1 / epoch, "st_worker_timestamp": time.time()}
    print("[tune-metric]: " + json.dumps(report), flush=True)
    if way == "plain":
        save(epoch)
"""


class Watcher(TunerCallback):
    """Prints a line of the table after every few trials, and times the polls of the backend."""

    def __init__(self, backend: ElasticLocalBackend, every: int) -> None:
        self._every = every
        self._next = every
        self._poll_s: deque[float] = deque(maxlen=1000)
        self.rows: list[tuple[int, float]] = []
        poll = backend.fetch_status_results

        def timed(trial_ids: list[int]) -> Any:
            started = time.perf_counter()
            try:
                return poll(trial_ids)
            finally:
                self._poll_s.append(time.perf_counter() - started)

        self._backend = backend
        backend.fetch_status_results = timed

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_loop_end(self) -> None:
        """Measures the process in every iteration of the tuner's loop."""
        num_trials = len(self._backend.trial_ids)
        if num_trials < self._next:
            return
        self._next += self._every
        me = psutil.Process()
        children = me.children(recursive=True)
        zombies = sum(_is_zombie(child) for child in children)
        memory, poll_ms = me.memory_info().rss / 2**20, 1e3 * statistics.median(self._poll_s)
        self.rows.append((num_trials, memory))
        print(
            f"{num_trials:>8}{memory:>12.1f}{me.num_fds():>8}{zombies:>9}{len(children):>11}{poll_ms:>12.2f}",
            file=sys.__stdout__,
            flush=True,
        )


def _is_zombie(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return False


def soak(num_trials: int, folder: Path) -> list[tuple[int, float]]:
    """Runs a number of trials; returns the number of trials and the memory (MB) in each row of the table."""
    script = folder / "train.py"
    script.write_text(SCRIPT)
    os.environ["SYNETUNE_FOLDER"] = str(folder / "experiments")
    backend = ElasticLocalBackend(script, num_devices=8, device_type="cpu", processes="single", time_attr="epoch")
    watcher = Watcher(backend, max(1, num_trials // 10))
    tuner = Tuner(
        trial_backend=backend,
        scheduler=ASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t=3, random_seed=0),
        stop_criterion=StoppingCriterion(max_num_trials_finished=num_trials),
        n_workers=8,
        sleep_time=0.01,
        results_update_interval=1.0,  # what pandas loads when it first stores results is in all rows of the table then
        save_tuner=False,
        tuner_name="soak",
        callbacks=[Journal(), watcher],
        output_logger=QuietTunerLogger(),
    )
    started = time.monotonic()
    # Syne Tune ends with a table of all trials, which would fill the screen and must not fill the memory.
    with open(os.devnull, "w", encoding="utf-8") as nothing, contextlib.redirect_stdout(nothing):
        tuner.run()
    print(f"{len(backend.trial_ids)} trials in {time.monotonic() - started:.0f} s")
    return watcher.rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    args = parser.parse_args(arguments)
    print(f"{'trials':>8}{'memory MB':>12}{'files':>8}{'zombies':>9}{'processes':>11}{'poll ms':>12}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = soak(args.trials, Path(folder))
    (few, before), (many, after) = rows[0], rows[-1]
    print(f"from {few} to {many} trials memory grows by {after - before:.1f} MB")


if __name__ == "__main__":
    main()
