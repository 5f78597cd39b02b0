"""What it costs to watch a run: the tuner's wall time with and without a page that follows it, and a large run's page.

A real tuner with a simulated backend runs a scheduler as fast as it can, which is more than 64 trials a second: without
and with ``hypersched watch`` and a client that asks as often as the page does. The two alternate, so that other work on
the machine affects both. ``watch's CPU`` is the time that the watching process has used, by the wall time of the tuner:
the most that it can slow down a tuner on a machine with one core. The second table is about a run with 10,000 trials.

    python benchmarking/speed/watch_cost.py [--pairs 5] [--trials 10000] [--devices 256]
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from syne_tune import Tuner
from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback

from syne_hypersched import Deadline, ElasticSimulatorBackend, HyperSched
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.blackboxes import load_digits
from syne_hypersched.experiments import QuietTunerLogger
from syne_hypersched.experiments.page import RunReader, write_page
from syne_hypersched.filenames import EVENTS_FILENAME, JOURNAL_DIRNAME

#: The page asks so often while a run goes on.
ASKS_EVERY_S = 0.4


@dataclass
class Watching:
    """What a client that follows a run has seen."""

    answers: int = 0
    trials: set[int] = field(default_factory=set)
    cpu_s: float = 0.0


@contextlib.contextmanager
def watching(path: Path) -> Iterator[Watching]:
    """Runs ``hypersched watch`` and a client that asks as the page does."""
    seen, has_ended = Watching(), threading.Event()
    command = [sys.executable, "-m", "syne_hypersched.cli", "watch", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()

        def follow() -> None:
            since = generation = 0
            while True:
                url = f"{address}data?since={since}&generation={generation}"
                with urllib.request.urlopen(url) as answer:
                    content = answer.read()
                    is_zipped = answer.headers["Content-Encoding"] == "gzip"
                data = json.loads(gzip.decompress(content) if is_zipped else content)
                since, generation = data["seq"], data["generation"]
                seen.answers += 1
                seen.trials |= {trial["id"] for trial in data["trials"]}
                if has_ended.wait(ASKS_EVERY_S):
                    break

        client = threading.Thread(target=follow)
        watcher = psutil.Process(process.pid)
        begun_s = sum(watcher.cpu_times()[:2])
        client.start()
        try:
            yield seen
        finally:
            has_ended.set()
            client.join()
            seen.cpu_s = sum(watcher.cpu_times()[:2]) - begun_s
            process.terminate()


@dataclass(frozen=True)
class Tuning:
    """One tuning."""

    wall_s: float
    trials: int
    watching: Watching | None


def tune(seed: int, deadline_s: float, watched: bool) -> Tuning:
    """Runs a tuner on a table of learning curves, with a page that follows it or without one."""
    table = load_digits()
    backend = ElasticSimulatorBackend(table, elapsed_time_attr="elapsed_s", num_devices=8)
    scheduler = HyperSched(
        table.configuration_space, metric="val_loss", time_attr="epoch", max_t=81, num_devices=8,
        deadline_s=deadline_s, random_seed=seed,
    )  # fmt: skip
    tuner = Tuner(
        backend, scheduler, Deadline(deadline_s, trial_backend=backend), n_workers=8, sleep_time=0, save_tuner=False,
        callbacks=[SimulatorCallback()], output_logger=QuietTunerLogger(), tuner_name=f"run-{seed}-{watched}",
        suffix_tuner_name=False,
    )  # fmt: skip
    # A page can be opened once a tuner has begun.
    Path(tuner.tuner_path).mkdir(parents=True)
    tuner._save_metadata()
    with watching(Path(tuner.tuner_path)) if watched else contextlib.nullcontext() as seen:
        begun = time.monotonic()
        with contextlib.redirect_stdout(None):
            tuner.run()
        wall_s = time.monotonic() - begun
    return Tuning(wall_s, len(tuner.tuning_status.trial_rows), seen)


def write_run(folder: Path, num_trials: int, num_devices: int) -> None:
    """Writes a run with this many trials, as a tuner with a journal does."""
    draw, now_s, begun = random.Random(0), 0.0, time.time()
    devices = [f"node{index // 8}/gpu{index % 8}" for index in range(num_devices)]
    options = {"time_attr": "epoch", "grace_period": 1, "reduction_factor": 3, "max_t": 27}
    metadata = {"metric_names": ["accuracy"], "metric_mode": "max", "scheduler_kwargs": options}
    journal = folder / JOURNAL_DIRNAME / "000000.jsonl"
    journal.parent.mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    log = EventLog(folder / EVENTS_FILENAME, lambda: now_s, lambda: begun + now_s)
    log.write("setup", devices=tuple(devices), mode="warm")
    free, held = list(devices), {}
    with journal.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"format": 1, "num_before": 0}) + "\n")
        for trial_id in range(num_trials):
            if not free:
                weak = draw.choice(list(held))
                reason = f"rank 3 of {trial_id} at the rung of level 1, where one in 3 goes on"
                log.write("decision", weak, (held[weak],), 0, reason, what="pause", numbers={"rung": 1, "rank": 3})
                log.write("exit", weak, (held[weak],), 0, "pause", how="drained")
                log.write("pause", weak)
                free.append(held.pop(weak))
            held[trial_id] = free.pop()
            config = {"lr": 10 ** draw.uniform(-4, -1), "width": draw.randrange(4, 64), "act": draw.choice(["a", "b"])}
            added = {"call": "add", "time_s": now_s, "trial_id": trial_id, "config": config}
            file.write(json.dumps(added) + "\n")
            log.write("start", trial_id)
            log.write("launch", trial_id, (held[trial_id],), 0, wait_s=0.01)
            for epoch in range(1, draw.choice((1, 1, 1, 3, 9)) + 1):
                now_s += 0.005
                report = {
                    "epoch": epoch, "accuracy": 1 - 0.8**epoch * draw.random(), "st_worker_time": 0.005 * epoch,
                    "st_worker_timestamp": begun + now_s, "st_launch": 0, "st_num_devices": 1,
                    "st_signal_to_report_s": 0.01,
                }  # fmt: skip
                result = {"call": "result", "time_s": now_s, "trial_id": trial_id, "report": report}
                file.write(json.dumps(result | {"decision": "CONTINUE"}) + "\n")
    log.close()


def measure_page(folder: Path, num_trials: int, num_devices: int) -> dict[str, float]:
    """How long it takes to read a large run and to write its page, and how large the page is."""
    write_run(folder, num_trials, num_devices)
    begun = time.monotonic()
    RunReader(folder).update()
    read_s = time.monotonic() - begun
    begun = time.monotonic()
    page = write_page(folder)
    return {"read_s": read_s, "write_s": time.monotonic() - begun, "megabytes": page.stat().st_size / 1e6}


def measure_watching(pairs: int, deadline_s: float) -> list[tuple[Tuning, Tuning]]:
    """Tunings without and with a page, which alternate."""
    found = []
    for seed in range(pairs):
        order = (False, True) if seed % 2 else (True, False)
        runs = {watched: tune(seed, deadline_s, watched) for watched in order}
        found.append((runs[False], runs[True]))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="tunings with a page, and as many without (default 5)")
    parser.add_argument("--deadline", type=float, default=60.0, help="virtual seconds of each tuning (default 60)")
    parser.add_argument("--trials", type=int, default=10_000, help="trials of the large run (default 10000)")
    parser.add_argument("--devices", type=int, default=256, help="devices of the large run (default 256)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SYNETUNE_FOLDER"] = folder  # where tuners write
        pairs = measure_watching(options.pairs, options.deadline)
        print(
            "| tuner alone (s) | watched (s) | ratio | trials a second | seen | watch's CPU (s) | of the tuner's time |"
        )
        print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for alone, watched in pairs:
            cpu_s, seen = (watched.watching.cpu_s, len(watched.watching.trials)) if watched.watching else (0.0, 0)
            rate = watched.trials / watched.wall_s
            print(
                f"| {alone.wall_s:.2f} | {watched.wall_s:.2f} | {watched.wall_s / alone.wall_s:.3f} | {rate:.0f} | "
                f"{seen} of {watched.trials} | {cpu_s:.2f} | {cpu_s / watched.wall_s:.1%} |"
            )
        ratio = statistics.median(watched.wall_s / alone.wall_s for alone, watched in pairs)
        print(f"\nmedian: a watched tuner takes {ratio - 1:+.1%} of the time of one alone\n")
        figures = measure_page(Path(folder) / "large", options.trials, options.devices)
        print(
            f"{options.trials} trials on {options.devices} devices: read in {figures['read_s']:.1f} s, page written in "
            f"{figures['write_s']:.1f} s, {figures['megabytes']:.1f} MB"
        )


if __name__ == "__main__":
    main()
