"""Ends a sharded training (FSDP) by SIGTERM again and again, and counts the checkpoints that seem torn.

    python benchmarking/faults/sharded_drains.py --drains 60

A small transformer whose shards are divided among one or two CPU slots is resized at random moments, which relaunches
it. All processes write a checkpoint of shards together. The program prints how many launches on SIGTERM left a folder
that was not known to be whole, and how many began from an older checkpoint. No report may be missing or come twice.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from syne_hypersched import ElasticLocalBackend
from syne_hypersched.experiments import read_events

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "training_scripts" / "transformer_lm.py"
CONFIG = {"epochs": 1_000_000, "num_characters": 20_000, "width": 16, "context": 16, "shard": 1}
_PATIENCE_S = 600.0


@dataclass
class Drains:
    """What has become of the launches."""

    ends: Counter[str] = field(default_factory=Counter)
    """How launches have ended."""
    num_torn: int = 0
    """Launches on SIGTERM whose folder was not known to be whole at their end."""
    num_restored: int = 0
    """Launches that began from an older checkpoint."""
    wrong: list[str] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)


def run(folder: Path, num_drains: int, seed: int) -> Drains:
    """Resizes a trial a number of times, in random epochs."""
    generator, found = random.Random(seed), Drains()
    backend = ElasticLocalBackend(SCRIPT, 2, device_type="cpu", time_attr="epoch", grace_s=30.0)
    backend.set_path(str(folder / "run"))
    trial = backend.start_trial(dict(CONFIG))
    log = folder / "run" / "events.jsonl"

    def poll() -> None:
        statuses, reports = backend.fetch_status_results([trial.trial_id])
        found.epochs += [report["epoch"] for _, report in reports]
        if (status := statuses[trial.trial_id][1]) != "InProgress":
            raise RuntimeError(f"the trial is {status}")

    def poll_until_report(number: int) -> None:
        give_up_at = time.monotonic() + _PATIENCE_S
        while len(found.epochs) < number:
            poll()
            if time.monotonic() > give_up_at:
                raise RuntimeError("the trial hangs")
            time.sleep(0.01)

    try:
        for _ in range(num_drains):
            poll_until_report(len(found.epochs) + generator.choice((1, 2, 3)))
            time.sleep(generator.random() * 0.3)
            trial.resize(3 - trial.num_devices)
        poll_until_report(len(found.epochs) + 1)
    except RuntimeError as error:
        found.wrong.append(str(error))
    finally:
        backend.stop_all()
    events = read_events(log)
    for event in events:
        if event.event == "exit":
            found.ends[event.details["how"]] += 1
            found.num_torn += event.details.get("checkpoint") == "torn"
        found.num_restored += event.event == "restore"
    if found.epochs != list(range(1, len(found.epochs) + 1)):
        found.wrong.append(f"epochs {found.epochs}")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drains", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        found = run(Path(folder), args.drains, args.seed)
    ends = ", ".join(f"{count} {how}" for how, count in sorted(found.ends.items()))
    print(f"{sum(found.ends.values())} launches in {time.monotonic() - started:.0f} s: {ends}")
    print(f"judged torn: {found.num_torn}; begun from an older checkpoint: {found.num_restored}")
    print(f"{len(found.epochs)} reports; wrong:", "; ".join(found.wrong) or "nothing")
    sys.exit(bool(found.wrong))


if __name__ == "__main__":
    main()
