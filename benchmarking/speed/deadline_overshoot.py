"""Time between the deadline and the end of the last trial process, over many runs of the stock ``Tuner``.

A small script runs in four trials at a time until the deadline. In half of the runs it exits on SIGTERM, in the other
half it ignores it. The processes are watched from outside, by their pids, independently of the backend.

    python benchmarking/speed/deadline_overshoot.py [--runs 20] [--deadline 3] [--grace 1] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from syne_tune import Tuner
from syne_tune.config_space import uniform

from syne_hypersched import ASHA, Deadline, ElasticLocalBackend

SCRIPT = """
import argparse, os, signal, time
from syne_tune import Reporter
if {ignore!r}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(os.path.join({pids!r}, str(os.getpid())), "w").close()
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--st_checkpoint_dir")
arguments = parser.parse_args()
report = Reporter()
for epoch in range(1, 10_001):
    time.sleep(0.1)
    report(epoch=epoch, loss=arguments.x / epoch)
"""


class Watch(threading.Thread):
    """Records when the last process of the script was seen alive (monotonic seconds)."""

    def __init__(self, pids: Path) -> None:
        super().__init__(daemon=True)
        self.pids = pids
        self.last_seen = 0.0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.003):
            if any(_lives(int(name)) for name in os.listdir(self.pids)):
                self.last_seen = time.monotonic()


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def overshoot_s(folder: Path, ignore: bool, deadline_s: float, grace_s: float, seed: int) -> float:
    """Seconds from the deadline to the end of the last process (negative: it ended before)."""
    pids = folder / "pids"
    pids.mkdir(parents=True)
    script = folder / "train.py"
    script.write_text(SCRIPT.format(ignore=ignore, pids=str(pids)))
    os.environ["SYNETUNE_FOLDER"] = str(folder)
    backend = ElasticLocalBackend(script, num_devices=4, device_type="cpu", grace_s=grace_s)
    scheduler = ASHA({"x": uniform(0, 1)}, metric="loss", time_attr="epoch", max_t=10_000, random_seed=seed)
    watch = Watch(pids)
    with contextlib.redirect_stdout(io.StringIO()):
        tuner = Tuner(backend, scheduler, Deadline(deadline_s, backend), n_workers=4, sleep_time=0.1, save_tuner=False)
        watch.start()
        started = time.monotonic()
        tuner.run()
    watch.ended.set()
    watch.join()
    if psutil.Process().children(recursive=True):
        raise RuntimeError(f"processes were left behind: {psutil.Process().children(recursive=True)}")
    return watch.last_seen - (started + deadline_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="runs of each kind")
    parser.add_argument("--deadline", type=float, default=3.0, help="seconds")
    parser.add_argument("--grace", type=float, default=1.0, help="seconds from SIGTERM to SIGKILL")
    parser.add_argument("--output", type=Path, help="also write all values to this JSON file")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"seconds from the deadline ({arguments.deadline} s) to the end of the last process, {arguments.runs} runs")
    print(f"{'script':<20}{'median':>10}{'p95':>10}{'max':>10}")
    measured = {}
    for label, ignore in (("honours SIGTERM", False), ("ignores SIGTERM", True)):
        values = []
        for seed in range(arguments.runs):
            with tempfile.TemporaryDirectory() as name:
                values.append(overshoot_s(Path(name), ignore, arguments.deadline, arguments.grace, seed))
        median, p95 = np.percentile(values, [50, 95])
        print(f"{label:<20}{median:>10.3f}{p95:>10.3f}{max(values):>10.3f}", flush=True)
        measured[label] = values
    if arguments.output:
        arguments.output.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
