"""Copies of checkpoints are ordered when and where they are due, whatever nodes and gateway do."""

from __future__ import annotations

import threading

import pytest

from syne_hypersched.backends.ray import _streams
from syne_hypersched.backends.ray._streams import CheckpointStreams
from tests.checkpoints.test_moving import take, write

LOG = ".rank0-0-0.out"


class Gateway:
    """Keeps what it is sent, and answers as a test says."""

    def __init__(self):
        self.changed, self.sent = threading.Condition(), []
        self.streams = None

    def send(self, message):
        with self.changed:
            self.sent.append(message)
            self.changed.notify_all()

    def wait(self, source, target, what="copy"):
        """Waits for an order and returns it; each is returned once."""

        def find():
            return next(
                (m for m in self.sent if m["command"] == "copy" and (m["source"], m["target"]) == (source, target)),
                None,
            )

        with self.changed:
            assert self.changed.wait_for(find, timeout=100)
            order = find()
            self.sent.remove(order)
        assert order["what"] == what
        return order

    def cancelled(self):
        return [m["copy"] for m in self.sent if m["command"] == "cancel"]

    def answer(self, order, newest=None, error=""):
        self.streams.hear({"event": "copied", "copy": order["copy"], "error": error, "newest": newest})


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(_streams, "_RETRY_S", 0.01)
    world = World(tmp_path)
    yield world
    world.streams.close(wait=False)


class World:
    def __init__(self, tmp_path):
        self.folder = str(tmp_path / "0" / "checkpoints")
        self.gateway, self.settled, self.ready = Gateway(), [], []
        self.streams = self.gateway.streams = CheckpointStreams(self.gateway.send, self.settled.append)
        self.streams.home = "abc"

    def prepare(self, *nodes, log=LOG, begins=True):
        return self.streams.prepare(self.folder, nodes, log, self.ready.append, begins)


class TestWhileATrialTrains:
    def test_a_new_trial_begins_at_once(self, world):
        assert world.prepare("a", "b") == ""
        assert world.gateway.sent == []

    def test_each_generation_is_copied_with_the_log(self, world, wait_for):
        world.prepare("a")
        world.streams.take(world.folder, 1)
        order = world.gateway.wait("a", "")
        assert (order["with_live"], order["log"], order["home"], order["trial"]) == (False, LOG, "abc", "0")
        assert not world.streams.is_settled("0")
        world.streams.take(world.folder, 2)
        assert world.gateway.sent == []  # one after the other
        world.gateway.answer(order, 1)
        world.gateway.answer(world.gateway.wait("a", ""), 2)
        wait_for(lambda: world.settled == ["0", "0"])
        assert world.streams.is_settled("0")

    def test_a_copy_that_fails_is_tried_again(self, world, caplog):
        world.prepare("a")
        world.streams.take(world.folder, 1)
        for _ in range(_streams._MOST_TRIES + 1):
            world.gateway.answer(world.gateway.wait("a", ""), error="no room")
        order = world.gateway.wait("a", "")
        (record,) = caplog.records
        assert "The checkpoints of trial 0 cannot be copied to the tuner's disk: no room." in record.message
        world.gateway.answer(order, 1)
        assert world.streams.is_settled("0")

    def test_the_end_is_copied_with_the_folder_and_without_the_log(self, world):
        world.prepare("a")
        world.streams.end(world.folder, LOG, is_lost=False)
        order = world.gateway.wait("a", "")
        assert (order["with_live"], order["log"]) == (True, None)

    def test_a_log_that_was_read_before_it_was_copied_does_not_stay(self, world, tmp_path):
        world.prepare("a")
        world.streams.take(world.folder, 1)
        order = world.gateway.wait("a", "")
        (tmp_path / "0").mkdir()
        (tmp_path / "0" / LOG).touch()
        world.gateway.answer(order, 1)
        assert (tmp_path / "0" / LOG).exists()
        world.streams.take(world.folder, 2)
        order = world.gateway.wait("a", "")
        world.streams.end(world.folder, LOG, is_lost=False)
        world.gateway.answer(order, 2)
        assert not (tmp_path / "0" / LOG).exists()

    def test_a_copy_of_an_earlier_end_is_not_that_of_the_last_one(self, world):
        world.prepare("a")
        world.streams.end(world.folder, LOG, is_lost=False)
        old = world.gateway.wait("a", "")
        assert world.prepare("a", log="second") == ""
        world.streams.end(world.folder, "second", is_lost=False)
        world.gateway.answer(old, 1)
        world.gateway.answer(world.gateway.wait("a", ""), 2)
        assert world.streams.is_settled("0")


