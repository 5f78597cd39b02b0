"""Injects faults into a tuning on a Ray cluster, and checks that nothing was lost, doubled or left behind.

    python benchmarking/faults/cluster_chaos.py                  # two minutes; needs root, iproute2 and Ray
    python benchmarking/faults/cluster_chaos.py --seconds 1800
    python benchmarking/faults/cluster_chaos.py --copied         # nodes share no folder for checkpoints

The cluster is made of network namespaces on this machine: a head and three nodes with two slots each, of which four
are asked for. A restless ASHA tunes a fast script. Meanwhile nodes are killed and join again, links are cut and healed
before and after the lease, agents, raylets, gateways, the head and the tuner are killed, nodes are drained, and a trial
takes more and more memory until it is ended. With ``--copied``, disks of nodes become full. Each rank takes locks of
the kernel that see both sides of a cut: no trial may run twice, and no node may run more ranks than it has slots. At
the end all rules of ``hypersched verify`` must hold, and no process of a trial may be left.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.faults.cluster_tuning import NAME
from benchmarking.faults.namespaces import PORT, Namespaces, ip_of, why_not
from syne_hypersched.experiments import check_run, load_run
from syne_hypersched.filenames import EVENTS_FILENAME

TUNING, SCRIPT = (Path(__file__).with_name(name) for name in ("cluster_tuning.py", "cluster_script.py"))
NODES = (1, 2, 3)
SLOTS, LEASE_S = 2, 3.0
DISK_MB = 64
#: A trial that takes more and more memory reaches the limit with so many gigabytes, and has so many at most.
HOG_GB, MOST_GB = 3.0, 5.0


class Chaos:
    """A tuning on namespaces, and what may happen to it."""

    def __init__(self, folder: Path, seconds: float, seed: int, copied: bool = False) -> None:
        self.folder, self.seconds, self.copied = folder, seconds, copied
        self.nodes = Namespaces(folder, SLOTS, DISK_MB if copied else None)
        memory = psutil.virtual_memory()
        self.max_memory = min(0.95, memory.percent / 100 + HOG_GB * 1e9 / memory.total)
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.tuner: subprocess.Popen[bytes] | None = None
        self.begun = 0.0
        self.gone: set[int] = set()

    def run(self, kinds: list[str], pause_s: float) -> None:
        self.nodes.up(len(NODES) + 1)
        self.start_tuner()
        self.begun = time.monotonic()
        events = self.folder / "results" / NAME / EVENTS_FILENAME
        while not (events.exists() and '"launch"' in events.read_text()):
            if self.left_s() <= 0 or (self.tuner is not None and self.tuner.poll() is not None):
                raise SystemExit(f"the tuner has not started, see {self.folder}/tuner.log")
            time.sleep(0.2)
        self.begun = time.monotonic()
        faults: dict[str, Callable[[], None]] = {
            "node killed": self.kill_node,
            "link cut, healed before the lease": lambda: self.cut(LEASE_S / 3),
            "link cut, healed after the lease": lambda: self.cut(LEASE_S + 4),
            "agent killed": self.kill_agent,
            "raylet killed": self.kill_raylet,
            "gateway killed": self.kill_gateway,
            "head killed": self.kill_head,
            "tuner killed": self.kill_tuner,
            "node drained": self.drain_node,
            "memory short": self.take_memory,
        }
        if self.copied:
            faults["disk full"] = self.fill_disk
        chosen = [name for name in faults if not kinds or any(kind in name for kind in kinds)]
        queue: list[str] = []
        while self.left_s() > 15:
            time.sleep(min(pause_s, max(0.0, self.left_s() - 15)))
            if self.tuner is not None and self.tuner.poll() is not None:
                raise SystemExit(f"the tuner has ended with {self.tuner.returncode}, see {self.folder}/tuner.log")
            if self.left_s() <= 15:
                break
            if not queue:
                queue = self.random.sample(chosen, len(chosen))
            name = queue.pop()
            print(f"{time.monotonic() - self.begun:7.1f} s  {name}", flush=True)
            faults[name]()
            self.counts[name] += 1
        assert self.tuner is not None
        self.tuner.wait(timeout=120)

    def left_s(self) -> float:
        return self.begun + self.seconds - time.monotonic() if self.begun else self.seconds

    def start_tuner(self, *more: str) -> None:
        argv = [
            sys.executable, TUNING, "--address", f"{ip_of(0)}:{PORT}", "--folder", self.folder, "--seconds",
            max(1.0, self.left_s() if not more else self.seconds), "--slots", SLOTS, "--lease-s", LEASE_S,
            "--max-memory", self.max_memory, *more,
            *(["--copied"] if self.copied else []),
        ]  # fmt: skip
        with open(self.folder / "tuner.log", "ab") as log:
            self.tuner = self.nodes.start(
                0, argv, env={"SYNETUNE_FOLDER": str(self.folder / "results")}, stdout=log, stderr=log
            )

    # Faults.

    def kill_node(self) -> None:
        node = self.random.choice(NODES)
        self.nodes.kill(node)
        time.sleep(self.random.uniform(0.5, 8))
        self.nodes.join(node)

    def cut(self, seconds: float) -> None:
        node = self.random.choice(NODES)
        self.nodes.cut(node)
        time.sleep(seconds)
        self.nodes.heal(node)

    def kill_agent(self) -> None:
        self.nodes.kill(self.random.choice(NODES), "ray::NodeAgent")

    def kill_raylet(self) -> None:
        node = self.random.choice(NODES)
        self.nodes.kill(node, "raylet/raylet")
        time.sleep(3)
        self.nodes.kill(node)
        self.nodes.join(node)

    def kill_gateway(self) -> None:
        self.nodes.kill(0, "_gateway")

    def kill_head(self) -> None:
        self.nodes.kill_but(0, (TUNING.name, "_gateway"))
        time.sleep(4)
        for node in NODES:  # they would end by themselves after a minute, and Ray finds them on the same machine
            self.nodes.kill(node)
        for node in (0, *NODES):
            self.nodes.join(node)

    def kill_tuner(self) -> None:
        assert self.tuner is not None
        self.nodes.kill(0, TUNING.name)
        self.tuner.wait()
        self.start_tuner("--resume")

    def drain_node(self) -> None:
        node = self.random.choice(NODES)
        probe = (
            "import ray, time; ray.init(address='auto', logging_level='ERROR'); from ray._raylet import GcsClient; "
            f"n = [n for n in ray.nodes() if n['Alive'] and n['NodeManagerAddress'] == {ip_of(node)!r}][0]; "
            "GcsClient(address=ray.get_runtime_context().gcs_address).drain_node("
            "n['NodeID'], 2, 'spot', int(time.time() * 1000) + 4000)"
        )
        asking = self.nodes.start(
            0, [sys.executable, "-c", probe], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            asking.wait(20)
        asking.kill()
        time.sleep(5)
        self.nodes.kill(node)
        self.nodes.join(node)

    def take_memory(self) -> None:
        hog = self.folder / "watch" / "hog"
        hog.write_text(str(MOST_GB * 1e9))  # for the first rank that looks
        time.sleep(10)
        hog.unlink(missing_ok=True)

    def fill_disk(self) -> None:
        node = self.random.choice(NODES)
        self.nodes.fill_disk(node)
        time.sleep(self.random.uniform(2, 8))
        self.nodes.empty_disk(node)

    # What has come out.

    def check(self) -> list[str]:
        problems = []
        watch = self.folder / "watch" / "problems"
        if watch.exists():
            problems += watch.read_text().splitlines()
        run = load_run(self.folder / "results" / NAME)
        problems += [f"{found.rule}: trial {found.trial_id}: {found.message}" for found in check_run(run, step=1)]
        left = [pid for node in (0, *NODES) for pid in self.nodes.pids(node, SCRIPT.name)]
        problems += [f"process {pid} of a trial is left" for pid in left]
        if self.tuner is not None and self.tuner.returncode:
            problems.append(f"the tuner has ended with {self.tuner.returncode}")
        events = Counter(event.event for event in run.events)
        ends = Counter(event.details.get("how") for event in run.events if event.event == "exit")
        print(f"{len(run.reports)} reports, {events['launch']} launches, ends {dict(ends)}")
        print(f"{events['restore']} times an older checkpoint")
        print(f"devices: {events['lose']} times lost, {events['join']} times joined; retries {events['retry']}")
        return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--pause-s", type=float, default=8.0, help="seconds between faults")
    parser.add_argument("--only", nargs="*", default=[], help="words of the kinds of faults, by default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--copied", action="store_true", help="checkpoints are on the disks of nodes, and copied")
    parser.add_argument("--keep", action="store_true", help="leave the folder with logs")
    args = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="hs-"))
    folder.chmod(0o755)
    chaos = Chaos(folder, args.seconds, args.seed, args.copied)
    problems = ["it was interrupted"]
    try:
        chaos.run(args.only, args.pause_s)
        problems = chaos.check()
    finally:
        chaos.nodes.down()
        for name, number in sorted(chaos.counts.items()):
            print(f"{number:4d}  {name}")
        for problem in problems[:30]:
            print(problem)
        print("nothing was lost, doubled or left behind" if not problems else f"{len(problems)} problems, see {folder}")
        if not problems and not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return int(bool(problems))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    sys.exit(main())
