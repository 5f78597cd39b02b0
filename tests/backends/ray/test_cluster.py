"""The tuner's side of the gateway, which is the test here: which nodes there are, and what is told when."""

from __future__ import annotations

import logging
import sys
import threading

import dill
import pytest

from syne_hypersched._version import __version__
from syne_hypersched.backends.ray._cluster import Cluster


class Recorder:
    """A link to a gateway: it notes what is sent."""

    def __init__(self):
        self.sent = []
        self.on_send = None

    def send(self, message):
        self.sent.append(message)
        if self.on_send is not None:
            self.on_send(message)
        return True

    def end(self):
        pass


class Told:
    """A cluster with a link, and what it tells."""

    def __init__(self, **settings):
        self.cluster = Cluster({"address": "head:6379", "agent": {"lease_s": 1.0, "grace_s": 1.0}, **settings})
        self.link = self.cluster._link = Recorder()
        self.told = []
        self.cluster.on_join = lambda *what: self.told.append(("join", *what))
        self.cluster.on_lose = lambda *what: self.told.append(("lose", *what))
        self.cluster.on_leave = lambda *what: self.told.append(("leave", *what))
        self.cluster.on_message = lambda node, message, moment: self.told.append((node, message["event"]))

    def say(self, event, node="a", **message):
        self.cluster._handle({"event": event, "node": node, **message})

    def agent_says(self, event, node="a", **message):
        self.say("told", node, message={"event": event, **message}, at=5.0)

    def begin(self, node="a", devices=("0", "1")):
        """A node comes and gets ready."""
        self.say("begun", node, ip="10.0.0.1")
        python = list(sys.version_info[:2])
        self.agent_says("hello", node, version=__version__, python=python, devices=list(devices), ports=[4000, 4001])
        self.agent_says("ready", node)

    def heard(self):
        told, self.told = self.told, []
        return told


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def probed(told, tmp_path) -> Told:
    """A cluster with a node that takes part."""
    told.begin()
    (tmp_path / "train.py").write_text("")

    def answer(message):
        order = message.get("order", {})
        if order.get("order") == "probe" and message["node"] == "a":
            told.agent_says("probed", probe=order["probe"], error="")

    told.link.on_send = answer
    told.cluster.check(tmp_path / "checkpoints", tmp_path / "train.py", timeout_s=5.0)
    return told


def test_devices_are_there_when_the_server_of_their_node_is_ready(told):
    told.say("begun", ip="10.0.0.1")
    assert not told.cluster._has_enough(None)
    assert not told.cluster._has_enough(1)
    told.agent_says("hello", version=__version__, python=list(sys.version_info[:2]), devices=["0", "1"], ports=[])
    assert told.cluster._devices() == ()
    told.agent_says("ready")
    assert told.cluster._devices() == ("a/0", "a/1")
    assert [told.cluster._has_enough(number) for number in (None, 2, 3)] == [True, True, False]
    told.say("begun", "b", ip="10.0.0.2")
    assert not told.cluster._has_enough(None), "one is on its way"


def test_a_node_is_used_once_it_has_been_found_to_see_what_trials_need(probed):
    probed.cluster.let_through()
    assert probed.heard() == [("join", "a", ("a/0", "a/1"))]
    probed.begin("b", ["0"])
    assert probed.heard() == []
    (order,) = [message["order"] for message in probed.link.sent if message.get("node") == "b"]
    probed.agent_says("probed", "b", probe="an older one", error="")
    assert probed.heard() == []
    for _ in range(2):
        probed.agent_says("probed", "b", probe=order["probe"], error="")
    assert probed.heard() == [("join", "b", ("b/0",))]


def test_whether_all_nodes_have_been_checked_is_known(probed):
    assert probed.cluster.is_checked
    probed.cluster.close()
    assert not probed.cluster.is_checked, "other nodes may come"


def test_a_node_that_does_not_see_it_is_not_used(probed, caplog):
    probed.cluster.let_through()
    probed.heard()
    probed.begin("b", ["0"])
    order = probed.link.sent[-1]["order"]
    probed.agent_says("probed", "b", probe=order["probe"], error="it has no train.py")
    assert probed.heard() == []
    assert "Node b is not used: it has no train.py." in caplog.text


