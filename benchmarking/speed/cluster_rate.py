"""Processor time of the tuner and latency of reports, with 256 trials on agents that report once a second.

    python benchmarking/speed/cluster_rate.py --devices 256 --seconds 30     # starts four Ray nodes on this machine

Every trial is a process that does nothing but report. The latency is that from the report, on the script's clock, to
the moment at which the backend hands it over; all nodes are this machine, so the clocks are the same one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from syne_tune.constants import ST_WORKER_TIMESTAMP

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from syne_hypersched import ElasticRayBackend

SCRIPT = """
import argparse, random, time
from syne_tune import Reporter
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--st_checkpoint_dir")
parser.parse_args()
time.sleep(random.random())
report = Reporter()
for epoch in range(1, 100000):
    report(epoch=epoch, loss=1.0)
    time.sleep(1)
"""


@contextlib.contextmanager
def local_cluster(num_nodes: int, **resources: int) -> Iterator[str]:
    """Nodes on this machine, each with the same resources of Ray; yields the address of their head."""
    from ray.cluster_utils import Cluster

    # Otherwise agents and trials have a low priority, and any other program on this machine comes first.
    os.environ.setdefault("RAY_worker_niceness", "0")
    node = {"num_cpus": 0, "num_gpus": 0, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(num_nodes):
        cluster.add_node(**node, resources=dict(resources))
    yield cluster.address
    cluster.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=256)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, local_cluster(args.nodes, slot=args.devices // args.nodes) as address:
        script = Path(folder) / "script.py"
        script.write_text(SCRIPT)
        backend = ElasticRayBackend(
            script, args.devices, address=address, devices_of="slot", insecure=True, start_timeout_s=200, lease_s=120,
            grace_s=1, preload=["syne_tune.report"],
        )  # fmt: skip
        backend.set_path(results_root=f"{folder}/run")
        trials = [backend.start_trial({"x": float(number)}).trial_id for number in range(args.devices)]
        reported: set[int] = set()
        while len(reported) < args.devices:
            backend.wait_for_news(1.0)
            reported |= {trial_id for trial_id, _ in backend.fetch_status_results(trials)[1]}
        gateway = psutil.Process(backend._cluster._process.pid)  # type: ignore[union-attr]
        latencies: list[float] = []
        begun, own, other = time.monotonic(), time.process_time(), sum(gateway.cpu_times()[:2])
        while time.monotonic() < begun + args.seconds:
            backend.wait_for_news(1.0)
            now_reports = backend.fetch_status_results(trials)[1]
            now = time.time()
            latencies += [now - report[ST_WORKER_TIMESTAMP] for _, report in now_reports]
        wall = time.monotonic() - begun
        own, other = time.process_time() - own, sum(gateway.cpu_times()[:2]) - other
        latencies.sort()
        print(
            f"{args.devices} trials, {len(latencies) / wall:.0f} reports a second: tuner {own / wall:.1%} of a core, "
            f"gateway {other / wall:.1%}; latency median {1000 * statistics.median(latencies):.1f} ms, "
            f"p95 {1000 * latencies[int(0.95 * len(latencies))]:.1f} ms; load {os.getloadavg()[0]:.0f}"
        )
        backend.stop_all()


if __name__ == "__main__":
    main()
