"""Kills the tuner at random moments, resumes the experiment each time, and checks that nothing is lost or doubled.

The tuner is killed while it tunes or resumes; half of the kills are aimed at moments when it takes a snapshot. Three
kinds of experiment are killed until they end by themselves, repeatedly:

* ``one-by-one``: promotion ASHA with one worker. Every decision follows from those before, so the results must equal
  those of an undisturbed experiment, row by row.
* ``points``: six configurations, trained to the end on two workers. The set of (trial, epoch, value) must be equal.
* ``hypersched``: HyperSched with a deadline, on trials that are resized. Its decisions depend on the time.

In all of them, every report that was journaled before a kill must be in the final results, once; no epoch may be
missing, and no process may be left behind. Each trial writes its checkpoint in one of three ways: aside after the
report, in place after the report (and fails if it is torn), or aside before the report, which the next launch repeats.

    python benchmarking/faults/tuner_kills.py --kills 100
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarking.faults.forks import run_in_fork
from syne_hypersched import ASHA, Deadline, ElasticLocalBackend, HyperSched, Journal, PublishedRules, resume_experiment
from syne_hypersched._tables import read_csv
from syne_hypersched.experiments import check_run, load_run, read_events
from syne_hypersched.recovery import find_orphans

KINDS = ("one-by-one", "points", "hypersched")
NUM_POINTS = 6
#: Seconds until a kill are drawn uniformly from 0 to this; an experiment takes a few seconds more.
LONGEST_LIFE_S = 2.5

#: A script that prints reports like Syne Tune's reporter. It imports almost nothing, so that most time is tuning.
SCRIPT = """
import json, os, sys, time
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
folder, x, epochs = arguments["--st_checkpoint_dir"], float(arguments["--x"]), int(arguments["--epochs"])
os.makedirs(folder, exist_ok=True)
path, begun = os.path.join(folder, "epoch.json"), time.time()
way = ("aside", "plain", "early")[int(1000 * x) % 3]

def report(epoch):
    values = {"epoch": epoch, "loss": x + 1 / epoch, "st_worker_time": time.time() - begun,
              "st_worker_timestamp": time.time()}
    print("[tune-metric]: " + json.dumps(values), flush=True)

def save(epoch):
    if os.environ.get("RANK", "0") == "0":
        with open(path if way == "plain" else path + ".new", "w") as file:
            file.write("[" + str(epoch))
            if way == "plain":
                file.flush()
                time.sleep(0.002)
            file.write("]")
        if way != "plain":
            os.replace(path + ".new", path)

done = json.load(open(path))[0] if os.path.exists(path) else 0
if done and way == "early":
    report(done)
for epoch in range(done + 1, epochs + 1):
    time.sleep(0.02)
    for do in (save, report) if way == "early" else (report, save):
        do(epoch)
