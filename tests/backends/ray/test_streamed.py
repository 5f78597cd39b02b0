"""Nodes that share no folder: checkpoints are copied, on a real cluster of two nodes with separate folders."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform

from syne_hypersched import ASHA, ElasticRayBackend
from syne_hypersched.backends.ray._scratch import OWNER
from syne_hypersched.checkpoints import GenerationStore
from syne_hypersched.contract import ST_NUM_DEVICES, ST_NUM_NODES
from syne_hypersched.experiments import check_run, load_run, read_events
from syne_hypersched.filenames import BEST_DIRNAME, EVENTS_FILENAME
from tests.backends.ray.test_backend import Polls, started
from tests.installed import needs

pytestmark = needs("ray")

SCRIPT = """
import argparse, json, os, time
from pathlib import Path
from tests.reporter import Reporter
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--epochs", type=int)
parser.add_argument("--st_checkpoint_dir", type=Path)
args = parser.parse_args()
rank = int(os.environ.get("RANK", 0))
checkpoint = args.st_checkpoint_dir / "epoch.json"
done = json.loads(checkpoint.read_text())["epoch"] if checkpoint.exists() else 0
print("rank", rank, "begins with", done, "in", args.st_checkpoint_dir, flush=True)
report = Reporter()
for epoch in range(done + 1, args.epochs + 1):
    time.sleep(0.05)
    if rank == 0:
        args.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
        aside = checkpoint.with_suffix(".new")
        aside.write_text(json.dumps({"epoch": epoch, "weights": "w" * 100_000}))
        os.replace(aside, checkpoint)
        report(epoch=epoch, loss=args.x + 1 / epoch)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def make(ray_cluster, script, tmp_path):
    made = []

    def make_backend(**arguments):
        defaults = {
            "address": ray_cluster.address, "devices_of": "slot", "insecure": True, "grace_s": 1.0,
            "start_timeout_s": 100.0, "node_path": tmp_path / "disks", "num_devices": 4, "lease_s": 30.0,
        }  # fmt: skip
        backend = ElasticRayBackend(script, **{**defaults, **arguments})
        backend.set_path(results_root=str(tmp_path / "run"))
        made.append(backend)
        return backend

    yield make_backend
    for backend in made:
        backend.stop_all()


def begun(backend, trial_id=0):
    """What rank 0 of each launch has begun with, and where."""
    lines = [line.split() for line in backend.stdout(trial_id) if "begins with" in line]
    return [(int(line[4]), line[6]) for line in lines]


def events(backend, name):
    return [event for event in read_events(backend.local_path / EVENTS_FILENAME) if event.event == name]


def are_all(reports):
    epochs = [report["epoch"] for report in reports]
    return epochs == list(range(1, len(epochs) + 1))


@pytest.mark.slow
class TestTrials:
    def test_a_trial_goes_on_on_other_nodes_from_its_newest_checkpoint(self, make, wait_for):
        backend = make()
        trial, polls = started(backend), Polls(backend, wait_for)
        polls.until(lambda reports: len(reports) >= 3)
        trial.resize(4)
        polls.until(lambda reports: any(report[ST_NUM_DEVICES] == 4 for report in reports))
        trial.resize(1)
        polls.until(lambda reports: reports[-1][ST_NUM_DEVICES] == 1)
        backend.pause_trial(0)
        polls.until(lambda _: not backend.busy_trial_ids())
        backend.resume_trial(0)
        polls.until(lambda reports: reports[-1]["st_launch"] == 3)
        backend.stop_all()
        assert are_all(polls.reports)
        assert {report.get(ST_NUM_NODES, 1) for report in polls.reports} == {1, 2}
        folders = {folder for _, folder in begun(backend)}
        assert all("/disks/" in folder for folder in folders)
        assert not events(backend, "restore")
        last = json.loads((backend.checkpoint_trial_path(0) / "epoch.json").read_text())
        assert last["epoch"] >= polls.reports[-1]["epoch"]
        assert not list((backend.local_path.parent / "disks").rglob("epoch.json"))

    def test_both_nodes_have_the_newest_checkpoint_before_a_launch(self, make, wait_for, tmp_path):
        backend = make()
        trial, polls = started(backend), Polls(backend, wait_for)
        polls.until(lambda reports: len(reports) >= 3)
        trial.resize(4)
        polls.until(lambda reports: any(report[ST_NUM_DEVICES] == 4 for report in reports))

        def beginnings():
            logs = [path.read_text() for path in (tmp_path / "run" / "0").iterdir() if "out" in path.name]
            lines = [line for log in logs for line in log.splitlines() if "begins with" in line]
            return [line.split() for line in lines if not line.endswith("0") and "with 0" not in line]

        wait_for(lambda: len(beginnings()) >= 4)  # the others may begin later than rank 0 reports
        backend.stop_all()
        launch = beginnings()
        assert not list((tmp_path / "run" / "0").glob(".rank0*"))
        assert sorted(words[1] for words in launch) == ["0", "1", "2", "3"], launch
        epoch_of = {words[1]: words[4] for words in launch}  # rank 1 may read what rank 0 has saved since
        assert epoch_of["0"] == epoch_of["2"] == epoch_of["3"]
        assert len({words[6] for words in launch}) == 2


