"""An experiment in a separate process, which can be killed and resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
import pytest

from syne_hypersched._disk import Disk
from syne_hypersched._tables import read_csv
from syne_hypersched.experiments import Event, read_events
from syne_hypersched.records.segments import read_segments
from syne_hypersched.recovery._lock import last_alive
from syne_hypersched.recovery._orphans import find_orphans
from syne_hypersched.recovery._resume import elapsed_s
from tests.forked import ForkedProgram, ForkedPython
from tests.recovery.tuners import make_tuner

SCRIPT = """
import argparse, json, os, signal, sys, time
from pathlib import Path
from tests.reporter import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--epochs", type=int, default=9)
parser.add_argument("--fault", default="")
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
checkpoint = args.st_checkpoint_dir / "epoch.json"
done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
report = Reporter()
for epoch in range(done + 1, args.epochs + 1):
    # The tuning is not to end while the first trial waits for its last retry.
    time.sleep(0.1 if args.fault == "first" else 0.02)
    if args.fault == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if args.fault == "first" and args.x == 0 and epoch == 3:
        sys.exit(f"a fault in process {os.getpid()}")
    if args.fault == "large" and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        sys.exit("too large")
    report(epoch=epoch, loss=args.x + 1 / epoch)
    if int(os.environ.get("RANK", 0)) == 0:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.with_suffix(".new").write_text(json.dumps(epoch))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
"""

LAUNCH = """
import json, sys
from pathlib import Path
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform
from syne_hypersched import ASHA, Deadline, ElasticLocalBackend, ElasticPythonBackend, Journal
from syne_hypersched import HyperSched, PublishedRules

def train(x, st_checkpoint_dir):
    import json, os, time
    from tests.reporter import Reporter
    os.makedirs(st_checkpoint_dir, exist_ok=True)
    path = os.path.join(st_checkpoint_dir, "epoch.json")
    done = json.load(open(path)) if os.path.exists(path) else 0
    report = Reporter()
    for epoch in range(done + 1, 10):
        time.sleep(0.02)
        report(epoch=epoch, loss=x + 1 / epoch)
        with open(path + ".new", "w") as file:
            json.dump(epoch, file)
        os.replace(path + ".new", path)

# As if the disk became full while the tuner writes its journal. Its trials were launched before.
class FullDisk(Journal):
    def on_loop_end(self):
        super().on_loop_end()
        import resource
        folder = self._tuner.tuner_path / "journal"
        if self._num_entries > 60 and not (folder / "000001.jsonl").exists():
            size = (folder / "000000.jsonl").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, resource.RLIM_INFINITY))

# A deadline that no test waits for: a test that has seen enough says so.
class EarlyDeadline(Deadline):
    def __call__(self, status):
        return super().__call__(status) or self.enough.exists()

def make_tuner(kind, name, script, fault="", drain_s=None, full=False, deadline_s=600, exploration_s=1.5, **options):
    space, seed = {"x": uniform(0, 1)}, {"random_seed": 3}
    options = {"device_type": "cpu", "grace_s": 30.0, **options}
    if kind == "function":
        backend = ElasticPythonBackend(train, space, 2, **options)
    else:
        backend = ElasticLocalBackend(script, 2, **options)
        space["fault"] = fault
    stop, n_workers = StoppingCriterion(max_num_trials_started=8), 2
    if kind == "one-by-one":
        scheduler = ASHA({**space, "epochs": 9}, "loss", "epoch", max_t=9, type="promotion", **seed)
        n_workers = 1
    elif kind in ("points", "function"):
        points = [{"x": i / 10} for i in range(6)]
        scheduler = ASHA(space, "loss", "epoch", max_t=9, grace_period=9, points_to_evaluate=points, **seed)
        stop = StoppingCriterion(max_num_trials_finished=6)
    else:
        scheduler = HyperSched(
            {**space, "epochs": 1000}, "loss", "epoch", max_t=1000, num_devices=2, grace_period=4,
            deadline_s=deadline_s, strategy=PublishedRules(
                fixed_exploration=exploration_s / deadline_s, recharge_period=2), **seed)
        stop = EarlyDeadline(deadline_s, backend)
        stop.enough = Path(script).parent / "enough"
    return Tuner(backend, scheduler, stop, n_workers=n_workers, sleep_time=0.01, results_update_interval=1,
                 tuner_name=name, suffix_tuner_name=False,
                 callbacks=[(FullDisk if full else Journal)(snapshot_interval_s=0.3, drain_s=drain_s)])

