"""Duration of a resize: seconds from the decision to the first line of user code on the new devices.

One trial is resized from 1 to 2 devices and back, warm and cold, by ``trial.resize`` of :class:`ElasticLocalBackend`.
For comparison, the same relaunch by hand: SIGTERM, wait, then ``subprocess`` (one process) or ``torchrun`` (two
processes). The script imports torch first; "first line" is the first one after its imports, in the slowest rank.

    python benchmarking/speed/resize_latency.py [--repeats 20] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from syne_hypersched.backends import ElasticLocalBackend

SCRIPT = """
import os, sys, time
import torch
with open({marks!r}, "a") as file:
    file.write(f"{{time.monotonic()}} {{os.environ.get('WORLD_SIZE', '1')}}\\n")
while True:
    time.sleep(0.01)
"""


class Marks:
    """The times at which processes of the script reached their first line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def wait_for(self, count: int, meanwhile: Callable[[], object], timeout_s: float = 60.0) -> float:
        """The time of the last of ``count`` marks, which are then removed."""
        give_up_at = time.monotonic() + timeout_s
        while len(lines := self.path.read_text().splitlines()) < count:
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"only {len(lines)} of {count} processes reached their first line in {timeout_s} s")
            meanwhile()
            time.sleep(0.002)
        self.path.write_text("")
        return max(float(line.split()[0]) for line in lines)


def resizes(script: Path, marks: Marks, folder: Path, launch: str, repeats: int) -> dict[str, list[float]]:
    """Seconds for resizes of one trial, by direction."""
    backend = ElasticLocalBackend(script, num_devices=2, device_type="cpu", launch=launch)
    backend.set_path(str(folder / launch))
    seconds: dict[str, list[float]] = {"1 -> 2": [], "2 -> 1": []}
    trial = backend.start_trial({})
    try:
        marks.wait_for(1, lambda: backend.fetch_status_results([0]))
        for _ in range(repeats):
            for direction, num_devices in (("1 -> 2", 2), ("2 -> 1", 1)):
                time.sleep(0.05)
                decided = time.monotonic()
                trial.resize(num_devices)
                reached = marks.wait_for(num_devices, lambda: backend.fetch_status_results([0]))
                seconds[direction].append(reached - decided)
    finally:
        backend.stop_all()
    return seconds


def by_hand(script: Path, marks: Marks, repeats: int) -> dict[str, list[float]]:
    """Seconds for the same relaunch without a backend: ``torchrun`` for two processes, ``subprocess`` for one."""
    one = [sys.executable, str(script)]
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    seconds: dict[str, list[float]] = {"1 -> 2": [], "2 -> 1": []}
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env}
    process = subprocess.Popen(one, **quiet)  # type: ignore[call-overload]
    try:
        marks.wait_for(1, lambda: None)
        for _ in range(repeats):
            for direction, command, count in (("1 -> 2", two, 2), ("2 -> 1", one, 1)):
                decided = time.monotonic()
                process.send_signal(signal.SIGTERM)
                process.wait()
                process = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
                reached = marks.wait_for(count, lambda: None)
                seconds[direction].append(reached - decided)
    finally:
        process.terminate()
        process.wait()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20, help="warm resizes in each direction (cold: a quarter)")
    parser.add_argument("--output", type=Path, help="also write all measured seconds to this JSON file")
    arguments = parser.parse_args()
    slow_repeats = max(2, arguments.repeats // 4)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        marks = Marks(folder / "marks")
        script = folder / "train.py"
        script.write_text(SCRIPT.format(marks=str(marks.path)))
        measured = {
            "warm": resizes(script, marks, folder, "warm", arguments.repeats),
            "cold": resizes(script, marks, folder, "cold", slow_repeats),
            "subprocess / torchrun": by_hand(script, marks, slow_repeats),
        }
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}; seconds from decision to first user code")
    print(f"{'launch':<24}{'resize':<10}{'n':>4}{'median':>10}{'p95':>10}")
    for launch, directions in measured.items():
        for direction, seconds in directions.items():
            median, p95 = np.percentile(seconds, [50, 95])
            print(f"{launch:<24}{direction:<10}{len(seconds):>4}{median:>10.3f}{p95:>10.3f}")
    if arguments.output:
        arguments.output.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
