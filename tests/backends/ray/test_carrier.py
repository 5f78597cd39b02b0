"""Checkpoints are carried from one place to another: whole, or not at all."""

from __future__ import annotations

import threading

import pytest

from syne_hypersched.backends.ray import _carrier, _depot
from syne_hypersched.backends.ray._carrier import Carrier, TunersPlace
from syne_hypersched.backends.ray._depot import Depot
from syne_hypersched.backends.ray._messages import pack, unpack
from syne_hypersched.checkpoints import GenerationStore
from syne_hypersched.checkpoints.moving import Arrival, Departure
from tests.checkpoints.test_moving import begin, take, write

LOG = ".rank0-0-0.out"


class NodesPlace:
    """A node, whose messages are bytes on the way, and which can die or wait."""

    def __init__(self, depot):
        self.depot, self.is_dead, self.num_reads = depot, False, 0
        self.may_read = threading.Event()
        self.may_read.set()

    def ask(self, question):
        if self.is_dead:
            raise OSError("node a is dead")
        return unpack(pack(self.depot.answer(unpack(pack(question)))))

    def read(self, copy, group):
        if self.is_dead:
            raise OSError("node a is dead")
        self.num_reads += 1
        assert self.may_read.wait(100)
        return memoryview(self.depot.read(copy, group))

    def write(self, copy, group, data):
        self.depot.write(copy, group, bytes(data))

    def wait(self, written):
        assert written is None


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


class World:
    """A tuner and two nodes."""

    def __init__(self, folder):
        self.folders = {name: folder / name / "0" for name in ("", "a", "b")}
        self.told, self.has_told = [], threading.Condition()
        depots = {name: Depot(lambda _, path=path: path / "checkpoints") for name, path in self.folders.items()}
        self.places = {name: NodesPlace(depots[name]) for name in ("a", "b")}
        self.places[""] = TunersPlace(depots[""], bytes)
        self.carrier = Carrier(self.places.get, self.tell)
        self.number = 0

    def tell(self, message):
        with self.has_told:
            self.told.append(message)
            self.has_told.notify_all()

    def order(self, source, target, **more):
        number = self.number = self.number + 1
        order = {
            "copy": number, "what": "copy", "home": "x", "trial": "0", "folder": "", "source": source,
            "target": target, "with_live": True, "log": None,
        }  # fmt: skip
        self.carrier.carry({**order, **more})
        return number

    def wait(self, number):
        with self.has_told:
            assert self.has_told.wait_for(lambda: any(m["copy"] == number for m in self.told), timeout=100)
        (message,) = [m for m in self.told if m["copy"] == number]
        return message

    def checkpoints(self, name):
        return self.folders[name] / "checkpoints"

    def left_aside(self, name):
        folder = self.folders[name]
        return [path.name for path in folder.iterdir() if "going" in path.name or "coming" in path.name]


@pytest.mark.parametrize("source, target", [("a", "b"), ("a", ""), ("", "b")])
def test_a_copy_is_whole(world, source, target, monkeypatch):
    monkeypatch.setattr(_carrier, "CHUNK", 10)
    write(world.checkpoints(source), model="m" * 1234, state="1")
    take(world.checkpoints(source), 1)
    told = world.wait(world.order(source, target))
    assert (told["error"], told["newest"], told["num_bytes"]) == ("", 1, 1235)
    beginning, is_whole, files = begin(world.checkpoints(target))
    assert (beginning.generation, is_whole, files) == (1, True, {"model": "m" * 1234, "state": "1"})
    assert world.left_aside(source) == world.left_aside(target) == []


def test_the_log_comes_with_the_checkpoints_and_only_what_is_missing(world, monkeypatch):
    monkeypatch.setattr(_carrier, "CHUNK", 10)
    log = world.folders["a"] / LOG
    write(world.checkpoints("a"), state="1")
    take(world.checkpoints("a"), 1)
    log.write_text("report 1\n" * 7)
    assert world.wait(world.order("a", "", with_live=False, log=LOG))["error"] == ""
    (world.folders[""] / LOG).write_text("report 1\n" * 7)  # as it is, or what is sent twice would show
    log.write_text("-" * 63 + "report 2\n" * 5)
    write(world.checkpoints("a"), state="22")
    take(world.checkpoints("a"), 2)
    assert world.wait(world.order("a", "", with_live=False, log=LOG))["newest"] == 2
    assert (world.folders[""] / LOG).read_text() == "report 1\n" * 7 + "report 2\n" * 5


def test_a_log_that_was_read_to_its_end_and_removed_does_not_come_back(world, wait_for):
    write(world.checkpoints("a"), state="1" * 100)
    take(world.checkpoints("a"), 1)
    (world.folders["a"] / LOG).write_text("report\n")
    world.places["a"].may_read.clear()
    number = world.order("a", "", with_live=False, log=LOG)
    wait_for(lambda: world.places["a"].num_reads and (world.folders[""] / LOG).exists())
    (world.folders[""] / LOG).unlink()
    world.places["a"].may_read.set()
    assert "No such file" in world.wait(number)["error"]
    assert not (world.folders[""] / LOG).exists()
    assert GenerationStore(world.checkpoints("")).numbers() == []


def test_a_node_that_dies_leaves_what_was_there(world):
    write(world.checkpoints(""), state="old")
    take(world.checkpoints(""), 1)
    write(world.checkpoints("a"), state="1" * 100)
    take(world.checkpoints("a"), 2)
    world.places["a"].is_dead = True
    assert world.wait(world.order("a", ""))["error"] == "node a is dead"
    assert begin(world.checkpoints(""))[2] == {"state": "old"}
    assert world.left_aside("") == []


def test_a_copy_that_hangs_can_be_given_up(world):
    write(world.checkpoints("a"), state="1" * 100)
    take(world.checkpoints("a"), 1)
    world.places["a"].may_read.clear()
    number = world.order("a", "")
    world.carrier.cancel(number)
    assert world.wait(number)["error"] == "it was given up"
    world.places["a"].may_read.set()
    assert world.wait(world.order("a", ""))["error"] == ""
    assert [message["copy"] for message in world.told] == [number, number + 1]


def test_a_node_that_is_not_there(world):
    assert world.wait(world.order("a", "c"))["error"] == "node c is not there"


def test_checkpoints_are_forgotten(world):
    write(world.checkpoints("a"), state="1")
    take(world.checkpoints("a"), 1)
    assert world.wait(world.order("a", "a", what="forget"))["error"] == ""
    assert list(world.folders["a"].iterdir()) == []


def test_what_dead_processes_have_left_is_removed(world):
    write(world.checkpoints("a"), state="1")
    take(world.checkpoints("a"), 1)
    (world.folders["b"] / ".incoming-77" / "files").mkdir(parents=True)
    assert world.wait(world.order("a", "b"))["error"] == ""
    assert world.left_aside("b") == []


@pytest.mark.parametrize("kind, target", [(Departure, ""), (Arrival, "b")])
def test_a_copy_that_begins_is_not_taken_for_what_a_dead_process_has_left(world, monkeypatch, kind, target):
    """As the copies for a launch on two nodes, which begin at the same time."""
    write(world.checkpoints("a"), state="1" * 100)
    take(world.checkpoints("a"), 1)
    begun = []

    def begin_slowly(*arguments):
        made = kind(*arguments)
        begun.append(made)
        if len(begun) == 1:
            world.wait(world.order("a", target))
        return made

    monkeypatch.setattr(_depot, kind.__name__, begin_slowly)
    assert world.wait(world.order("a", "b"))["error"] == ""
    assert len(begun) == 2
    assert world.left_aside("a") == world.left_aside("b") == []
