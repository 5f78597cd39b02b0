"""Launches on several nodes: orders to the nodes, and what the fleet is told, whatever happens where."""

from __future__ import annotations

import pytest

from syne_hypersched.backends.ray._launcher import PEER_GRACE_S, ClusterLauncher
from syne_hypersched.backends.ray._membership import Node
from syne_hypersched.backends.ray._messages import text_of
from syne_hypersched.backends.ray._parts import ClusterSpec
from syne_hypersched.checkpoints import Beginning, CheckpointSpec, Ending
from syne_hypersched.launch import LaunchExit, RankSpec

ON_TWO = ("a/0", "a/1", "b/0")


class Nodes:
    """A cluster that notes the orders, and a launcher that tells what it tells."""

    def __init__(self, tmp_path):
        self.nodes = {name: Node(name, f"10.0.0.{number}") for number, name in enumerate("ab", start=1)}
        self.orders = []
        self.told = []
        self.on_message = None
        self.launcher = ClusterLauncher(
            self,
            lambda launch, pids, moment: self.told.append(("launched", launch)),
            lambda launch, exit_, moment: self.told.append(("exit", launch, exit_)),
            lambda launch, news: self.told.append(("checkpoint", launch, news)),
        )
        self.folder = tmp_path

    def take_port(self, node):
        return 4000

    def order(self, node, order):
        self.orders.append((node, order))

    def order_all(self, order, stands=False):
        self.orders.append(("all", order, stands))

    def spec(self, devices=ON_TWO, checkpoints=None, **fields):
        ranks = tuple(
            RankSpec({}, str(self.folder / f"out{rank}"), str(self.folder / f"err{rank}"))
            for rank in range(len(devices))
        )
        return ClusterSpec(
            ("train.py",),
            ranks,
            warm=True,
            grace_s=1.0,
            checkpoints=checkpoints,
            devices=tuple(devices),
            cwd="/work",
            **fields,
        )

    def watched(self, launch=1, **fields):
        """A launch whose checkpoints are watched."""
        folder = self.folder / "0" / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        return self.spec(checkpoints=CheckpointSpec(str(folder), str(self.folder / "out0"), launch, **fields))

    def say(self, node, event, **message):
        self.on_message(node, {"event": event, **message}, 1.0)

    def exits(self, node, launch, *codes, first_failed=None, **how):
        how = {"drained": False, "killed": False, **how}
        self.say(node, "exit", launch=launch, exit=LaunchExit(codes, first_failed, **how).to_json())

    def ordered(self):
        """Orders since the last call, as node and kind."""
        orders, self.orders = self.orders, []
        return [(node, order["order"], order.get("grace_s")) for node, order in orders]

    @property
    def exit(self):
        (exit_,) = [each[2] for each in self.told if each[0] == "exit"]
        return exit_


@pytest.fixture
def nodes(tmp_path) -> Nodes:
    return Nodes(tmp_path)


def test_each_node_starts_its_ranks(nodes):
    handle = nodes.launcher.launch(nodes.spec())
    (first, order), (second, other) = nodes.orders
    assert (first, second) == ("a", "b")
    assert (order["devices"], other["devices"]) == (["0", "1"], ["0"])
    master = ("10.0.0.1", 4000)
    assert order["world"] == {"size": 3, "first_rank": 0, "node_rank": 0, "num_nodes": 2, "master": master}
    assert other["world"] == {"size": 3, "first_rank": 2, "node_rank": 1, "num_nodes": 2, "master": master}
    assert order["cwd"] == "/work"
    for node in "ab":
        assert nodes.told == []
        nodes.say(node, "launched", launch=handle, pids=[1])
    assert nodes.told == [("launched", handle)], "once all nodes have"


def test_a_launch_on_one_node_meets_nowhere(nodes):
    nodes.launcher.launch(nodes.spec(("b/0", "b/1")))
    ((node, order),) = nodes.orders
    assert (node, order["world"]["master"], order["world"]["size"]) == ("b", None, 2)