"""

Curves = set[tuple[int, int, float]]


def make_tuner(kind: str, name: str, script: Path) -> Tuner:
    """A tuner that has not run yet; the same arguments give the same decisions."""
    backend = ElasticLocalBackend(script, 2, device_type="cpu", grace_s=1.0)
    space = {"x": uniform(0, 1), "epochs": 9}
    n_workers = 2
    if kind == "one-by-one":
        scheduler = ASHA(space, "loss", "epoch", max_t=9, type="promotion", random_seed=3)
        stop, n_workers = StoppingCriterion(max_num_trials_started=25), 1
    elif kind == "points":
        points = [{"x": i / 10} for i in range(NUM_POINTS)]
        space["epochs"] = 60
        scheduler = ASHA(
            space, "loss", "epoch", max_t=60, grace_period=60, points_to_evaluate=points, random_seed=3
        )  # fmt: skip
        stop = StoppingCriterion(max_num_trials_finished=NUM_POINTS)
    else:
        space["epochs"] = 10_000
        scheduler = HyperSched(
            space, "loss", "epoch", max_t=10_000, num_devices=2, deadline_s=12, grace_period=4, random_seed=3,
            strategy=PublishedRules(fixed_exploration=0.3, recharge_period=2),
        )  # fmt: skip
        stop = Deadline(12, backend)
    return Tuner(
        backend, scheduler, stop, n_workers=n_workers, sleep_time=0.01, results_update_interval=1, save_tuner=False,
        tuner_name=name, suffix_tuner_name=False, callbacks=[Journal(snapshot_interval_s=0.05)],
    )  # fmt: skip


class Experiment:
    """An experiment whose tuner runs in a fork of this process, which has already imported everything."""

    def __init__(self, kind: str, name: str, folder: Path) -> None:
        self.kind, self.name = kind, name
        #: Whether a snapshot was being written when the tuner was last killed.
        self.hit_a_snapshot = False
        self.path = folder / "experiments" / name
        self._script, self._log = folder / "train.py", folder / "tuner.log"

    def run(self, life_s: float | None, aim_s: float = 0.0) -> bool:
        """Starts or resumes the tuner and kills it; returns whether it has ended by itself before.

        Parameters
        ----------
        life_s
            Seconds until the kill; None: it is not killed.
        aim_s
            Most further seconds to wait for a moment when a snapshot is being written.
        """
        begun = any(self.path.glob("journal/*.jsonl"))
        if not begun and self.path.exists():  # it was killed before it had written anything
            os.rename(self.path, self.path.with_name(f"{self.name}-stillborn-{time.monotonic_ns()}"))
        pid = run_in_fork(self._resume if begun else self._start, self._log)
        give_up_at = time.monotonic() + (60 if life_s is None else life_s)
        while time.monotonic() < give_up_at:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                if code != 0:
                    raise RuntimeError(f"the tuner has ended with code {code}:\n{self._log.read_text()[-6000:]}")
                return True
            time.sleep(0.002)
        while time.monotonic() < give_up_at + aim_s and not self.is_taking_a_snapshot():
            time.sleep(0.0002)
        self.hit_a_snapshot = self.is_taking_a_snapshot()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if life_s is None:
            raise RuntimeError(f"the tuner does not end:\n{self._log.read_text()[-6000:]}")
        return False

    def rows(self) -> list[tuple[int, int, float, str]]:
        table = read_csv(self.path / "results.csv.zip")
        return [(row.trial_id, row.epoch, row.loss, row.st_decision) for row in table.itertuples()]

    def curves(self) -> Curves:
        return {(trial_id, epoch, loss) for trial_id, epoch, loss, _ in self.rows()}

    def journaled(self) -> Curves:
        """Reports in the journal, read without code of the package."""
        found = set()
        for path in self.path.glob("journal/*.jsonl"):
            for line in path.read_bytes().split(b"\n")[:-1]:
                entry = json.loads(line)
                if entry.get("call") == "result":
                    found.add((entry["trial_id"], entry["report"]["epoch"], entry["report"]["loss"]))
        return found

    def is_taking_a_snapshot(self) -> bool:
        return (self.path / "journal" / "snapshot.new").exists()

    def faults(self) -> list[str]:
        """The faults of an experiment that has ended."""
        found = [violation.message for violation in check_run(load_run(self.path, time_attr="epoch"), step=1)]
        events = read_events(self.path / "events.jsonl")
        found += [f"process {orphan.pid} is left behind" for orphan in find_orphans(self.path, self.path, events)]
        twice = [row for row, number in Counter(row[:2] for row in self.rows()).items() if number > 1]
        return found + [f"reported twice: {row}" for row in twice]

    def _start(self) -> None:
        make_tuner(self.kind, self.name, self._script).run()

    def _resume(self) -> None:
        resume_experiment(self.name, time_passes="running")


def compare(kind: str, whole: Experiment, killed: Experiment) -> list[str]:
    """The differences between an uninterrupted experiment and one that was killed."""
    if kind == "one-by-one":
        return [] if whole.rows() == killed.rows() else ["the rows differ from those of the uninterrupted experiment"]
    if kind == "points":
        expected, got = ({row for row in e.curves() if row[0] < NUM_POINTS} for e in (whole, killed))
        return [f"missing {sorted(expected - got)}, too many {sorted(got - expected)}"] if expected != got else []
    return []


def kill_and_resume(kinds: Sequence[str], num_kills: int, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Runs experiments until ``num_kills`` tuners were killed.

    Returns
    -------
    tuple of Counter and list of str
        Number of events of each kind, and every fault that was found.
    """
    os.environ["SYNETUNE_FOLDER"] = str(folder / "experiments")
    (folder / "train.py").write_text(SCRIPT)
    generator = random.Random(seed)
    whole = {kind: Experiment(kind, f"whole-{kind}", folder) for kind in kinds if kind != "hypersched"}
    for experiment in whole.values():
        experiment.run(None)
    counts: Counter[str] = Counter()
    faults: list[str] = []
    while counts["kills"] < num_kills:
        kind = kinds[counts["experiments"] % len(kinds)]
        experiment = Experiment(kind, f"{kind}-{counts['experiments']}", folder)
        before: Curves = set()
        while counts["kills"] < num_kills:
            # Snapshots are written in a millisecond or two: every other kill is aimed at one.
            if experiment.run(generator.uniform(0, LONGEST_LIFE_S), aim_s=generator.choice((0.0, 0.5))):
                break
            counts["kills"] += 1
            counts["of them while a snapshot was written"] += experiment.hit_a_snapshot
            counts["of them that left half a snapshot"] += experiment.is_taking_a_snapshot()
            now = experiment.journaled()
            if before - now:
                faults.append(f"{experiment.name}: the journal has lost {sorted(before - now)}")
            before = now
        experiment.run(None)
        counts["experiments"] += 1
        counts["reports"] += len(experiment.rows())
        lost = before - experiment.curves()
        found = [f"journaled, but not in the results: {sorted(lost)}"] if lost else []
        found += experiment.faults()
        if kind in whole:
            found += compare(kind, whole[kind], experiment)
        faults += [f"{experiment.name}: {fault}" for fault in found]
        print(f"{experiment.name}: {counts['kills']} kills so far, {len(faults)} faults", flush=True)
    return counts, faults


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="tuners to kill (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default 0)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="experiments (default all)")
    parser.add_argument("--folder", type=Path, help="where to keep the experiments (default: nowhere)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if options.folder is None else options.folder
        folder.mkdir(parents=True, exist_ok=True)
        counts, faults = kill_and_resume(options.kinds, options.kills, options.seed, folder)
    for what, number in counts.items():
        print(f"{number:6d} {what}")
    print("\n".join([f"{len(faults):6d} faults", *faults]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