def agent_of(folder):
    """The pid of the agent that has a trial's checkpoint folder."""
    (pid,) = json.loads((Path(folder).parents[1] / OWNER).read_text())["pids"]
    return pid


@pytest.mark.slow
class TestLostNodes:
    def test_a_trial_goes_back_to_the_copy_on_the_tuners_disk(self, make, wait_for):
        backend = make(lease_s=5.0)
        started(backend)
        polls = Polls(backend, wait_for)
        polls.until(lambda reports: len(reports) >= 20)
        wait_for(lambda: GenerationStore(backend.checkpoint_trial_path(0)).numbers())
        os.kill(agent_of(begun(backend)[0][1]), signal.SIGKILL)
        polls.until(lambda reports: sum(report["st_launch"] == 1 for report in reports) >= 5)
        assert are_all(polls.reports)
        assert [epoch > 0 for epoch, _ in begun(backend)] == [False, True]

    def test_without_a_copy_it_begins_anew_and_an_event_says_so(self, make, wait_for):
        backend = make(lease_s=5.0)
        blocked = backend.checkpoint_trial_path(0).with_name(".checkpoints-generations")
        blocked.parent.mkdir(parents=True)
        blocked.touch()  # nothing can be copied there
        trial = started(backend)
        polls = Polls(backend, wait_for)
        polls.until(lambda reports: len(reports) >= 20)
        os.kill(agent_of(begun(backend)[0][1]), signal.SIGKILL)
        polls.until(lambda _: events(backend, "exit"))
        blocked.unlink()
        polls.until(lambda reports: reports[-1]["st_launch"] == 1)
        assert are_all(polls.reports)
        assert [epoch for epoch, _ in begun(backend)] == [0, 0]
        (event,) = events(backend, "restore")
        assert "was lost before its newest checkpoint was copied to the tuner's disk" in event.reason
        assert event.details["generation"] is None
        assert trial.num_devices == 1

    def test_a_tuner_that_is_resumed_goes_on_from_its_own_disk(self, make, wait_for):
        """As after the death of the tuner, all agents are others then."""
        backend = make()
        started(backend)
        polls = Polls(backend, wait_for)
        polls.until(lambda reports: len(reports) >= 5)
        backend.pause_trial(0)
        polls.until(lambda _: not backend.busy_trial_ids())
        backend.stop_all()
        backend.resume_trial(0)
        num_reports = len(polls.reports)
        polls.until(lambda reports: reports[-1]["st_launch"] == 1)
        assert are_all(polls.reports)
        assert begun(backend)[1][0] >= num_reports


@pytest.mark.slow
class TestTunings:
    def test_a_tuning_keeps_all_rules_and_has_its_best_checkpoint(self, make):
        backend = make()
        scheduler = ASHA({"x": uniform(0, 1), "epochs": 27}, "loss", "epoch", max_t=27, random_seed=0)
        criterion = StoppingCriterion(max_num_trials_started=8)
        tuner = Tuner(backend, scheduler, criterion, n_workers=4, save_tuner=False, sleep_time=0.1)
        tuner.run()
        run = load_run(tuner.tuner_path)
        assert check_run(run) == ()
        best = tuner.tuner_path / BEST_DIRNAME
        result = json.loads((best / "result.json").read_text())
        newer_by = {"exact": 0}.get(result["st_checkpoint"]["match"], result["st_checkpoint"]["match"])
        saved = json.loads((best / "checkpoint" / "epoch.json").read_text())["epoch"]
        assert result["epoch"] <= saved <= result["epoch"] + newer_by

    def test_a_trial_begins_with_the_checkpoint_of_another_one(self, make, wait_for):
        backend = make()
        started(backend)
        polls = Polls(backend, wait_for)
        polls.until(lambda reports: len(reports) >= 10)
        backend.start_trial({"x": 2.0, "epochs": 2000}, checkpoint_trial_id=0)
        polls.until(lambda _: begun(backend, 1))
        assert begun(backend, 1)[0][0] > 0
