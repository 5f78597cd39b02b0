"""What an agent does with orders and finds out about its node; tests of the backend run agents as a whole."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from syne_hypersched.backends.machine.discovery import Devices
from syne_hypersched.backends.ray._agent import NodeAgent, _checkpoints, _with_own_python
from syne_hypersched.backends.ray._lease import Lease
from syne_hypersched.backends.ray._messages import pack, unpack
from syne_hypersched.backends.ray._node_files import NodeFiles
from syne_hypersched.backends.ray._probe import answer
from syne_hypersched.backends.ray._unacknowledged import Unacknowledged
from syne_hypersched.checkpoints import Beginning
from syne_hypersched.launch import LaunchExit

LEASE_S, GRACE_S = 8.0, 2.0


class Noting:
    """Notes all calls, and returns numbers from 0."""

    def __init__(self):
        self.calls = []
        self.fails = None

    def __getattr__(self, name):
        def call(*arguments):
            if self.fails is not None:
                raise self.fails
            self.calls.append((name, *arguments))
            return len(self.calls) - 1

        return call


class NotingLogs(Noting):
    """Logs that are sent at once."""

    def finish(self, launch, when_sent=lambda: None):
        self.calls.append(("finish", launch))
        when_sent()


class Agent(NodeAgent):
    """An agent without a launcher, threads and a lease that ends it."""

    def __init__(self, now_s, folder):
        self._lease_s, self._grace_s, self._ip = LEASE_S, GRACE_S, "10.0.0.1"
        self._environment = {"PATH": "/bin"}
        self._devices = Devices(("0", "1"))
        self._outbox = Unacknowledged()
        self._lease = Lease(LEASE_S, now_s)
        self._deadline, self._told_lease, self._order_number = None, self._lease.ends_at, 0
        self._lock, self._keys, self._handles = threading.Lock(), {}, {}
        self._closing = threading.Event()
        self._launcher, self._memory, self._logs, self._ports = Noting(), Noting(), NotingLogs(), Noting()
        self._scratch = SimpleNamespace(folder=folder)
        self._files = NodeFiles(str(folder / "disk"), 0.0)

    def give(self, *orders, begin=1):
        return unpack(self.order(pack({"orders": list(enumerate(orders, begin))})))["carried_out"]

    def told(self):
        return [message for *_, message in self._outbox.take(0, 0.0)]


@pytest.fixture
def agent(tmp_path, monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    return Agent(100.0, tmp_path)


def launch_order(**fields):
    world = {"size": 2, "first_rank": 0, "node_rank": 0, "num_nodes": 1, "master": None}
    return {
        "order": "launch", "launch": 7, "argv": ["/tuner/python", "train.py"], "warm": False, "grace_s": 1.0,
        "cwd": "/no/such/folder", "python": "/tuner/python", "devices": ["0", "1"], "per_device": True, "world": world,
        "log": None, "checkpoints": None, **fields,
    }  # fmt: skip


def test_each_order_is_carried_out_once(agent):
    follow = {"order": "follow", "time_attr": "epoch", "metric": "loss", "do_minimize": True}
    assert agent.give(follow, follow) == 2
    assert agent.give(follow, follow, {"order": "close"}) == 3, "the first two were given before"
    assert agent._launcher.calls == [("follow", "epoch", "loss", True)] * 2
    assert agent._closing.is_set()


def test_trials_train_until_the_lease_or_the_deadline_ends(agent):
    agent._move_deadline()
    agent.give({"order": "deadline", "drain_in_s": 5.0, "kill_in_s": 6.0})
    agent.give({"order": "deadline", "drain_in_s": 50.0, "kill_in_s": 60.0}, begin=2)
    ends_at = agent._lease.ends_at
    assert agent._launcher.calls == [
        ("set_deadline", ends_at, ends_at + GRACE_S), ("set_deadline", 105.0, 106.0),
        ("set_deadline", ends_at, ends_at + GRACE_S),
    ]  # fmt: skip


def test_an_answer_that_was_heard_moves_the_lease_on(agent, monkeypatch):
    question = {"heard": None, "acknowledged": 0, "wait_s": 0.0}
    first = unpack(agent.poll(pack(question)))
    assert first["messages"] == []
    monkeypatch.setattr("time.monotonic", lambda: 104.0)
    second = unpack(agent.poll(pack({**question, "heard": first["answer"]})))
    assert agent._launcher.calls == [], "it was from the same moment"
    unpack(agent.poll(pack({**question, "heard": second["answer"]})))
    ((_, drain_at, kill_at),) = agent._launcher.calls
    assert drain_at == agent._lease.ends_at
    assert kill_at - drain_at == GRACE_S


def test_a_launch_is_started_known_drained_and_ended(agent):
    agent.give(launch_order(), {"order": "drain", "launch": 7, "grace_s": 3.0}, {"order": "drain", "launch": 8})
    (name, spec), drained = agent._launcher.calls
    assert (name, drained) == ("launch", ("drain", 0, 3.0))
    assert spec.argv == (sys.executable, "train.py")
    assert [Path(rank.stdout).name for rank in spec.ranks] == ["7-0.out", "7-1.out"]
    assert [rank.env["RANK"] for rank in spec.ranks] == ["0", "1"]
    assert spec.cwd == str(agent._scratch.folder), "the tuner's folder is not here"
    agent._on_launched(0, [41, 42], 1.0)
    agent._on_checkpoint(0, Beginning(3))
    agent._on_exit(0, LaunchExit((0, 0), None, False, False), 2.0)
    assert [(message["event"], message["launch"]) for message in agent.told()] == [
        ("launched", 7), ("began", 7), ("exit", 7),
    ]  # fmt: skip
    assert agent._memory.calls == [("add", 0, [41, 42]), ("remove", 0)]
    assert [call[:2] for call in agent._logs.calls] == [("add", 7), ("finish", 7)]
    assert (agent._keys, agent._handles) == ({}, {})


def test_rank_0_prints_into_the_shared_folder_and_its_port_is_released(agent, tmp_path):
    log = tmp_path / "shared" / "0" / "log"
    world = {"size": 3, "first_rank": 0, "node_rank": 0, "num_nodes": 2, "master": ["127.0.0.1", 4000]}
    agent._ip = "127.0.0.1"
    agent.give(launch_order(world=world, log=str(log), warm=True, cwd=str(tmp_path)))
    ((_, spec),) = agent._launcher.calls
    assert spec.ranks[0].stdout == str(log)
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
    assert spec.argv == ("/tuner/python", "train.py"), "a fork of the server runs it"
    assert spec.cwd == str(tmp_path)
    assert agent._ports.calls == [("release", 4000), ("open", 1)]
    assert agent._logs.calls[0][-1] == ("0.out",)


@pytest.mark.parametrize("is_closing", [False, True])
def test_a_launch_that_cannot_be_started_has_ended(agent, is_closing):
    agent._launcher.fails = RuntimeError("it is closed")
    if is_closing:
        agent._closing.set()
    agent.give(launch_order())
    (message,) = agent.told()
    exit_ = LaunchExit.from_json(message["exit"])
    assert (message["launch"], exit_.error, exit_.lost) == (7, "it is closed", is_closing)


def test_a_trial_that_takes_too_much_memory_is_named(agent):
    agent._keys[5] = 7
    agent._memory = SimpleNamespace(look=lambda: (5, "9 of 10 GB"))
    agent._end_hog()
    agent._memory = SimpleNamespace(look=lambda: None)
    agent._end_hog()
    assert agent.told() == [{"event": "memory", "launch": 7, "text": "9 of 10 GB"}]


@pytest.mark.parametrize(("is_over", "said"), [(False, [{"event": "ready"}]), (True, [])])
def test_a_node_is_ready_when_its_server_is(agent, is_over, said):
    class Server:
        server_pid, is_ready, num_starts = None, False, 0

        def warm_up(self):
            self.num_starts += 1
            self.server_pid, self.is_ready = 41, not is_over

    agent._launcher = Server()
    agent._lease.ends_at = 99.0 if is_over else 200.0
    agent._warm_up()
    assert agent._launcher.num_starts == 1
    assert agent.told() == said


@pytest.mark.parametrize("why", ["close", "lease"])
def test_at_the_end_everything_is_closed_and_said_so(agent, monkeypatch, why):
    exits = []
    monkeypatch.setattr(os, "_exit", exits.append)
    agent._scratch = Noting()
    agent._launcher.is_ready = True
    agent._closed = threading.Event()
    agent._closed.set()
    if why == "lease":
        agent._lease.ends_at = 99.0
        agent._closing.wait = lambda timeout_s: False
    else:
        agent._closing.set()
    agent._run()
    assert agent._closing.is_set(), "what cannot be started any more is lost"
    assert agent._scratch.calls == [("end_orphans", GRACE_S), ("remove",)]
    assert agent._launcher.calls == agent._ports.calls == [("close",)]
    ((closed, may_wait),) = agent._logs.calls
    assert closed == "close"
    assert may_wait() == (why != "lease"), "nobody takes what has been printed once the lease is over"
    assert agent.told()[-1] == {"event": "closed"}
    assert exits == [0]


def test_a_probe_is_answered(agent, order):
    agent.give({"order": "probe", "probe": "p", **order})
    assert agent.told() == [{"event": "probed", "probe": "p", "error": "", "is_shared": True}]


@pytest.fixture
def order(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("print()\n")
    folder = tmp_path / "shared" / ".probe-1"
    folder.mkdir(parents=True)
    (folder / "token").write_text("secret")
    digest = hashlib.sha256(script.read_bytes()).hexdigest()
    return {"script": str(script), "sha256": digest, "modules": {}, "folder": str(folder), "token": "secret"}


def test_a_node_that_sees_all_leaves_an_answer(order):
    assert answer(order) == {"error": "", "is_shared": True}
    assert (Path(order["folder"]) / f"answer-{os.getpid()}").is_file()


@pytest.mark.parametrize(
    ("break_", "why"),
    [
        (lambda order: os.remove(order["script"]), "it has no {script} (No such file or directory)"),
        (lambda order: Path(order["script"]).write_text("x"), "its {script} is another one than the tuner's"),
        (lambda order: (Path(order["folder"]) / "token").write_text("y"), "its {shared} is another folder than"),
        (lambda order: order.update(folder="/nowhere/x"), "/nowhere is not there or not writable (No such file"),
    ],
)
def test_a_node_that_does_not_says_why(order, break_, why):
    break_(order)
    shared = str(Path(order["folder"]).parent)
    assert answer(order)["error"].startswith(why.format(script=order["script"], shared=shared))


def test_the_interpreter_is_that_of_the_node_where_the_tuner_named_its_own():
    assert _with_own_python(["/tuner/python", "train.py"], "/tuner/python") == (sys.executable, "train.py")
    assert _with_own_python(["perl", "/tuner/python"], "/tuner/python") == ("perl", "/tuner/python")


def test_checkpoints_are_handled_with_the_log_of_this_node():
    spec = _checkpoints({"folder": "/f", "log": "/tuner/log", "log_end": 77, "launch": 3, "keep": 4}, Path("/node/log"))
    assert (spec.folder, spec.log, spec.log_end, spec.launch, spec.keep) == ("/f", "/node/log", 0, 3, 4)


def test_whatever_goes_wrong_in_a_launch_is_told(agent):
    def launch(spec):
        raise KeyError("argv")

    agent._launcher.launch = launch
    agent.give(launch_order(), {"order": "close"})
    (message,) = agent.told()
    assert (message["event"], message["exit"]["error"]) == ("exit", "'argv'")
    assert agent._closing.is_set(), "later orders are carried out"


@pytest.mark.parametrize(("visible", "fits"), [("0,1", True), ("GPU-a,GPU-b,GPU-c", True), ("0", False), (None, False)])
def test_gpus_are_those_that_ray_has_given_it(agent, monkeypatch, visible, fits):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    agent._settings = {"num_devices": 2, "are_gpus": True}
    if fits:
        assert agent._find_devices().names == tuple(visible.split(",")[:2])
        return
    with pytest.raises(RuntimeError, match="given it 2 GPUs, but CUDA_VISIBLE_DEVICES is"):
        agent._find_devices()


def test_a_node_whose_disk_cannot_be_used_says_so(agent, order, tmp_path):
    (tmp_path / "disk").write_text("no folder")
    agent._files.is_streaming = True
    agent.give({"order": "probe", "probe": "p", **order, "folder": None})
    (told,) = agent.told()
    assert told["error"] == f"it cannot write to {tmp_path}/disk/syne-hypersched-{os.getuid()} (Not a directory)"
