"""Cost of a resume for a searcher whose snapshots cannot be used: the replay of the whole journal.

Searchers that keep models of other libraries (``bore``, ``cqr``) must suggest every configuration again, and fit their
models as often as before. This takes as long as in the tuner so far; both times are printed.

    python benchmarking/speed/replay_cost.py [--trials 200]
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from typing import Any

from syne_tune.config_space import choice, loguniform, randint, uniform
from syne_tune.optimizer.schedulers.searchers.searcher_factory import searchers

from syne_hypersched import ASHA
from syne_hypersched.records.segments import Entry, as_json
from syne_hypersched.recovery._journaled import JournaledScheduler
from syne_hypersched.recovery._replay import replay
from syne_hypersched.recovery._replay_state import ReplayState
from syne_hypersched.recovery._snapshot import Snapshot, UnusableSnapshotError, dump_snapshot, load_snapshot
from syne_hypersched.recovery._ticks import Ticks
from syne_hypersched.testing.scheduler_contract import TuningLoop

SPACE = {"x": uniform(0, 1), "n": randint(0, 9), "kind": choice(["a", "b"]), "rate": loguniform(1e-6, 1)}
MAX_T = 27
NUM_WORKERS = 4


def make_scheduler(searcher: str) -> Any:
    """ASHA with a searcher; the same decisions every time."""
    return ASHA(SPACE, "loss", "epoch", MAX_T, searcher=searcher, random_seed=0)


def measure(searcher: str, num_trials: int) -> dict[str, object]:
    """Figures of one searcher: times in seconds, and whether a resume can do with its snapshot."""
    scheduler, ticks, loop = make_scheduler(searcher), Ticks(), TuningLoop("loss", "epoch", NUM_WORKERS, MAX_T)
    entries: list[Entry] = []
    ticks.start(0.0)
    journaled = JournaledScheduler(scheduler, ticks, lambda entry: entries.append(as_json(entry)))
    begun = time.perf_counter()
    while len(loop.trials) < num_trials:
        loop.run(journaled, 1)
    spent_s = time.perf_counter() - begun
    begun = time.perf_counter()
    replay([entry | {"status": "InProgress"} for entry in entries], make_scheduler(searcher), Ticks(), ReplayState())
    replay_s = time.perf_counter() - begun
    return {
        "entries": len(entries),
        "tuner (s)": f"{spent_s:.1f}",
        "replay (s)": f"{replay_s:.1f}",
        "snapshot": "usable" if is_usable(scheduler) else "not usable",
    }


def is_usable(scheduler: Any) -> bool:
    """Whether a snapshot of the scheduler can be taken and loaded."""
    try:
        written = dump_snapshot(Snapshot(0, scheduler))
    except Exception:  # whatever an object says that cannot be pickled
        return False
    try:
        load_snapshot(written)
    except UnusableSnapshotError:
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200, help="trials with each searcher (default 200)")
    parser.add_argument("--searchers", nargs="+", default=list(searchers), help="searchers (default all)")
    options = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    for searcher in options.searchers:
        try:
            figures = measure(searcher, options.trials)
        except ImportError as error:
            print(f"{searcher:24s}not installed: {error}", flush=True)
            continue
        print(f"{searcher:24s}" + ", ".join(f"{what} {value}" for what, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
