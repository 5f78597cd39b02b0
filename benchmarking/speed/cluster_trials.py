"""Memory of tuner, gateway and agents while many trials pass through a Ray cluster: is it flat?

    python benchmarking/speed/cluster_trials.py                      # 10,000 trials, ten minutes on two busy cores
    python benchmarking/speed/cluster_trials.py --trials 1500        # two minutes

Every trial is a process that reports once and exits. Printed are megabytes of memory (USS: what a process has for
itself), open files and threads, ten times, and how much each has grown for a thousand trials since the first tenth and
since the middle: caches, arenas and thread stacks fill up while the first thousand trials pass.
A tuner keeps the trials and results that it is told; here the backend alone is asked, without one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.speed.cluster_rate import local_cluster
from syne_hypersched import ElasticRayBackend

SCRIPT = """
import argparse
from syne_tune import Reporter
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--st_checkpoint_dir")
Reporter()(epoch=1, loss=parser.parse_args().x)
"""


class Watched:
    """The processes whose memory is looked at, by what they are."""

    def __init__(self, gateway: int) -> None:
        own = psutil.Process()
        agents = [each for each in own.children(recursive=True) if "NodeAgent" in " ".join(each.cmdline())]
        self.processes = {"tuner": [own], "gateway": [psutil.Process(gateway)], "agents": agents}

    def megabytes(self) -> dict[str, float]:
        """Memory of each kind."""
        return {
            kind: sum(each.memory_full_info().uss for each in processes) / 1e6
            for kind, processes in self.processes.items()
        }

    def others(self) -> str:
        """Open files and threads of each kind."""
        return ", ".join(
            f"{kind} {sum(each.num_fds() for each in processes)} files and "
            f"{sum(each.num_threads() for each in processes)} threads"
            for kind, processes in self.processes.items()
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--nodes", type=int, default=2)
    args = parser.parse_args()
    if args.trials < 20 or not 1 <= args.nodes <= args.devices:
        parser.error("--trials must be at least 20, and --devices at least --nodes")
    with tempfile.TemporaryDirectory() as folder, local_cluster(args.nodes, slot=args.devices // args.nodes) as address:
        script = Path(folder) / "script.py"
        script.write_text(SCRIPT)
        backend = ElasticRayBackend(
            script, args.devices, address=address, devices_of="slot", insecure=True, start_timeout_s=200, lease_s=60,
            grace_s=1, preload=["syne_tune.report"], delete_checkpoints=True,
        )  # fmt: skip
        backend.set_path(results_root=f"{folder}/run")
        watched = Watched(backend._cluster._process.pid)  # type: ignore[union-attr]
        live: set[int] = set()
        num_started = num_ended = num_reports = 0
        tenth = args.trials // 10
        seen: list[tuple[int, dict[str, float]]] = []
        begun = time.monotonic()
        while num_ended < args.trials:
            while len(live) < args.devices and num_started < args.trials:
                live.add(backend.start_trial({"x": float(num_started)}).trial_id)
                num_started += 1
            backend.wait_for_news(1.0)
            statuses, reports = backend.fetch_status_results(sorted(live))
            num_reports += len(reports)
            ended = [trial_id for trial_id, (_, status) in statuses.items() if status in ("Completed", "Failed")]
            live.difference_update(ended)
            before, num_ended = num_ended, num_ended + len(ended)
            if before // tenth != num_ended // tenth:
                memory = watched.megabytes()
                text = ", ".join(f"{kind} {megabytes:.1f} MB" for kind, megabytes in memory.items())
                print(f"{num_ended} trials, {num_ended / (time.monotonic() - begun):.1f} a second: {text}", flush=True)
                seen.append((num_ended, memory))
        for since, (first, memory_then) in (("first tenth", seen[0]), ("middle", seen[len(seen) // 2 - 1])):
            thousands = (num_ended - first) / 1000
            growth = {kind: (memory[kind] - megabytes) / thousands for kind, megabytes in memory_then.items()}
            text = ", ".join(f"{kind} {megabytes:+.2f} MB" for kind, megabytes in growth.items())
            print(f"growth for a thousand trials since the {since}: {text}")
        print(f"{watched.others()}; load {os.getloadavg()[0]:.0f}")
        print(f"{num_reports} reports of {num_ended} trials, {num_ended - num_reports} missing")
        backend.stop_all()


if __name__ == "__main__":
    main()