def test_a_launch_has_ended_when_all_its_parts_have(nodes):
    handle = nodes.launcher.launch(nodes.spec())
    nodes.ordered()
    nodes.exits("b", handle, 0)
    assert nodes.told == []
    assert nodes.ordered() == [], "a rank may end before the others"
    nodes.exits("a", handle, 0, 0)
    assert nodes.exit.exit_codes == (0, 0, 0)
    assert not nodes.exit.lost
    nodes.exits("a", handle, 1, 1)
    assert len(nodes.told) == 1, "what is not known is left alone"


def test_the_others_are_drained_when_a_part_has_failed(nodes):
    handle = nodes.launcher.launch(nodes.spec())
    nodes.ordered()
    nodes.exits("b", handle, 3, first_failed=0)
    assert nodes.ordered() == [("a", "drain", PEER_GRACE_S)]
    nodes.exits("a", handle, -15, -15, drained=True, first_failed=0)
    assert nodes.exit.first_failed == 2, "the part that has failed first says why"
    assert not nodes.exit.drained


def test_the_others_are_drained_when_a_node_is_lost(nodes):
    handle = nodes.launcher.launch(nodes.spec())
    nodes.ordered()
    nodes.say("b", "silent", reason="no answer")
    assert sorted(nodes.ordered()) == [("a", "drain", PEER_GRACE_S), ("b", "drain", PEER_GRACE_S)]
    nodes.say("b", "gone")
    nodes.exits("a", handle, 75, 75, drained=True)
    assert nodes.exit.lost
    assert nodes.exit.exit_codes == (75, 75, None)


def test_a_rank_that_fails_since_the_node_of_its_peer_dies_makes_the_launch_lost_and_not_failed(nodes):
    """It is told at once, the loss of the node only when its lease is over."""
    handle = nodes.launcher.launch(nodes.spec())
    nodes.exits("a", handle, 1, 1, first_failed=1)
    assert nodes.told == []
    nodes.say("b", "silent", reason="no answer")
    nodes.say("b", "gone")
    assert nodes.exit.lost
    assert nodes.exit.first_failed is None
    assert nodes.exit.exit_codes == (1, 1, None)


def test_a_node_that_is_not_part_of_a_launch_does_not_matter(nodes):
    nodes.launcher.launch(nodes.spec(("b/0",)))
    nodes.ordered()
    nodes.say("a", "silent", reason="no answer")
    nodes.say("a", "gone")
    assert nodes.ordered() == []
    assert nodes.told == []


def test_a_node_that_refuses_a_launch_is_lost_for_it(nodes):
    handle = nodes.launcher.launch(nodes.spec(("b/0",)))
    nodes.say("b", "refused", launch=handle)
    assert nodes.exit.lost


def test_all_running_parts_are_drained(nodes):
    handle = nodes.launcher.launch(nodes.spec())
    nodes.ordered()
    nodes.exits("b", handle, 0)
    nodes.launcher.drain(handle, 7.0)
    nodes.launcher.drain(handle + 1, 7.0)
    assert nodes.ordered() == [("a", "drain", 7.0)]
    nodes.exits("a", handle, -15, -15, drained=True)
    assert nodes.exit.drained


@pytest.mark.parametrize(
    ("launch", "go_back_from", "was_whole", "at_once"),
    [(0, None, False, True), (1, None, False, False), (1, None, True, True), (1, 4, True, False)],
)
def test_rank_0_begins_alone_if_an_older_checkpoint_may_have_to_be_put_back(
    nodes, launch, go_back_from, was_whole, at_once
):
    if was_whole:
        handle = nodes.launcher.launch(nodes.watched(0))
        nodes.exits("b", handle, 0, drained=True)
        nodes.exits("a", handle, 0, 0, drained=True, checkpoints=Ending(is_whole=True))
        nodes.ordered()
    handle = nodes.launcher.launch(nodes.watched(launch, go_back_from=go_back_from))
    (_, order), *_ = nodes.orders
    assert order["checkpoints"]["launch"] == launch
    assert order["log"] == str(nodes.folder / "0" / f".rank0-{launch}-0.out")
    assert [node for node, *_ in nodes.ordered()] == (["a", "b"] if at_once else ["a"])
    if not at_once:
        nodes.say("a", "began", launch=handle, news={"generation": 3})
        assert nodes.told[-1] == ("checkpoint", handle, Beginning(3))
        nodes.say("a", "launched", launch=handle, pids=[1])
        assert [node for node, *_ in nodes.ordered()] == ["b"]
        nodes.say("b", "launched", launch=handle, pids=[1])
        assert nodes.told[-1] == ("launched", handle)