class TestALaunchElsewhere:
    def test_it_begins_when_all_nodes_have_the_checkpoints(self, world, wait_for):
        world.prepare("a")
        world.streams.end(world.folder, LOG, is_lost=False)
        world.gateway.answer(world.gateway.wait("a", ""), 1)
        assert world.prepare("b", "c", log="second") is None
        world.gateway.answer(world.gateway.wait("a", "b"))
        order = world.gateway.wait("a", "c")
        assert world.ready == []
        world.gateway.answer(order, error="busy")
        world.gateway.answer(world.gateway.wait("a", "c"))
        wait_for(lambda: world.ready == [""])
        world.streams.take(world.folder, 5)
        assert world.gateway.wait("b", "")["log"] == "second"

    def test_the_first_launch_of_a_resumed_trial_comes_from_the_tuners_disk(self, world, wait_for, tmp_path):
        write(tmp_path / "0" / "checkpoints", state="1")
        take(tmp_path / "0" / "checkpoints", 1)
        assert world.prepare("a") is None
        world.gateway.answer(world.gateway.wait("", "a"))
        wait_for(lambda: world.ready == [""])

    def test_a_launch_that_is_withdrawn_does_not_begin(self, world):
        world.prepare("a")
        world.streams.end(world.folder, LOG, is_lost=False)
        world.gateway.answer(world.gateway.wait("a", ""), 1)
        world.prepare("b", log="second")
        order = world.gateway.wait("a", "b")
        world.streams.end(world.folder, "second", is_lost=False)
        # The copy that was under way is no copy for the next launch: the trial may have trained since.
        assert world.prepare("a", log="third") == ""
        world.streams.end(world.folder, "third", is_lost=False)
        world.prepare("b", log="fourth")
        world.gateway.answer(order)
        world.gateway.answer(world.gateway.wait("a", ""), 2)
        order = world.gateway.wait("a", "b")
        assert world.ready == []
        world.gateway.answer(order)

    def test_the_other_nodes_of_a_launch_that_has_begun(self, world, wait_for):
        """Its first node has put an older checkpoint back."""
        world.prepare("a")
        assert world.prepare("a", "b", begins=False) is None
        world.gateway.answer(world.gateway.wait("a", "b"))
        wait_for(lambda: world.ready == [""])

    def test_an_old_launch_does_not_end_a_new_one(self, world):
        world.prepare("a")
        world.prepare("a", log="second")
        world.streams.end(world.folder, LOG, is_lost=False)
        world.streams.take(world.folder, 1)
        assert world.gateway.wait("a", "")["with_live"] is False


class TestALostNode:
    def test_a_copy_that_is_cancelled_may_end_at_once(self, world):
        world.prepare("a")
        world.streams.take(world.folder, 1)
        order = world.gateway.wait("a", "")
        send = world.gateway.send

        def send_and_answer(message):
            send(message)
            if message["command"] == "cancel":
                world.gateway.answer(order, error="it was given up")

        world.streams._send = send_and_answer
        world.streams.lose("a")
        assert order["copy"] in world.gateway.cancelled()

    def test_a_trial_goes_back_to_the_tuners_disk_and_says_so(self, world, wait_for, tmp_path):
        write(tmp_path / "0" / "checkpoints", state="1")
        world.prepare("a")
        world.gateway.answer(world.gateway.wait("", "a"))
        wait_for(lambda: world.ready == [""])
        world.streams.take(world.folder, 1)
        order = world.gateway.wait("a", "")
        world.streams.lose("a")
        world.streams.end(world.folder, LOG, is_lost=True)
        assert order["copy"] in world.gateway.cancelled()
        assert world.prepare("b", log="second") is None
        # It is not read from there while it may still be written there.
        assert not [m for m in world.gateway.sent if m["command"] == "copy"]
        world.gateway.answer(order, error="it was given up")
        world.gateway.answer(world.gateway.wait("", "b"))
        wait_for(lambda: len(world.ready) == 2)
        assert "node a was lost before its newest checkpoint" in world.ready[1]

    def test_a_node_that_is_lost_while_it_is_copied_from(self, world, wait_for):
        world.prepare("a")
        world.streams.end(world.folder, LOG, is_lost=False)
        world.gateway.answer(world.gateway.wait("a", ""), 1)
        world.prepare("b", log="second")
        order = world.gateway.wait("a", "b")
        world.streams.lose("a")
        world.gateway.answer(order, error="it was given up")
        world.gateway.answer(world.gateway.wait("", "b"))
        wait_for(lambda: world.ready == [""])

    def test_what_came_from_a_lost_node_is_replaced_for_all(self, world, wait_for):
        """The ranks of a launch must not begin from different checkpoints."""
        world.prepare("a")
        world.streams.end(world.folder, LOG, is_lost=False)
        to_tuner = world.gateway.wait("a", "")
        world.prepare("b", "c", log="second")
        world.gateway.answer(world.gateway.wait("a", "b"))
        order = world.gateway.wait("a", "c")
        world.streams.lose("a")
        world.gateway.answer(order, error="it was given up")
        world.gateway.answer(to_tuner, error="it was given up")
        for node in "bc":
            world.gateway.answer(world.gateway.wait("", node))
        wait_for(lambda: len(world.ready) == 1)
        assert "node a was lost before its last checkpoint" in world.ready[0]

    def test_a_gateway_that_dies_takes_its_copies_with_it(self, world):
        world.prepare("a")
        world.streams.take(world.folder, 1)
        old = world.gateway.wait("a", "")
        world.streams.lose_gateway()
        order = world.gateway.wait("a", "")
        world.gateway.answer(old, 7)
        world.gateway.answer(order, 1)
        assert world.streams.is_settled("0")


