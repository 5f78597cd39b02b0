"""Tunings of one real script on the elastic local backend."""

from __future__ import annotations

from syne_tune import Tuner
from syne_tune.config_space import uniform
from syne_tune.optimizer.baselines import RandomSearch

from syne_hypersched import ASHA, Deadline, ElasticLocalBackend
from syne_hypersched._tables import read_csv
from syne_hypersched.experiments import check_run, load_run

SCRIPT = """
import argparse, json, os, signal, sys, time
from pathlib import Path
from tests.reporter import Reporter

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float, default=1.0)
parser.add_argument("--epochs", type=int, default=1000)
parser.add_argument("--mode", default="")
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
if args.mode == "crash":
    print("about to fail", file=sys.stderr)
    raise RuntimeError("no such luck")
if args.mode == "silent":
    sys.exit(0)
if args.mode == "half":
    print('[tune-metric]: {"epoch": 1, "lo')
if args.mode == "ignore":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if args.mode == "fork" and os.fork() == 0:
    os.setsid()
    time.sleep(600)
rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
checkpoint = args.st_checkpoint_dir / "epoch.json"
done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
report = Reporter()
for epoch in range(done + 1, args.epochs + 1):
    time.sleep(0.03 / world_size)
    if args.mode == "crash at 3" and epoch == 3:
        sys.exit("always here")
    if args.mode == "crash on 2" and world_size == 2:
        sys.exit("no room for two")
    report(epoch=epoch, loss=float("nan") if args.mode == "nan" else args.x + 1 / epoch)  # every rank: only one counts
    if rank == 0:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.with_suffix(".new").write_text(json.dumps(epoch))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
"""


def make_backend(script, num_devices=4, **options):
    return ElasticLocalBackend(script, num_devices, **{"device_type": "cpu", "grace_s": 20.0, **options})


def run(backend, scheduler, stop_criterion, n_workers=4, **options):
    options = {"sleep_time": 0.02, "results_update_interval": 1, "tuner_name": "test", **options}
    tuner = Tuner(backend, scheduler, stop_criterion, n_workers=n_workers, **options)
    tuner.run()
    return tuner


class EarlyDeadline(Deadline):
    """A deadline that is far away, and has come once the test has seen enough."""

    def __init__(self, deadline_s, backend, is_enough):
        super().__init__(deadline_s, backend)
        self._is_enough = is_enough

    def __call__(self, status):
        return super().__call__(status) or self._is_enough(status)


def results(tuner):
    return read_csv(tuner.tuner_path / "results.csv.zip")


def assert_sound(tuner):
    """The rules that hold in every run, and epochs that start at 1."""
    assert check_run(load_run(tuner.tuner_path, time_attr="epoch")) == ()
    assert (results(tuner).groupby("trial_id").epoch.min() == 1).all()


def asha(cls=ASHA, max_t=30, **options):
    return cls({"x": uniform(0, 1)}, "loss", time_attr="epoch", max_t=max_t, random_seed=1, **options)


def fixed(mode, **options):
    return RandomSearch({"x": uniform(0, 1), "mode": mode, **options}, metrics=["loss"], random_seed=1)


def poll(backend, trial_ids, condition, wait_for):
    reports = []

    def polled():
        reports.extend(backend.fetch_status_results(trial_ids=trial_ids)[1])
        return condition(reports)

    wait_for(polled)
    return reports
