"""The Ray backend on a real cluster of two nodes on this machine."""

from __future__ import annotations

import json
import os
import signal
from types import SimpleNamespace

import psutil
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.trial_status import Status
from syne_tune.config_space import uniform

from syne_hypersched import ASHA, ElasticRayBackend
from syne_hypersched.contract import ST_NUM_DEVICES, ST_NUM_NODES
from syne_hypersched.experiments import check_run, load_run, read_events
from syne_hypersched.filenames import EVENTS_FILENAME, STDOUT_FILENAME, rank_log_name
from tests.backends.ray.test_cluster import Told
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
print("rank", rank, "of Ray:", [name for name in os.environ if name.startswith("RAY_")], flush=True)
names = "WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE NODE_RANK MASTER_ADDR GLOO_SOCKET_IFNAME MINE".split()
with open(args.st_checkpoint_dir.parent / "seen.jsonl", "a") as file:
    file.write(json.dumps([rank, {name: os.environ.get(name) for name in names}]) + "\\n")
checkpoint = args.st_checkpoint_dir / "epoch.json"
done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
report = Reporter()
for epoch in range(done + 1, args.epochs + 1):
    time.sleep(0.05)
    if rank == 0:
        report(epoch=epoch, loss=args.x + 1 / epoch)
        args.st_checkpoint_dir.mkdir(parents=True, exist_ok=True)
        aside = checkpoint.with_suffix(".new")
        aside.write_text(json.dumps(epoch))
        os.replace(aside, checkpoint)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def make(ray_cluster, script, tmp_path):
    """Makes backends, and ends them."""
    made = []

    def make_backend(**arguments):
        defaults = {"address": ray_cluster.address, "devices_of": "slot", "insecure": True, "grace_s": 1.0}
        backend = ElasticRayBackend(script, **{**defaults, "start_timeout_s": 100.0, **arguments})
        backend.set_path(results_root=str(tmp_path / "run"))
        made.append(backend)
        return backend

    yield make_backend
    for backend in made:
        backend.stop_all()


class Polls:
    """Polls a backend and keeps the reports."""

    def __init__(self, backend, wait_for):
        self.backend, self.wait_for, self.reports, self.statuses = backend, wait_for, [], {}

    def until(self, condition):
        def look():
            self.statuses, new = self.backend.fetch_status_results(trial_ids=list(range(len(self.backend.trial_ids))))
            self.reports += [report for _, report in new]
            return condition(self.reports)

        self.wait_for(look)


def started(backend, epochs=2000):
    trial = backend.start_trial(config={"x": 1.0, "epochs": epochs})
    trial.follow("epoch")
    return trial


def agents():
    """Pids of the agents of this test's cluster, which are descendants of this process."""
    below = psutil.Process().children(recursive=True)
    return [process.pid for process in below if "ray::NodeAgent" in " ".join(_cmdline(process))]