@pytest.mark.parametrize("ending", [Ending(is_whole=False), None])
def test_a_folder_that_was_not_left_whole_is_not_trusted(nodes, ending):
    handle = nodes.launcher.launch(nodes.watched(0))
    nodes.exits("b", handle, 0, drained=True)
    nodes.exits("a", handle, 0, 0, drained=True, checkpoints=ending)
    nodes.ordered()
    nodes.launcher.launch(nodes.watched(1))
    assert [node for node, *_ in nodes.ordered()] == ["a"]


def test_only_the_node_of_rank_0_handles_checkpoints(nodes):
    nodes.launcher.launch(nodes.watched(0))
    assert [order["checkpoints"] is not None for _, order in nodes.orders] == [True, False]
    assert [order["log"] is not None for _, order in nodes.orders] == [True, False]


def test_messages_about_unknown_launches_are_left_alone(nodes):
    nodes.launcher.launch(nodes.spec(("a/0",)))
    for node, launch in (("a", 7), ("a", None), ("b", 0)):
        nodes.exits(node, launch, 0)
        nodes.say(node, "launched", launch=launch, pids=[1])
    assert nodes.told == []


def test_rank_0_may_end_before_the_others_are_drained(nodes):
    handle = nodes.launcher.launch(nodes.spec())
    for node in "ab":
        nodes.say(node, "launched", launch=handle, pids=[1])
    nodes.ordered()
    nodes.exits("a", handle, 3, 0, first_failed=0)
    assert nodes.ordered() == [("b", "drain", PEER_GRACE_S)]
    nodes.exits("b", handle, -15, drained=True)
    assert (nodes.exit.exit_code, nodes.exit.first_failed) == (3, 0)


def test_parts_that_were_never_started_end_with_the_first_one(nodes):
    handle = nodes.launcher.launch(nodes.watched(1))
    nodes.ordered()
    nodes.exits("a", handle, error="no space left", first_failed=None)
    assert nodes.ordered() == []
    assert nodes.exit.exit_codes == (None, None, None)
    assert nodes.exit.error == "no space left"


def test_a_part_is_not_started_after_a_drain(nodes):
    handle = nodes.launcher.launch(nodes.watched(1))
    nodes.launcher.drain(handle, 1.0)
    nodes.ordered()
    nodes.say("a", "launched", launch=handle, pids=[1])
    assert nodes.ordered() == []
    nodes.exits("a", handle, -15, -15, drained=True)
    assert nodes.exit.drained


def test_logs_are_written_on_the_tuners_disk_and_the_rest_is_fetched(nodes):
    handle = nodes.launcher.launch(nodes.watched(0))
    printed = nodes.folder / "0" / ".rank0-0-0.out"
    printed.write_text("one\ntwo\n")
    nodes.say("a", "log", launch=handle, name="0.out", data=text_of(b"one\n"))
    nodes.say("b", "log", launch=handle, name="2.err", data=text_of(b"\xffwarning\n"))
    nodes.exits("b", handle, 0)
    nodes.exits("a", handle, 0, 0)
    assert (nodes.folder / "out0").read_text() == "one\ntwo\n"
    assert (nodes.folder / "err2").read_bytes() == b"\xffwarning\n"
    assert not printed.exists()
    assert not (nodes.folder / "out1").exists()


def test_a_log_that_cannot_be_written_ends_nothing(nodes, caplog):
    handle = nodes.launcher.launch(nodes.spec())
    (nodes.folder / "out0").mkdir()
    nodes.say("a", "log", launch=handle, name="0.out", data="x")
    assert "cannot be written, so its output is lost" in caplog.text
    assert nodes.told == []


def test_what_holds_for_all_launches_is_told_to_all_nodes(nodes):
    nodes.launcher.follow("epoch", "loss", True)
    nodes.launcher.set_deadline(10.0, 12.0)
    assert nodes.orders == [
        ("all", {"order": "follow", "time_attr": "epoch", "metric": "loss", "do_minimize": True}, False),
        ("all", {"order": "deadline", "drain_at": 10.0, "kill_at": 12.0}, True),
    ]
    assert nodes.launcher.is_ready
