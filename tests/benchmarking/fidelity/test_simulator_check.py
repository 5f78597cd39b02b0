"""The simulator and real processes, with the tuning of the benchmark; durations have no effect on decisions."""

from __future__ import annotations

import json

import pytest
from syne_tune import Tuner
from syne_tune.results_callback import StoreResultsCallback
from syne_tune.tuner_callback import TunerCallback

from benchmarking.fidelity import simulator_check
from benchmarking.fidelity.simulator_check import NUM_DEVICES, TunedRun, make_scheduler, report_times, run_simulated
from syne_hypersched import ElasticLocalBackend, LaunchCost
from syne_hypersched.experiments import QuietTunerLogger, read_events
from syne_hypersched.filenames import EVENTS_FILENAME
from syne_hypersched.recovery._orphans import open_launches

pytestmark = pytest.mark.usefixtures("no_process_left")

#: An epoch takes hundreds of virtual seconds: the real ones of a launch, which the scheduler sees, do not count.
DEADLINE_S = 8000.0

#: At the end of an epoch it waits at the gate, and saves and reports when it is told the time.
SCRIPT = """
import argparse, json, os, time
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("epoch_s", "loss"):
    parser.add_argument(f"--{name}", type=float)
parser.add_argument("--max_t", type=int)
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
gate = Path(__file__).parent / "gate"
checkpoint = args.st_checkpoint_dir / "epoch.json"
done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
if os.environ.get("RANK", "0") != "0":
    while True:
        time.sleep(60)

def write(path, content):
    path.with_suffix(".new").write_text(json.dumps(content))
    os.replace(path.with_suffix(".new"), path)

worker_time_s = 0.0
for epoch in range(done + 1, args.max_t + 1):
    seconds = args.epoch_s / int(os.environ.get("WORLD_SIZE", 1))
    worker_time_s += seconds
    write(gate / f"{os.getpid()}.waits", seconds)
    while not (gate / f"{os.getpid()}.goes").exists():
        time.sleep(0.002)
    now_s = json.loads((gate / f"{os.getpid()}.goes").read_text())
    (gate / f"{os.getpid()}.goes").unlink()
    args.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
    write(checkpoint, epoch)
    report = {"epoch": epoch, "loss": args.loss + 1 / epoch, "st_worker_time": worker_time_s}
    print(f"[tune-metric]: {json.dumps(report | {'st_worker_timestamp': now_s})}", flush=True)
"""


class Gatekeeper(TunerCallback):
    """Lets one trial through the gate at a time, in the order of virtual time.

    It does so when nothing else can happen: all trials that hold devices wait at the gate, with as many devices as they
    are to have, and the tuner has gone once round its loop without doing anything.
    """

    def __init__(self, backend, gate):
        self.backend, self.gate, self.now_s = backend, gate, 0.0
        #: When each process that waits has finished its epoch, by pid.
        self.due_s = {}
        self.awaited = None
        self.before = None
        gate.mkdir()

    def on_trial_result(self, trial, status, result, decision):
        assert trial.trial_id == self.awaited
        self.awaited = None

    def on_loop_end(self):
        picture = self.picture()
        if picture is not None and picture == self.before:
            self.let_one_through(picture)
            picture = None
        self.before = picture

    def picture(self):
        """Trial and devices of each process that waits; None as long as anything else is to be waited for."""
        if self.awaited is not None:
            return None
        running = {event.details["pids"][0]: event for event in open_launches(read_events(self.events_path))}
        self.due_s = {pid: due_s for pid, due_s in self.due_s.items() if pid in running}
        for pid in running.keys() - self.due_s.keys():
            path = self.gate / f"{pid}.waits"
            if not path.exists():
                return None
            self.due_s[pid] = self.now_s + json.loads(path.read_text())
            path.unlink()
        held = sorted((event.trial_id, "InProgress") for event in running.values() for _ in event.devices)
        if not running or held != sorted((trial_id, str(status)) for trial_id, status in self.occupied()):
            return None
        return sorted((pid, event.trial_id, len(event.devices)) for pid, event in running.items())

    def occupied(self):
        return self.backend.busy_trial_ids()

    @property
    def events_path(self):
        return self.backend.local_path / EVENTS_FILENAME

    def let_one_through(self, picture):
        due_s, pid = min((due_s, pid) for pid, due_s in self.due_s.items())
        if due_s >= DEADLINE_S:
            self.now_s = DEADLINE_S
            return
        self.now_s = due_s
        del self.due_s[pid]
        self.awaited = next(trial_id for each, trial_id, _ in picture if each == pid)
        aside = self.gate / f"{pid}.told"
        aside.write_text(json.dumps(due_s))
        aside.rename(self.gate / f"{pid}.goes")


def run_real(folder, monkeypatch):
    """The tuning with real processes, under the stock tuner, in virtual time."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(folder / "experiments"))
    script = folder / "sleeper.py"
    script.write_text(SCRIPT)
    backend = ElasticLocalBackend(script, NUM_DEVICES, device_type="cpu", preload=(), grace_s=60.0)
    gatekeeper = Gatekeeper(backend, folder / "gate")
    scheduler = make_scheduler(DEADLINE_S, clock=lambda: gatekeeper.now_s)
    results = StoreResultsCallback()
    tuner = Tuner(
        backend, scheduler, lambda status: gatekeeper.now_s >= DEADLINE_S, NUM_DEVICES, sleep_time=0.0,
        save_tuner=False, output_logger=QuietTunerLogger(), callbacks=[results, gatekeeper],
    )  # fmt: skip
    tuner.run()
    return TunedRun(scheduler.decisions, results.dataframe())


def test_every_decision_is_that_of_real_processes(tmp_path, monkeypatch):
    real, simulated = run_real(tmp_path, monkeypatch), run_simulated(LaunchCost(), DEADLINE_S)
    assert simulated.by_trial() == real.by_trial()
    assert simulated.by_report() == real.by_report()
    decided = [what for decisions in real.by_trial().values() for what, _ in decisions]
    assert {what: decided.count(what) for what in ("start", "resume", "resize", "pause", "close")} == {
        "start": 7,
        "resume": 1,
        "resize": 3,
        "pause": 6,
        "close": 1,
    }
    times = report_times(real, simulated)
    assert len(times) == len(simulated.results) == 49
    assert times.simulated_s.to_numpy() == pytest.approx(times.real_s.to_numpy())


@pytest.mark.slow
def test_the_benchmark_compares_real_seconds_with_simulated_ones(tmp_path):
    """The benchmark measures the difference of times, on an idle machine."""
    launch_cost = simulator_check.measure_launch_cost(tmp_path)
    real, simulated = simulator_check.run_real(tmp_path, 8.0), run_simulated(launch_cost, 8.0)
    times = report_times(real, simulated)
    assert len(times)
    assert (times.real_s > 0).all()