if __name__ == "__main__":
    make_tuner(*sys.argv[1:4], **json.loads(sys.argv[4])).run()
"""


class Experiments:
    """Experiments in a folder of their own."""

    def __init__(self, folder: Path, wait_for: Callable[[Callable[[], object]], None], forked: ForkedPython) -> None:
        self.folder = folder
        self.wait_for = wait_for
        self._forked = forked
        self.script = folder / "train.py"
        self.launch = folder / "launch.py"
        self.script.write_text(SCRIPT)
        self.launch.write_text(LAUNCH)
        self._processes: list[ForkedProgram] = []

    def path(self, name: str) -> Path:
        return self.folder / "experiments" / name

    def start(self, kind: str, name: str, **options: object) -> ForkedProgram:
        """Starts a tuner; options are those of ``make_tuner`` above."""
        return self._run([str(self.launch), kind, name, str(self.script), json.dumps(options)])

    def resume(self, name: str, *options: str) -> ForkedProgram:
        return self._run(["-m", "syne_hypersched.experiments.resume", name, *options])

    def enough(self) -> None:
        """Ends the tuning of HyperSched that runs, and those that are resumed."""
        (self.folder / "enough").touch()

    def age(self, name: str, tuned_s: float) -> None:
        """Has a dead tuner started so early that it has been running for ``tuned_s`` seconds in all."""
        folder = self.path(name) / "journal"
        alive = last_alive(folder / "lock")
        segments = read_segments(str(folder), Disk())
        assert alive is not None
        earlier_s = tuned_s - elapsed_s(segments, 0.0, alive, "running")
        assert earlier_s > 0
        path = max(folder.glob("*.jsonl"))
        first, newline, rest = path.read_bytes().partition(b"\n")
        header = json.loads(first)
        header["timestamp"] -= earlier_s
        if header["boot_s"] is not None:
            header["boot_s"] -= earlier_s
        path.write_bytes(json.dumps(header).encode() + newline + rest)

    def num_lines(self, name: str) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self.path(name).glob("journal/*.jsonl"))

    def results(self, name: str) -> pd.DataFrame:
        return read_csv(self.path(name) / "results.csv.zip")

    def kill_after(self, process: ForkedProgram, name: str, num_lines: int) -> None:
        """Kills a tuner when its journal has a number of lines, unless it has ended before."""
        while process.poll() is None and self.num_lines(name) < num_lines:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def events(self, name: str, *events: str) -> list[Event]:
        path = self.path(name) / "events.jsonl"
        return [event for event in read_events(path) if event.event in events] if path.exists() else []

    def log(self) -> str:
        return (self.folder / "tuner.log").read_text()

    def left_behind(self, name: str) -> list[psutil.Process]:
        return find_orphans(self.path(name), self.path(name), read_events(self.path(name) / "events.jsonl"))

    def _run(self, arguments: list[str]) -> ForkedProgram:
        environment = os.environ | {"SYNETUNE_FOLDER": str(self.folder / "experiments")}
        with open(self.folder / "tuner.log", "ab") as log:
            # A process group of its own, as of a program in a terminal, which Ctrl-C interrupts as a whole.
            process = self._forked.start(arguments, env=environment, stdout=log, stderr=log, new_session=True)
        self._processes.append(process)
        return process

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def experiments(tmp_path: Path, wait_for: Callable[..., None], forked: ForkedPython) -> Iterator[Experiments]:
    made = Experiments(tmp_path, wait_for, forked)
    yield made
    made.close()


@pytest.fixture
def make(experiments, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(experiments.folder / "experiments"))
    return partial(make_tuner, experiments.script)


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory):
    """The folder of an experiment that has ended, which is not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    experiments = Experiments(folder, wait_for=None, forked=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNETUNE_FOLDER", str(folder / "experiments"))
        make_tuner(experiments.script).run()
    return experiments.path("test")


@pytest.fixture
def finished(finished_once, make, experiments):
    """A copy of an experiment that has ended."""
    tuner = make()
    shutil.copytree(finished_once, tuner.tuner_path, symlinks=True)
    return tuner