class TestADiskThatIsShort:
    def test_what_is_on_the_tuners_disk_goes_and_comes_back(self, world, wait_for):
        world.prepare("a")
        world.streams.end(world.folder, LOG, is_lost=False)
        world.gateway.answer(world.gateway.wait("a", ""), 1)
        world.streams.spare("a")
        forget = world.gateway.wait("a", "a", "forget")
        assert world.prepare("a", log="second") is None
        assert not [m for m in world.gateway.sent if m["command"] == "copy"]
        world.gateway.answer(forget)
        world.gateway.answer(world.gateway.wait("", "a"))
        wait_for(lambda: world.ready == [""])

    def test_what_is_not_there_yet_stays(self, world):
        world.prepare("a")
        world.streams.end(world.folder, LOG, is_lost=False)
        order = world.gateway.wait("a", "")
        world.streams.spare("a")
        world.gateway.answer(order, 1)
        assert world.prepare("a", log="second") == ""


class TestTheEnd:
    def test_it_waits_for_the_last_copy(self, world):
        world.prepare("a")
        world.streams.end(world.folder, LOG, is_lost=False)
        closing = threading.Thread(target=world.streams.close)
        closing.start()
        order = world.gateway.wait("a", "")
        assert closing.is_alive()
        world.gateway.answer(order, 1)
        closing.join(100)
        assert not closing.is_alive()
        assert world.settled == ["0"]

    def test_a_copy_that_cannot_be_made_does_not_hold_it_up_for_ever(self, world, caplog, wait_for):
        world.prepare("a")
        world.streams.end(world.folder, LOG, is_lost=False)
        closing = threading.Thread(target=world.streams.close)
        closing.start()
        wait_for(lambda: world.streams._is_closing)
        for _ in range(_streams._MOST_TRIES):
            world.gateway.answer(world.gateway.wait("a", ""), error="no room")
        closing.join(100)
        assert not closing.is_alive()
        assert "The last checkpoints of trial 0 stay on node a: no room." in caplog.text

    def test_another_trial_can_wait_for_a_checkpoint(self, world):
        world.prepare("a")
        world.streams.take(world.folder, 1)
        order = world.gateway.wait("a", "")
        assert not world.streams.fetch(world.folder, 0.0)
        world.streams.end(world.folder, LOG, is_lost=False)
        world.gateway.answer(order, 1)
        world.gateway.answer(world.gateway.wait("a", ""), 1)
        assert world.streams.fetch(world.folder, 100)

    def test_it_gets_what_the_node_has_now_told_or_not_while_the_other_one_trains(self, world, wait_for, monkeypatch):
        """A copy that was under way when it was asked for may lack the newest, and the first one may lack all."""
        for name in ("_FIRST_S", "_LOOK_S"):  # else it asks again, or gives up, if this test is slow
            monkeypatch.setattr(_streams, name, 100.0)
        world.prepare("a")
        world.streams.take(world.folder, 1)
        early = world.gateway.wait("a", "")
        fetched = []
        fetching = threading.Thread(target=lambda: fetched.append(world.streams.fetch(world.folder, 100)))
        fetching.start()
        wait_for(lambda: world.streams._asked)
        world.gateway.answer(early, None)
        world.gateway.answer(world.gateway.wait("a", ""), None)
        assert fetched == [], "there is no whole generation yet"
        world.gateway.answer(world.gateway.wait("a", ""), 2)
        fetching.join(100)
        assert fetched == [True]
        assert world.streams.is_settled("0")

    def test_it_does_not_wait_for_long_for_a_trial_that_saves_nothing(self, world, monkeypatch):
        monkeypatch.setattr(_streams, "_FIRST_S", 0.0)
        world.prepare("a")
        fetched = []
        fetching = threading.Thread(target=lambda: fetched.append(world.streams.fetch(world.folder, 100)))
        fetching.start()
        world.gateway.answer(world.gateway.wait("a", ""), None)
        fetching.join(100)
        assert fetched == [False]
