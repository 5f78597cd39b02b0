"""Seconds from the order to launch ranks on a Ray cluster to their first line, and from a decision to a resized trial.

    python benchmarking/speed/cluster_latency.py              # two minutes; starts two Ray nodes on this machine
    python benchmarking/speed/cluster_latency.py --address 10.0.0.1:6379 --devices-of GPU --checkpoint-path /shared/x

Needs two nodes with two devices each. The script imports PyTorch, which the agents preload. A launch is ordered through
the fleet of the backend, as the tuner does. Clocks: without --address all nodes are this machine, whose clock the
script reads; on several machines the figures are as exact as their clocks agree.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.speed.cluster_rate import local_cluster
from syne_hypersched import ElasticLocalBackend, ElasticRayBackend
from syne_hypersched.experiments import read_events
from syne_hypersched.filenames import EVENTS_FILENAME

SCRIPT = """
import time
begun = time.time()
import torch
import argparse, os
from pathlib import Path
from syne_tune import Reporter
parser = argparse.ArgumentParser()
parser.add_argument("--number", type=int)
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
rank, size = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
lines = args.st_checkpoint_dir.parent / "lines"
with open(lines, "a") as file:
    file.write(f"{size} {rank} {begun!r}\\n")
if rank == "0":
    Reporter()(epoch=1, loss=0.0)
while True:
    time.sleep(1)
"""


def first_lines(path: Path, size: int, timeout_s: float = 60.0) -> list[float]:
    """When each rank of a launch of this size has begun its script."""
    give_up_at = time.monotonic() + timeout_s
    while time.monotonic() < give_up_at:
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        found = [float(begun) for number, _, begun in lines if int(number) == size]
        if len(found) == size:
            return found
        time.sleep(0.001)
    raise TimeoutError(f"{size} ranks have not begun within {timeout_s:.0f} s: {path}")


def measure(backend: ElasticLocalBackend, size: int) -> tuple[float, float]:
    """Seconds from a start to the first line of all ranks, and from a resize to twice as many to theirs."""
    backend.num_devices_per_trial = size
    begun = time.time()
    trial = backend.start_trial({"number": size})
    lines = backend.trial_path(trial.trial_id) / "lines"
    start_s = max(first_lines(lines, size)) - begun
    resize_s = float("nan")
    if 2 * size <= backend.num_devices:
        begun = time.time()
        trial.resize(2 * size)
        resize_s = max(first_lines(lines, 2 * size)) - begun
    backend.stop_trial(trial.trial_id)
    while not backend._fleet.is_idle(trial.trial_id):
        backend.fetch_status_results([])
        time.sleep(0.001)
    return start_s, resize_s


def say(what: str, backend: ElasticLocalBackend, size: int, repeats: int) -> None:
    """Prints a line of figures."""
    measure(backend, size)  # the first one, in which files are read for the first time
    times = [measure(backend, size) for _ in range(repeats)]
    launches = [e for e in read_events(backend.local_path / EVENTS_FILENAME) if e.event == "launch"]
    nodes = sorted({len({device.partition("/")[0] for device in launch.devices}) for launch in launches[-2:]})
    starts, resizes = (sorted(values) for values in zip(*times, strict=True))
    line = f"{what:36s} start {statistics.median(starts):.3f} ({starts[-1]:.3f})"
    if resizes[0] == resizes[0]:
        line += f", resize to {2 * size} {statistics.median(resizes):.3f} ({resizes[-1]:.3f})"
    print(line if "Local" in what else f"{line}; on {nodes} nodes", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", help="an existing cluster")
    parser.add_argument("--devices-of", default="slot")
    parser.add_argument("--checkpoint-path")
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        script = Path(args.checkpoint_path or folder) / "latency_script.py"
        script.write_text(SCRIPT)
        local = ElasticLocalBackend(script, 4, device_type="cpu", grace_s=1)
        local.set_path(results_root=str(Path(folder) / "local"))
        for size in (1, 2, 4):
            say(f"{size} ranks of ElasticLocalBackend", local, size, args.repeats)
        local.stop_all()
        address = args.address or stack.enter_context(local_cluster(2, slot=2, single=1))
        print("launches are ordered after all devices are there; seconds, median (highest)")
        for devices in (2, 4):
            kind = args.devices_of if args.address or devices == 4 else "single"
            backend = ElasticRayBackend(
                script, devices, address=address, devices_of=kind, insecure=True, start_timeout_s=120,
                checkpoint_path=args.checkpoint_path, lease_s=60, grace_s=1,
            )  # fmt: skip
            run = Path(folder) / f"run{devices}"
            backend.set_path(results_root=str(run))
            sizes = (1,) if devices == 2 else (2, 4)
            for size in sizes:
                say(f"{size} ranks", backend, size, args.repeats)
            backend.stop_all()


if __name__ == "__main__":
    main()