def _cmdline(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_trial_grows_over_two_nodes(make, wait_for, tmp_path):
    backend = make(num_devices=4, env_vars={"MINE": "yes"}, lease_s=30.0)
    trial, polls = started(backend), Polls(backend, wait_for)
    polls.until(lambda reports: len(reports) >= 3)
    trial.resize(4)
    polls.until(lambda reports: any(report[ST_NUM_DEVICES] == 4 for report in reports))
    assert {report.get(ST_NUM_NODES, 1) for report in polls.reports} == {1, 2}
    wait_for(lambda: len((tmp_path / "run" / "0" / "seen.jsonl").read_text().splitlines()) == 5)
    seen = [json.loads(line) for line in (tmp_path / "run" / "0" / "seen.jsonl").read_text().splitlines()]
    (_, alone), *others = seen
    assert alone["WORLD_SIZE"] == "1"
    ranks = dict(others)
    assert sorted(ranks) == [0, 1, 2, 3]
    assert {env["WORLD_SIZE"] for env in ranks.values()} == {"4"}
    assert [ranks[rank]["LOCAL_RANK"] for rank in range(4)] == ["0", "1", "0", "1"]
    assert [ranks[rank]["NODE_RANK"] for rank in range(4)] == ["0", "0", "1", "1"]
    assert len({env["MASTER_ADDR"] for env in ranks.values()}) == 1
    assert ranks[0]["GLOO_SOCKET_IFNAME"] != "lo"
    assert {env["MINE"] for env in ranks.values()} == {"yes"}
    backend.stop_all()
    assert "rank 0 of Ray: []" in "".join(backend.stdout(0))
    assert "rank 3 of Ray: []" in (tmp_path / "run" / "0" / rank_log_name(STDOUT_FILENAME, 3)).read_text()
    epochs = [report["epoch"] for report in polls.reports]
    assert epochs == list(range(1, len(epochs) + 1))
    events = read_events(tmp_path / "run" / EVENTS_FILENAME)
    assert [len(event.devices) for event in events if event.event == "launch"] == [1, 4]
    assert not (tmp_path / "run" / "0" / "resizes").exists(), "no script is asked whether it can change in place"
    assert not agents()


@pytest.mark.slow
class TestFailures:
    def test_an_agent_that_dies_is_replaced(self, make, wait_for):
        """Its trial checkpoints, and goes on; nothing is lost or doubled."""
        backend = make(num_devices=4, lease_s=5.0)
        trial, polls = started(backend), Polls(backend, wait_for)
        trial.resize(4)
        polls.until(lambda reports: any(report[ST_NUM_DEVICES] == 4 for report in reports))
        num_reports = len(polls.reports)
        os.kill(agents()[0], signal.SIGKILL)
        polls.until(lambda reports: any(report[ST_NUM_DEVICES] == 2 for report in reports[num_reports:]))
        polls.until(lambda reports: reports[-1][ST_NUM_DEVICES] == 4)
        epochs = [report["epoch"] for report in polls.reports]
        assert epochs == list(range(1, len(epochs) + 1))

    def test_the_tuner_outlives_its_gateway(self, make, wait_for):
        backend = make(num_devices=2, lease_s=3.0)
        started(backend)
        polls = Polls(backend, wait_for)
        polls.until(lambda reports: len(reports) >= 3)
        gateway = backend._cluster._process.pid
        os.kill(gateway, signal.SIGKILL)
        polls.until(lambda reports: sum(report["st_launch"] > 0 for report in reports) >= 10)
        assert backend._cluster._process.pid != gateway
        epochs = [report["epoch"] for report in polls.reports]
        assert epochs == list(range(1, len(epochs) + 1))
        assert polls.statuses[0][1] == Status.in_progress

    def test_an_agent_that_is_stopped_trains_no_longer_than_its_lease(self, make, wait_for):
        """Supervisors keep the lease: the trial ends in time although the agent can do nothing."""
        backend = make(num_devices=1, lease_s=3.0)
        started(backend)
        polls = Polls(backend, wait_for)
        polls.until(lambda reports: len(reports) >= 3)
        (agent,) = agents()
        ranks = [
            process.pid
            for process in psutil.Process(agent).children(recursive=True)
            if not process.children() and process.ppid() not in (agent,)
        ]
        os.kill(agent, signal.SIGSTOP)
        try:
            wait_for(lambda: not any(psutil.pid_exists(pid) for pid in ranks))
        finally:
            os.kill(agent, signal.SIGCONT)
        polls.until(lambda reports: sum(report["st_launch"] > 0 for report in reports) >= 10)
        epochs = [report["epoch"] for report in polls.reports]
        assert epochs == list(range(1, len(epochs) + 1))

    def test_a_rank_that_fails_ends_its_launch_on_all_nodes(self, make, wait_for, script):
        script.write_text(
            SCRIPT.replace("report = Reporter()", "if rank == 3: raise SystemExit('no rank 3')\nreport = Reporter()")
        )
        backend = make(num_devices=4, lease_s=30.0, retries=0, num_devices_per_trial=4)
        started(backend)
        polls = Polls(backend, wait_for)
        polls.until(lambda _: polls.statuses[0][1] == Status.failed)
        (exit_,) = [event for event in read_events(backend.local_path / EVENTS_FILENAME) if event.event == "exit"]
        assert exit_.details["how"] == "failed"
        assert exit_.details["exit_code"] == 1


def test_nodes_are_asked_once_in_a_tuning_what_they_see(script, tmp_path):
    """Not again whenever no trial runs: each start would wait for all of them."""
    told = Told()
    told.begin()
    told.link.on_send = lambda message: told.agent_says("probed", probe=message["order"]["probe"], error="")
    backend = SimpleNamespace(
        _running_cluster=lambda: told.cluster, entry_point=script, _checkpoint_path=tmp_path, _start_timeout_s=5.0
    )
    for _ in range(2):
        ElasticRayBackend._claim_devices(backend)
    assert [message["order"]["order"] for message in told.link.sent] == ["probe"]


def test_an_address_where_nothing_listens_is_refused(script):
    pytest.importorskip("ray")
    with pytest.raises(
        ConnectionError, match=r"address must lead to a Ray cluster, but '127.0.0.1:1' does not: .*refused"
    ):
        ElasticRayBackend(script, address="127.0.0.1:1")


@pytest.mark.slow
class TestSharing:
    def test_two_tunings_use_different_nodes(self, make):
        """Each node has two slots, which Ray gives to one of them."""
        backends = [make(num_devices=2, lease_s=30.0) for _ in range(2)]
        assert [len(backend.devices.names) for backend in backends] == [2, 2]

    def test_a_start_that_is_given_up_gives_its_devices_back(self, make):
        with pytest.raises(ValueError, match="num_devices_per_trial must be from 1 to 4"):
            make(num_devices=4, num_devices_per_trial=5, lease_s=30.0)
        assert not agents()
        assert len(make(num_devices=4, lease_s=30.0).devices.names) == 4


@pytest.mark.slow
class TestRefusals:
    def test_a_cluster_that_others_can_reach_needs_a_token(self, make):
        with pytest.raises(PermissionError, match=r"must require a token.*insecure=True"):
            make(num_devices=2, insecure=False)

    def test_a_resource_that_no_node_has(self, make):
        for start_timeout_s in (20.0, 60.0, 180.0):  # a busy machine may take longer until it is connected at all
            with pytest.raises(ConnectionError) as refused:
                make(num_devices=2, devices_of="nothing", start_timeout_s=start_timeout_s)
            if "it has not answered within" not in str(refused.value):
                break
        assert str(refused.value).startswith("devices_of must name a resource")


@pytest.mark.slow
def test_a_tuning_keeps_all_rules(make, tmp_path):
    backend = make(num_devices=4, lease_s=30.0)
    scheduler = ASHA({"x": uniform(0, 1), "epochs": 27}, "loss", "epoch", max_t=27, random_seed=0)
    criterion = StoppingCriterion(max_num_trials_started=8)
    tuner = Tuner(backend, scheduler, criterion, n_workers=4, save_tuner=False, sleep_time=0.1)
    tuner.run()
    run = load_run(tuner.tuner_path)
    assert len(run.reports) >= 8
    assert check_run(run) == ()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"lease_s": 0}, "lease_s must be"),
        ({"devices_of": ""}, "devices_of must be"),
        ({"env_vars": ["A"]}, "env_vars must map"),
        ({"num_devices": 0}, "num_devices must be"),
        ({"max_memory": 2}, "max_memory must be"),
        ({"insecure": "yes"}, "insecure must be"),
        ({"checkpoint_path": "x", "pass_args_as_json": True}, "pass_args_as_json must be"),
        ({"entry_point": "nowhere.py"}, "entry_point must be"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_started(script, arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ElasticRayBackend(**{"entry_point": script, **arguments})
