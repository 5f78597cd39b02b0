"""Resizes trials at random while they train, and kills processes at random moments of it.

    python benchmarking/faults/joining_chaos.py --changes 300

Two trials share three CPU slots, and processes join and leave them. Between the resizes, new processes, old ones, their
supervisors and the server of all are killed, trials are paused and resumed, and devices are given back and taken again.
At the end every epoch must have been reported exactly once and in order, each epoch must have counted each sample once
(the script fails otherwise), no device may have had two owners, and no process may be left.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from syne_hypersched import ElasticLocalBackend
from syne_hypersched.contract import ST_NUM_DEVICES
from syne_hypersched.experiments import check_devices, read_events

SCRIPT = Path(__file__).with_name("joining_script.py")
NUM_TRIALS = 2
NUM_DEVICES = 3
_PATIENCE_S = 600.0


@dataclass
class JoiningOutcome:
    """What has happened."""

    events: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    num_reports: int = 0
    num_pools: int = 0
    """How often other devices were there."""


def run(folder: Path, num_changes: int, seed: int, kill_share: float = 0.3, pool_share: float = 0.2) -> JoiningOutcome:
    """Orders a number of resizes, and returns what has become of them."""
    generator, outcome = random.Random(seed), JoiningOutcome()
    backend = ElasticLocalBackend(
        SCRIPT, NUM_DEVICES, device_type="cpu", time_attr="epoch", grace_s=10.0, retries=10, retry_backoff_s=0.0,
        resize="auto",
    )  # fmt: skip
    backend.set_path(str(folder / "run"))
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    trials = [backend.start_trial({}) for _ in range(NUM_TRIALS)]
    epochs: dict[int, list[int]] = {trial.trial_id: [] for trial in trials}
    sizes: dict[int, list[tuple[int, int]]] = {trial.trial_id: [] for trial in trials}

    def poll() -> None:
        statuses, reports = backend.fetch_status_results([trial.trial_id for trial in trials])
        for trial_id, report in reports:
            epochs[trial_id].append(report["epoch"])
            sizes[trial_id].append((report["epoch"], report[ST_NUM_DEVICES]))
        for trial_id, (_, status) in statuses.items():
            if status not in ("InProgress", "Paused"):
                raise RuntimeError(f"trial {trial_id} is {status}")

    def poll_for(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            poll()
            time.sleep(0.01)

    def all_report() -> None:
        seen = {trial_id: len(reported) for trial_id, reported in epochs.items()}
        give_up_at = time.monotonic() + _PATIENCE_S
        while any(len(epochs[trial_id]) <= count for trial_id, count in seen.items()):
            poll()
            if time.monotonic() > give_up_at:
                stories = [backend._fleet.processes(trial.trial_id) for trial in trials]
                raise RuntimeError("\n".join(["a trial hangs", *(found.story() for found in stories if found)]))
            time.sleep(0.01)

    try:
        all_report()
        for trial in trials:
            # Otherwise the first kill on two devices would pass for a script that cannot run on two.
            trial.resize(2)
            while not any(size == 2 for _, size in sizes[trial.trial_id]):
                all_report()
            trial.resize(1)
        for number in range(num_changes):
            trial = generator.choice(trials)
            trial.resize(generator.choice([size for size in (1, 2) if size != trial.num_devices] or [1]))
            poll_for(generator.choice((0.0, 0.05, 0.3)) * generator.random())
            if generator.random() < pool_share:
                # Each trial must find a device: if one wants two, it is left to the backend which devices go.
                count = generator.choice((NUM_TRIALS, NUM_DEVICES))
                are_small = all(trial.num_devices == 1 for trial in trials)
                present = generator.sample(backend.devices.names, count) if are_small else count
                backend.set_devices_present(present, "a guest")
                outcome.num_pools += 1
                poll_for(0.2 * generator.random())
            if generator.random() < kill_share:
                outcome.kills[_kill(generator, before)] += 1
            elif generator.random() < 0.05:
                backend.pause_trial(trial.trial_id)
                poll_for(0.2 * generator.random())
                backend.resume_trial(trial.trial_id)
            if number % 3 == 2:
                all_report()
        all_report()
    except RuntimeError as error:
        outcome.wrong.append(str(error))
    finally:
        backend.stop_all()
    events = read_events(folder / "run" / "events.jsonl")
    outcome.events = Counter(event.event for event in events)
    outcome.wrong += [violation.message for violation in check_devices(events, backend.devices.names)]
    for trial_id, reported in epochs.items():
        outcome.num_reports += len(reported)
        if reported != list(range(1, len(reported) + 1)):
            outcome.wrong.append(f"trial {trial_id} has reported {reported}")
    left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    outcome.wrong += [f"{process} is left" for process in left if process.status() != psutil.STATUS_ZOMBIE]
    return outcome


def _kill(generator: random.Random, before: set[int]) -> str:
    """Kills one of the processes below this one; returns what it was."""
    own = [process for process in psutil.Process().children() if process.pid not in before]
    server = own[0] if own else None
    if server is None:
        return "nothing"
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        supervisors = server.children()
        ranks = [rank for supervisor in supervisors for rank in supervisor.children()]
        kind = generator.choices(("server", "supervisor", "rank"), (0.05, 0.15, 0.8))[0]
        found = {"server": [server], "supervisor": supervisors, "rank": ranks}[kind]
        if found:
            os.kill(generator.choice(found).pid, signal.SIGKILL)
            return kind
    return "nothing"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=float, default=0.3, help="share of the changes with a kill")
    parser.add_argument("--pools", type=float, default=0.2, help="share of the changes with which devices come or go")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        outcome = run(Path(folder), args.changes, args.seed, args.kills, args.pools)
    seconds = time.monotonic() - started
    print(f"{args.changes} resizes and {outcome.num_pools} pools in {seconds:.0f} s, {outcome.num_reports} reports")
    print("killed:", ", ".join(f"{count} x {kind}" for kind, count in sorted(outcome.kills.items())))
    print("events:", ", ".join(f"{count} x {name}" for name, count in sorted(outcome.events.items())))
    print("wrong:", "; ".join(outcome.wrong) or "nothing")
    sys.exit(bool(outcome.wrong))


if __name__ == "__main__":
    main()
