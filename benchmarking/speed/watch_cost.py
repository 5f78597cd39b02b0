"""What it costs to watch a run: the tuner's time with and without a page that follows it, and a large run's page.

A real tuner with a simulated backend starts ``--rate`` trials a second: after each start it sleeps, always as long
within a block, so that whatever slows it down lengthens its wall time. ``hypersched watch`` follows it, and a process
of its own asks as often as the page does. Both are halted (SIGSTOP) and continued (SIGCONT) every ``--trials-a-part``
trials. Four parts are a block, in the order watched, alone, alone, watched or the other way round. So each block
compares one tuner with itself, a second later, and neither other work on the machine nor the growth of the run favours
one side. What has happened while the watching process was halted, it reads when it goes on: its work is not left out.

The figures are medians over the blocks, with a distribution-free 95 % interval of the median:

- processor time of the tuner's process, as a share of the wall time alone: what a machine with a free core loses
- wall time
- processor time of the watching process, which has the lowest priority, as a share of the wall time while it watches

``--one-core`` has all of them share one core. A last line is about a run with 10,000 trials.

    python benchmarking/speed/watch_cost.py [--rate 64] [--blocks 30] [--one-core] [--trials 10000] [--devices 256]
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import logging
import math
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
from syne_tune.tuner_callback import TunerCallback

from syne_hypersched import ASHA, ElasticSimulatorBackend
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.blackboxes import synthetic_nasbench201
from syne_hypersched.experiments import QuietTunerLogger
from syne_hypersched.experiments.page import RunReader, write_page
from syne_hypersched.filenames import EVENTS_FILENAME, JOURNAL_DIRNAME

#: The page asks so often while a run goes on.
ASKS_EVERY_S = 0.4
#: Whether the parts of a block are watched. Every other block is the other way round.
PARTS = (True, False, False, True)


@dataclass
class Watching:
    """The processes that follow a run, and what they have seen."""

    pids: tuple[int, ...] = ()
    answers: int = 0
    trials: set[int] = field(default_factory=set)

    def go_on(self, is_watching: bool) -> None:
        """Halts the processes, or has them go on."""
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT if is_watching else signal.SIGSTOP)


def follow(address: str, end: Connection) -> None:
    """Asks as the page does, and once more when the other end says that this is over; then sends what was seen."""
    since = generation = answers = 0
    trials: set[int] = set()
    is_over = False
    while True:
        with urllib.request.urlopen(f"{address}data?since={since}&generation={generation}") as answer:
            content = answer.read()
            is_zipped = answer.headers["Content-Encoding"] == "gzip"
        data = json.loads(gzip.decompress(content) if is_zipped else content)
        since, generation = data["seq"], data["generation"]
        answers += 1
        trials |= {trial["id"] for trial in data["trials"]}
        if is_over:
            end.send((answers, trials))
            return
        if is_over := end.poll(ASKS_EVERY_S):
            time.sleep(ASKS_EVERY_S)  # for a short while, the server answers with what it has read already


@contextlib.contextmanager
def watching(path: Path) -> Iterator[Watching]:
    """Runs ``hypersched watch``, and a process that asks as the page does."""
    command = [sys.executable, "-m", "syne_hypersched.cli", "watch", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        ours, theirs = multiprocessing.Pipe()
        # A browser is a process of its own, too. A thread would take time from the tuner.
        client = multiprocessing.get_context("fork").Process(target=follow, args=(address, theirs))
        client.start()
        assert client.pid is not None
        seen = Watching((process.pid, client.pid))
        try:
            yield seen
        finally:
            seen.go_on(True)
            ours.send("over")
            seen.answers, seen.trials = ours.recv()
            client.join()
            process.terminate()


@dataclass(frozen=True)
class Part:
    """Some trials of a tuning that were started in a row.

    Attributes
    ----------
    is_watched
        Whether the run was followed.
    wall_s, tuner_cpu_s, watch_cpu_s
        Wall time, processor time of the tuner's process and of the watching one.
    """

    is_watched: bool
    wall_s: float
    tuner_cpu_s: float
    watch_cpu_s: float


class Pace(TunerCallback):
    """Sleeps after each start of a trial, has the run watched or not, and takes the times of each part.

    The first part is not counted. After it and after each block, the sleep is chosen anew, so that the tuner starts
    ``rate`` trials a second.
    """

    def __init__(self, rate: float, trials_a_part: int, blocks: int, seen: Watching) -> None:
        self.rate, self.trials_a_part = rate, trials_a_part
        flips = [index % 2 == 1 for index in range(blocks)]
        self.plan = [is_watched != flip for flip in flips for is_watched in PARTS]
        self.parts: list[Part] = []
        self.seen = seen
        self.watcher = psutil.Process(seen.pids[0])
        self._sleep_s, self._started = 0.0, 0
        self._is_warm = False
        self._begun = self._now()

    @property
    def is_over(self) -> bool:
        """Whether all parts are there."""
        return len(self.parts) == len(self.plan)

    def _now(self) -> tuple[float, float, float]:
        return time.monotonic(), time.process_time(), sum(self.watcher.cpu_times()[:2])

    def on_start_trial(self, trial: Any) -> None:
        """Sleeps, and ends a part where it has all its trials."""
        time.sleep(self._sleep_s)
        self._started += 1
        if self._started == self.trials_a_part and not self.is_over:
            self._end_part()

    def _end_part(self) -> None:
        wall_s, tuner_s, watch_s = (now - then for now, then in zip(self._now(), self._begun, strict=True))
        if self._is_warm:
            self.parts.append(Part(self.plan[len(self.parts)], wall_s, tuner_s, watch_s))
        self._is_warm = True
        if len(self.parts) % len(PARTS) == 0:
            busy_s = wall_s / self.trials_a_part - self._sleep_s
            self._sleep_s = max(0.0, 1 / self.rate - busy_s)
        if not self.is_over:
            self.seen.go_on(self.plan[len(self.parts)])
        self._started, self._begun = 0, self._now()


def tune(rate: float = 64.0, trials_a_part: int = 64, blocks: int = 2) -> Pace:
    """Runs a tuner on a table of learning curves, with a page that follows parts of it."""
    table = synthetic_nasbench201("cifar10")
    backend = ElasticSimulatorBackend(table, elapsed_time_attr="metric_elapsed_time", num_devices=8)
    scheduler = ASHA(
        table.configuration_space, metric="metric_valid_error", time_attr="hp_epoch", max_t=27, random_seed=0
    )
    callbacks: list[TunerCallback] = [SimulatorCallback()]
    stop = StoppingCriterion(max_num_trials_started=trials_a_part * (1 + blocks * len(PARTS)))
    tuner = Tuner(
        backend, scheduler, stop, n_workers=8, sleep_time=0, save_tuner=False, callbacks=callbacks,
        output_logger=QuietTunerLogger(), tuner_name="watched",
    )  # fmt: skip
    # A page can be opened once a tuner has begun.
    Path(tuner.tuner_path).mkdir(parents=True)
    tuner._save_metadata()
    with watching(Path(tuner.tuner_path)) as seen:
        pace = Pace(rate, trials_a_part, blocks, seen)
        callbacks.append(pace)
        with contextlib.redirect_stdout(None):
            tuner.run()
    return pace


def median_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """A distribution-free interval of a median, from two of the sorted values; infinite where they are too few.

    Parameters
    ----------
    values
        Independent values.
    level
        Probability, at least, that the interval holds the median.
    """
    ordered, outside = sorted(values), 0.0
    for left_out in range(len(ordered) // 2 + 1):
        outside += 2 * math.comb(len(ordered), left_out) / 2 ** len(ordered)
        if outside > 1 - level:
            break
    if left_out == 0:
        return -math.inf, math.inf
    return ordered[left_out - 1], ordered[-left_out]


def shares(parts: Sequence[Part]) -> dict[str, list[float]]:
    """For each block: what watching adds, as a share of the wall time alone, and what the watching process takes.

    Parameters
    ----------
    parts
        The parts of whole blocks, in their order.
    """
    found: dict[str, list[float]] = {"processor time of the tuner": [], "wall time": [], "watching process": []}
    for begin in range(0, len(parts), len(PARTS)):
        block = parts[begin : begin + len(PARTS)]
        watched, alone = ([part for part in block if part.is_watched == flag] for flag in (True, False))
        wall_s = sum(part.wall_s for part in alone)
        more_cpu_s = sum(part.tuner_cpu_s for part in watched) - sum(part.tuner_cpu_s for part in alone)
        found["processor time of the tuner"].append(more_cpu_s / wall_s)
        found["wall time"].append(sum(part.wall_s for part in watched) / wall_s - 1)
        watch_s = sum(part.watch_cpu_s for part in watched)
        found["watching process"].append(watch_s / sum(part.wall_s for part in watched))
    return found


def describe(pace: Pace) -> str:
    """The figures of a tuning, as lines of text."""
    wall_s = sum(part.wall_s for part in pace.parts)
    tuner_s = sum(part.tuner_cpu_s for part in pace.parts)
    trials = len(pace.parts) * pace.trials_a_part
    seen = f"{pace.seen.answers} answers with {len(pace.seen.trials)} trials"
    lines = [
        f"{trials} trials in {wall_s:.0f} s, {trials / wall_s:.1f} a second; tuner: {tuner_s / wall_s:.0%} of a core",
        f"the page has had {seen}",
        "",
        "| of the wall time, a watched tuner takes | median of the blocks | 95 % interval of the median |",
        "| --- | ---: | ---: |",
    ]
    for name, values in shares(pace.parts).items():
        low, high = median_interval(values)
        sign = "" if name == "watching process" else "+"
        lines.append(f"| {name} | {statistics.median(values):{sign}.2%} | {low:{sign}.2%} to {high:{sign}.2%} |")
    return "\n".join(lines)


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
    free = list(devices)
    held: dict[int, str] = {}
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


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=64.0, help="trials that are started a second (default 64)")
    parser.add_argument("--blocks", type=int, default=30, help="comparisons of four parts each (default 30)")
    parser.add_argument("--trials-a-part", type=int, default=64, help="trials of a part (default 64)")
    parser.add_argument("--one-core", action="store_true", help="tuner, watching process and client share one core")
    parser.add_argument("--trials", type=int, default=10_000, help="trials of the large run (default 10000)")
    parser.add_argument("--devices", type=int, default=256, help="devices of the large run (default 256)")
    options = parser.parse_args(arguments)
    if options.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    logging.getLogger("syne_hypersched.backends.virtual").setLevel(logging.ERROR)  # it warns of sleep in a simulation
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SYNETUNE_FOLDER"] = folder  # where tuners write
        print(describe(tune(options.rate, options.trials_a_part, options.blocks)), end="\n\n")
        figures = measure_page(Path(folder) / "large", options.trials, options.devices)
        print(
            f"{options.trials} trials on {options.devices} devices: read in {figures['read_s']:.1f} s, page written in "
            f"{figures['write_s']:.1f} s, {figures['megabytes']:.1f} MB"
        )


if __name__ == "__main__":
    main()
