"""Launches whose nodes share no folder begin when the checkpoints are there: real copies, nodes without processes."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from syne_hypersched.backends.ray._carrier import Carrier, TunersPlace
from syne_hypersched.backends.ray._depot import Depot
from syne_hypersched.backends.ray._launcher import ClusterLauncher
from syne_hypersched.backends.ray._parts import ClusterSpec
from syne_hypersched.backends.ray._streams import CheckpointStreams
from syne_hypersched.checkpoints import CheckpointSpec, Ending, GenerationStore
from syne_hypersched.launch import LaunchExit, RankSpec
from tests.backends.ray.test_carrier import NodesPlace
from tests.checkpoints.test_moving import begin, take, write

WHOLE = LaunchExit((75,), None, drained=True, killed=False, checkpoints=Ending())


class World:
    """Nodes a, b and c with disks, and a launcher that believes what it is told of them."""

    def __init__(self, folder):
        self.tuner = folder / "tuner" / "0"
        self.tuner.mkdir(parents=True)
        self.disks = {name: folder / name / "0" / "checkpoints" for name in "abc"}
        self.nodes = {name: SimpleNamespace(ip="127.0.0.1") for name in "abc"}
        self.places = {name: NodesPlace(Depot(lambda _, path=path: path)) for name, path in self.disks.items()}
        self.places[""] = TunersPlace(Depot(lambda _: self.tuner / "checkpoints"), bytes)
        self.carrier = Carrier(self.places.get, lambda message: self.streams.hear(message))
        self.streams = CheckpointStreams(self.send, lambda _: None)
        self.orders, self.told, self.lock = [], [], threading.Lock()
        self.launcher = ClusterLauncher(
            self, lambda *news: self.told.append(("launched", *news[:1])),
            lambda handle, exit_, _: self.told.append(("exit", handle, exit_)),
            lambda handle, news: self.told.append(("checkpoint", handle, news)), self.streams,
        )  # fmt: skip
        self.number = 0

    # As the cluster.

    def send(self, command):
        if command["command"] == "copy":
            self.carrier.carry(command)
        else:
            self.carrier.cancel(command["copy"])

    def order(self, node, order):
        self.orders.append((node, order))

    def order_all(self, *_, **__):
        pass

    def take_port(self, _):
        return 29500

    def close(self, wait):
        pass

    # As a test.

    def launch(self, *devices, **known):
        log = self.tuner / "std.out"
        ranks = tuple(RankSpec({}, str(log.with_name(f"out{rank}")), str(log)) for rank in range(len(devices)))
        spec = CheckpointSpec(str(self.tuner / "checkpoints"), str(log), self.number, **known)
        self.number += 1
        return self.launcher.launch(
            replace(ClusterSpec(("x",), ranks, True, 1.0, "/", devices=devices), checkpoints=spec)
        )

    def launches(self):
        return [(node, order) for node, order in self.orders if order["order"] == "launch"]

    def hear(self, node, handle, event, **message):
        self.on_message(node, {"event": event, "launch": handle, **message}, 0.0)

    def save(self, node, handle, number, text):
        write(self.disks[node], state=text)
        take(self.disks[node], number)
        self.hear(node, handle, "taken", number=number)

    def exit(self, node, handle, exit_=WHOLE):
        self.hear(node, handle, "exit", exit=exit_.to_json())

    def lose(self, node):
        self.places[node].is_dead = True
        self.on_message(node, {"event": "silent"}, 0.0)
        self.on_message(node, {"event": "gone"}, 0.0)


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.streams.close(wait=False)


def test_a_first_launch_begins_at_once(world):
    handle = world.launch("a/0", "a/1")
    ((node, order),) = world.launches()
    assert (node, order["launch"], order["trial"]) == ("a", handle, "0")
    assert order["folder"] == order["checkpoints"]["folder"] == str(world.tuner / "checkpoints")


def test_a_launch_on_other_nodes_begins_with_the_newest_checkpoint_on_all_of_them(world, wait_for):
    first = world.launch("a/0")
    world.hear("a", first, "launched")
    world.save("a", first, 1, "one")
    world.save("a", first, 2, "two")
    world.exit("a", first)
    world.launch("b/0", "c/0")
    wait_for(lambda: len(world.launches()) == 3)
    assert [node for node, _ in world.launches()] == ["a", "b", "c"]
    for node in "bc":
        beginning, is_whole, files = begin(world.disks[node])
        assert (beginning.generation, beginning.restored, is_whole, files) == (2, "", True, {"state": "two"})


def test_the_tuners_disk_has_it_soon(world, wait_for):
    first = world.launch("a/0")
    world.save("a", first, 1, "one")
    (world.disks["a"].parent / ".rank0-0-0.out").write_text("report 1\n")
    wait_for(lambda: GenerationStore(world.tuner / "checkpoints").numbers() == [1])
    world.exit("a", first)
    wait_for(lambda: world.streams.is_settled("0"))
    assert (world.tuner / "checkpoints" / "state").read_text() == "one"


def test_a_launch_is_drained_while_its_checkpoints_are_under_way(world, wait_for):
    first = world.launch("a/0")
    world.save("a", first, 1, "one")
    world.exit("a", first)
    world.places["a"].may_read.clear()
    second = world.launch("b/0")
    world.launcher.drain(second, 1.0)
    wait_for(lambda: world.told[-1][:2] == ("exit", second))
    exit_ = world.told[-1][2]
    assert (exit_.drained, exit_.lost, exit_.exit_codes) == (True, False, (None,))
    world.places["a"].may_read.set()
    third = world.launch("c/0")
    wait_for(lambda: len(world.launches()) == 2)
    assert world.launches()[-1][1]["launch"] == third
    assert begin(world.disks["c"])[2] == {"state": "one"}


class TestALostNode:
    def test_the_trial_goes_on_from_the_copy_and_what_was_printed_until_then(self, world, wait_for):
        first = world.launch("a/0")
        log = world.disks["a"].parent / ".rank0-0-0.out"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("report 1\nrep")
        world.save("a", first, 1, "one")
        wait_for(lambda: world.streams.is_settled("0"))
        world.lose("a")
        assert world.told[-1][:2] == ("exit", first)
        assert world.told[-1][2].lost
        assert (world.tuner / "out0").read_text() == "report 1\nrep\n"
        second = world.launch("b/0")
        wait_for(lambda: len(world.launches()) == 2)
        assert begin(world.disks["b"])[2] == {"state": "one"}
        world.hear("b", second, "began", news={"generation": 1, "go_back_from": 1, "restored": "", "error": ""})
        assert world.told[-1][2].restored == ""

    def test_a_generation_that_was_not_copied_is_lost_and_an_event_says_so(self, world, wait_for):
        first = world.launch("a/0")
        world.disks["a"].parent.mkdir(parents=True)
        (world.disks["a"].parent / ".rank0-0-0.out").touch()
        world.save("a", first, 1, "one")
        wait_for(lambda: world.streams.is_settled("0"))
        world.places["a"].may_read.clear()
        world.save("a", first, 2, "two")
        world.lose("a")
        second = world.launch("b/0")
        wait_for(lambda: len(world.launches()) == 2)
        world.places["a"].may_read.set()
        assert begin(world.disks["b"])[2] == {"state": "one"}
        world.hear("b", second, "began", news={"generation": 1, "go_back_from": 1, "restored": "", "error": ""})
        kind, _, beginning = world.told[-1]
        assert (kind, beginning.generation) == ("checkpoint", 1)
        assert "node a was lost before its newest checkpoint was copied" in beginning.restored

    def test_a_launch_whose_node_is_lost_before_it_begins_ends(self, world, wait_for):
        first = world.launch("a/0")
        world.save("a", first, 1, "one")
        world.exit("a", first)
        world.places["a"].may_read.clear()
        second = world.launch("b/0")
        world.lose("b")
        wait_for(lambda: world.told[-1][:2] == ("exit", second))
        assert world.told[-1][2].drained
        world.places["a"].may_read.set()
        world.launch("a/0")
        assert [node for node, _ in world.launches()] == ["a", "a"]


def test_a_doubtful_folder_is_put_right_by_its_own_node_first(world, wait_for):
    """The others get what rank 0's node has put back."""
    first = world.launch("a/0")
    world.hear("a", first, "launched")
    world.save("a", first, 1, "one")
    write(world.disks["a"], state="torn")
    world.exit("a", first, replace(WHOLE, checkpoints=Ending(is_whole=False)))
    second = world.launch("a/0", "a/1", "b/0")
    assert [node for node, _ in world.launches()] == ["a", "a"]
    store = GenerationStore(world.disks["a"])
    store.restore(store.newest())
    world.hear("a", second, "launched")
    wait_for(lambda: len(world.launches()) == 3)
    assert begin(world.disks["b"])[2] == {"state": "one"}