@pytest.mark.parametrize(
    ("error", "said"), [("it has no train.py", "it has no train.py"), (None, "it does not answer")]
)
def test_nodes_that_cannot_take_part_are_named_at_the_start(told, tmp_path, error, said):
    for name in ("a", "b"):
        told.begin(name)
    (tmp_path / "train.py").write_text("")

    def answer(message):
        order = message["order"]
        if message["node"] == "a" or error is not None:
            told.agent_says(
                "probed", message["node"], probe=order["probe"], error=error if message["node"] == "b" else ""
            )

    told.link.on_send = answer
    with pytest.raises(ValueError, match=f"but 1 of 2 nodes cannot take part: b: {said}"):
        told.cluster.check(tmp_path, tmp_path / "train.py", timeout_s=0.0 if error is None else 5.0)
    assert not told.cluster.is_checked


def test_what_happens_before_the_tuning_begins_is_told_when_it_does_in_order(probed):
    probed.say("leaving")
    probed.say("silent", reason="no answer")
    assert probed.heard() == [("a", "silent")], "launches end at once; devices go later"
    probed.cluster.let_through()
    assert probed.heard() == [
        ("join", "a", ("a/0", "a/1")), ("leave", "a", ("a/0", "a/1")), ("lose", "a", ("a/0", "a/1"), "no answer"),
    ]  # fmt: skip


def test_a_node_is_lost_once_and_then_gone(probed, caplog):
    probed.cluster.let_through()
    probed.heard()
    for _ in range(2):
        probed.say("silent", reason="no answer for 1 s")
    assert probed.heard() == [
        ("a", "silent"), ("lose", "a", ("a/0", "a/1"), "no answer for 1 s"), ("a", "silent"),
    ]  # fmt: skip
    assert "Node a is lost: no answer for 1 s." in caplog.text
    for _ in range(2):
        probed.say("gone")
    assert probed.heard() == [("a", "gone")]
    assert probed.cluster.nodes == {}
    probed.say("silent", reason="late")
    probed.agent_says("launched", launch=1)
    assert probed.heard() == []


def test_messages_about_launches_are_passed_on(told):
    told.begin()
    told.agent_says("exit", launch=3)
    told.say("refused", "gone-node", launch=4)
    assert told.heard() == [("a", "exit"), ("gone-node", "refused")]


@pytest.mark.parametrize("message", [{"event": "ports"}, {"event": "hello"}, {}])
def test_what_makes_no_sense_does_not_end_the_tuning(told, caplog, message):
    told.begin()
    told.say("told", message=message, at=5.0)
    assert "A message of node a cannot be used" in caplog.text
    assert told.cluster._devices() == ("a/0", "a/1")


def test_ports_are_given_out_once(told):
    told.begin()
    told.agent_says("ports", ports=[4002])
    assert [told.cluster.take_port("a") for _ in range(3)] == [4000, 4001, 4002]
    assert 29500 <= told.cluster.take_port("a") < 30500
    assert 29500 <= told.cluster.take_port("unknown") < 30500


