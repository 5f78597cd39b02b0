"""Cost of a journal for the tuner: a snapshot after many trials, an entry for each report, a sync in each loop.

A snapshot is written by a fork. ``tuner waits`` is the time that the tuner's loop waits for it, ``fork takes`` the time
until it is on the disk. ``replay`` is the time in which a resume without a snapshot repeats all calls.

    python benchmarking/speed/snapshot_cost.py [--trials 10000] [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from syne_tune.config_space import choice, loguniform, randint, uniform

from syne_hypersched import ASHA, PASHA, HyperSched
from syne_hypersched._disk import Disk
from syne_hypersched.filenames import SNAPSHOT_FILENAME
from syne_hypersched.records.segments import Entry, SegmentWriter, read_segments
from syne_hypersched.recovery._background import BackgroundSnapshots
from syne_hypersched.recovery._journaled import JournaledScheduler
from syne_hypersched.recovery._replay import replay
from syne_hypersched.recovery._replay_state import ReplayState
from syne_hypersched.recovery._ticks import Ticks
from syne_hypersched.testing.scheduler_contract import TuningLoop

SPACE = {"x": uniform(0, 1), "n": randint(0, 9), "kind": choice(["a", "b"]), "rate": loguniform(1e-6, 1)}
MAX_T = 81
NUM_WORKERS = 100

SCHEDULERS: dict[str, Callable[[], Any]] = {
    "ASHA": lambda: ASHA(SPACE, "loss", "epoch", MAX_T, type="promotion", random_seed=0),
    "PASHA": lambda: PASHA(SPACE, "loss", "epoch", MAX_T, random_seed=0),
    "published": lambda: HyperSched(
        SPACE, "loss", "epoch", MAX_T, num_devices=NUM_WORKERS, deadline_s=1e9, strategy="published", random_seed=0
    ),
    "adaptive": lambda: HyperSched(
        SPACE, "loss", "epoch", MAX_T, num_devices=NUM_WORKERS, deadline_s=1e9, strategy="adaptive", random_seed=0
    ),
}  # fmt: skip


def measure(name: str, num_trials: int, repeats: int, folder: Path) -> dict[str, float]:
    """Figures of one scheduler, times in milliseconds, sizes in megabytes."""
    disk = Disk()
    scheduler, ticks, loop = SCHEDULERS[name](), Ticks(), TuningLoop("loss", "epoch", NUM_WORKERS, MAX_T)
    writer = SegmentWriter(str(folder), 0, {}, 0, disk)
    spent = [0.0]

    def record(entry: Entry) -> None:
        begun = time.perf_counter()
        writer.append(entry | {"status": "InProgress"})
        spent[0] += time.perf_counter() - begun

    journaled, syncs_ms = JournaledScheduler(scheduler, ticks, record), []
    ticks.drive(scheduler)
    ticks.start(0.0)
    while len(loop.trials) < num_trials:
        loop.run(journaled, 1)
        begun = time.perf_counter()
        writer.sync()
        syncs_ms.append(1e3 * (time.perf_counter() - begun))
    writer.close()
    entries = read_segments(str(folder), disk).entries
    waits_ms, takes_ms = [], []
    snapshots = BackgroundSnapshots(str(folder), 1e-6, disk)
    for _ in range(repeats):
        begun = time.perf_counter()
        snapshots.take(len(entries), scheduler)
        waits_ms.append(1e3 * (time.perf_counter() - begun))
        while not snapshots.has_ended():
            time.sleep(0.001)
        takes_ms.append(1e3 * (time.perf_counter() - begun))
    begun = time.perf_counter()
    replay(entries, SCHEDULERS[name](), Ticks(), ReplayState())
    return {
        "tuner waits (ms)": statistics.median(waits_ms),
        "at most (ms)": max(waits_ms),
        "fork takes (ms)": statistics.median(takes_ms),
        "snapshot (MB)": (folder / SNAPSHOT_FILENAME).stat().st_size / 1e6,
        "entries": len(entries),
        "entry (ms)": 1e3 * spent[0] / len(entries),
        "sync (ms)": statistics.median(syncs_ms),
        "replay (ms)": 1e3 * (time.perf_counter() - begun),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000, help="trials of each scheduler (default 10,000)")
    parser.add_argument("--repeats", type=int, default=5, help="snapshots of each scheduler (default 5)")
    options = parser.parse_args(arguments)
    for name in SCHEDULERS:
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(name, options.trials, options.repeats, Path(folder))
        print(f"{name:12s}" + ", ".join(f"{what} {value:.3g}" for what, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