def test_orders_go_to_one_node_or_to_all_and_some_stand(told):
    told.cluster.order("a", {"order": "drain"})
    told.cluster.order_all({"order": "follow"})
    told.cluster.order_all({"order": "deadline"}, stands=True)
    assert told.link.sent == [
        {"command": "node", "node": "a", "order": {"order": "drain"}},
        {"command": "all", "order": {"order": "follow"}, "stands": False},
        {"command": "all", "order": {"order": "deadline"}, "stands": True},
    ]
    assert list(told.cluster._standing) == ["deadline"], "another gateway is told these"
    told.cluster._link = None
    told.cluster.order("a", {"order": "drain"})
    told.cluster.order_all({"order": "follow"})


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("OSError", ConnectionError, "address must lead to a Ray cluster, but 'head:6379' does not: refused"),
        ("insecure", PermissionError, "anyone who reaches refused can run code on it"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_an_error(told, monkeypatch, kind, error, message):
    monkeypatch.setattr(told.cluster, "_start_gateway", lambda: None)
    monkeypatch.setattr(told.cluster, "_run", lambda: told.say("failed", kind=kind, error="refused"))
    with pytest.raises(error, match=message):
        told.cluster.start(None, timeout_s=60.0)
    assert not told.cluster.is_running


def test_a_cluster_that_does_not_answer_is_an_error(told, monkeypatch):
    monkeypatch.setattr(told.cluster, "_start_gateway", lambda: None)
    monkeypatch.setattr(told.cluster, "_run", lambda: None)
    with pytest.raises(ConnectionError, match="it has not answered within 0 s"):
        told.cluster.start(1, timeout_s=0.0)


def test_the_devices_that_are_waited_for(told, monkeypatch):
    def run():
        told.say("connected")
        for name in ("a", "b"):
            told.begin(name, ["0"])

    monkeypatch.setattr(told.cluster, "_start_gateway", lambda: None)
    monkeypatch.setattr(told.cluster, "_run", run)
    assert told.cluster.start(2, timeout_s=60.0) == ("a/0", "b/0")
    assert all(node.is_in for node in told.cluster.nodes.values())
    assert told.cluster.is_running


def test_versions_that_differ_are_warned_of(told, caplog):
    told.say("begun", ip="10.0.0.1")
    told.agent_says("hello", version="0.0.1", python=[3, 9], devices=[], ports=[])
    assert "Node a has syne_hypersched 0.0.1 and Python 3.9, the tuner" in caplog.text


def test_a_trial_that_is_ended_for_its_memory_is_warned_of(told, caplog):
    told.begin()
    told.agent_says("memory", launch=1, text="9 GB of 10 GB are used")
    assert "Node a ends a trial before it runs out of memory: 9 GB of 10 GB are used." in caplog.text
    assert told.heard() == []


def test_another_process_has_its_settings_and_nothing_else(told):
    told.begin()
    copy = dill.loads(dill.dumps(told.cluster))
    assert copy._settings == told.cluster._settings
    assert (copy.nodes, copy.is_running, copy._link) == ({}, False, None)


def test_a_gateway_that_dies_loses_all_nodes(probed, caplog):
    caplog.set_level(logging.WARNING)
    probed.cluster.let_through()
    probed.heard()
    waited = []

    class Closing(threading.Event().__class__):
        def wait(self, timeout=None):
            waited.append(timeout)
            return False

    probed.cluster._closing = Closing()
    probed.cluster._lose_gateway()
    assert [entry[1] for entry in probed.heard() if entry[0] == "a"] == ["silent", "gone"]
    assert "The connection to the cluster is lost: trials checkpoint and exit" in caplog.text
    (waited_s,) = waited
    assert waited_s > 1.5, "a lease and the grace period: until then trials may train"
    assert probed.cluster.nodes == {}
    probed.cluster._lose_gateway()
    assert len(waited) == 1
    assert caplog.text.count("The connection") == 1


def test_a_head_that_is_away_is_waited_for_only_if_it_was_there(told):
    told.say("failed", kind="OSError", error="refused")
    assert told.cluster._failure is not None, "the address may be wrong"
    again = Told()
    again.say("connected")
    again.say("failed", kind="OSError", error="refused")
    assert again.cluster._failure is None
    again.say("failed", kind="insecure", error="10.0.0.1")
    assert again.cluster._failure is not None


def test_a_node_that_was_never_ready_is_warned_of_once(told, caplog):
    for reason in ("no module", "no module", "no devices"):
        told.say("begun", ip="10.0.0.1")
        told.say("silent", reason=reason)
        told.say("gone")
    assert caplog.text.count("Node a cannot be used: no module.") == 1
    assert "is lost" not in caplog.text
    assert told.cluster.reasons == {"a": "no devices"}
    told.begin()
    assert told.cluster.reasons == {}


def test_a_user_who_does_not_want_to_wait_leaves_nothing_behind(told, monkeypatch):
    class Process:
        killed = 0

        def kill(self):
            self.killed += 1

        def wait(self, timeout=None):
            return 0

    process = Process()

    def start():
        told.cluster._process = process

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(told.cluster, "_start_gateway", start)
    monkeypatch.setattr(told.cluster, "_run", lambda: None)
    monkeypatch.setattr(told.cluster, "_has_enough", interrupt)
    with pytest.raises(KeyboardInterrupt):
        told.cluster.start(2, timeout_s=60.0)
    assert {"command": "close"} in told.link.sent
    assert process.killed, "it has reached no cluster, so that it has nothing to give back"
    assert not told.cluster.is_running


def test_the_clock_of_a_node_is_noted(told):
    told.begin()
    told.say("clock", ahead_s=-30.0)
    told.say("clock", "unknown", ahead_s=5.0)
    assert told.cluster.nodes["a"].ahead_s == -30.0
