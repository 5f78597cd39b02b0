from __future__ import annotations

import os
import socket

import pytest

from syne_hypersched.launch import LaunchSpec, RankSpec
from syne_hypersched.launch._learning import library_folders
from syne_hypersched.launch._nursery import Nursery
from syne_hypersched.launch._spec import LineBuffer, encode

#: No process has this id.
NOBODY = 2**31 - 1
BASE = {"PATH": "/bin"}


def spec(warm=True, **env) -> LaunchSpec:
    return LaunchSpec(("train.py",), (RankSpec({**BASE, **env}, "out", "err"),), warm=warm, grace_s=1.0)


class Server:
    """A server with a nursery whose forks are sockets: what the second server would say is said by the test."""

    def __init__(self, monkeypatch):
        self.told = []
        self.forgotten = []
        self.forks = 0
        self.child = None
        self.nursery = Nursery(self.told.append, BASE, ["MY_FLAG"], serve=lambda control: None)
        make_pair = socket.socketpair

        def pair():
            ours, theirs = make_pair()
            self.child = theirs.dup()
            return ours, theirs

        monkeypatch.setattr(socket, "socketpair", pair)

    def fork(self):
        self.forks += 1
        return NOBODY

    def learn(self, launch, *modules, running=()):
        """A launch ends that has imported these slow modules."""
        record = self.nursery.record_for(launch, spec())
        assert record is not None
        record.claim(os.getpid())
        record.write([[name, 1.0, f"{library_folders()[0]}/{name}.py", []] for name in modules])
        self.nursery.look(running, self.fork)

    def say(self, **message):
        self.child.sendall(encode(message))
        return self.nursery.read(self.fork, self.forgotten.append)

    def die(self):
        self.child.close()
        return self.nursery.read(self.fork, self.forgotten.append)

    def heard(self):
        self.child.setblocking(False)
        return LineBuffer().feed(self.child.recv(65536))


@pytest.fixture
def server(monkeypatch):
    server = Server(monkeypatch)
    yield server
    for each in (server.child, server.nursery.pipe):
        if each is not None:
            each.close()


def test_one_warm_launch_at_a_time_notes_its_imports(server):
    nursery = server.nursery
    assert nursery.record_for(0, spec(warm=False)) is None
    assert nursery.record_for(1, spec(MY_RUN="1")) is not None
    assert nursery.record_for(2, spec()) is None
    nursery.look([1], server.fork)
    assert nursery.record_for(3, spec()) is None, "it runs, and may import more"
    nursery.look([], server.fork)
    assert nursery.record_for(4, spec()) is not None
    assert server.forks == 0, "nothing slow was imported"


def test_after_a_few_launches_without_slow_imports_nothing_is_learnt(server):
    for launch in range(4):
        server.learn(launch)
    assert server.nursery.record_for(4, spec()) is None
    assert server.forks == 0


def test_slow_imports_make_a_second_server_that_gets_launches_when_it_is_ready(server):
    server.learn(0, "made_up_a", "made_up_b")
    nursery = server.nursery
    assert (server.forks, nursery.pid, nursery.is_ready) == (1, NOBODY, False)
    assert nursery.record_for(1, spec()) is None
    assert server.say(event="learnt", modules=["made_up_a"], seconds=1.0) == set()
    assert nursery.is_ready
    nursery.take(7, spec(A="1"))
    (message,) = server.heard()
    assert (message["command"], message["launch"]) == ("launch", 7)
    assert LaunchSpec.from_json(message["spec"], BASE) == spec(A="1")
    server.say(event="exit", launch=7)
    assert nursery.launches == set()
    assert [message["event"] for message in server.told] == ["learnt", "exit"], "all is passed on"


def test_a_second_server_that_dies_has_lost_its_launches_and_is_not_replaced(server):
    server.learn(0, "made_up_a")
    server.say(event="learnt", modules=["made_up_a"], seconds=1.0)
    for launch in (7, 8):
        server.nursery.take(launch, spec())
    server.say(event="exit", launch=7)
    pipe = server.nursery.pipe
    assert server.die() == {8}
    assert server.forgotten == [pipe]
    assert (server.nursery.pid, server.nursery.pipe, server.nursery.is_ready) == (None, None, False)
    assert server.forks == 1
    assert server.nursery.record_for(9, spec()) is None
    server.nursery.send({"command": "drain"})


def test_a_module_that_must_not_be_preloaded_is_left_out_of_the_next_fork(server):
    server.learn(0, "made_up_a", "made_up_b")
    server.say(event="left_out", module="made_up_a", why="it starts threads")
    assert server.die() == set()
    assert (server.forks, server.nursery._modules) == (2, ("made_up_b",))
    server.say(event="left_out", module="made_up_b", why="it starts threads")
    server.die()
    assert server.forks == 2, "nothing is left to learn"
    assert server.nursery.record_for(1, spec()) is None


def test_a_fork_that_dies_without_a_word_names_what_it_was_importing(server):
    server.learn(0, "made_up_a", "made_up_b")
    server.die()
    assert server.told == [
        {"event": "left_out", "module": "made_up_a, made_up_b", "why": "an import has ended the process"}
    ]
    assert server.forks == 1


def test_forks_are_not_tried_for_ever(server):
    names = [f"made_up_{index}" for index in range(20)]
    server.learn(0, *names)
    for name in names:
        if server.nursery.pipe is None:
            break
        server.say(event="left_out", module=name, why="no")
        server.die()
    assert server.forks == 8


def test_a_fork_that_the_machine_refuses_ends_the_learning(server):
    def refuse():
        raise OSError("no memory")

    record = server.nursery.record_for(0, spec())
    record.claim(os.getpid())
    record.write([["made_up", 1.0, f"{library_folders()[0]}/made_up.py", []]])
    server.nursery.look([], refuse)
    assert server.nursery.pid is None
    assert server.nursery.record_for(1, spec()) is None


@pytest.mark.parametrize("is_busy", [True, False])
def test_a_launch_that_still_runs_is_looked_at_once_it_imports_nothing_more(server, monkeypatch, is_busy):
    now_s = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    record = server.nursery.record_for(0, spec())
    record.claim(os.getpid())
    record.write([["made_up", 1.0, f"{library_folders()[0]}/made_up.py", []]])
    record.set_busy(is_busy)
    server.nursery.look([0], server.fork)
    now_s[0] += 0.9
    server.nursery.look([0], server.fork)
    assert server.forks == 0
    now_s[0] += 0.2
    server.nursery.look([0], server.fork)
    assert server.forks == (0 if is_busy else 1)


def test_imports_that_take_too_long_are_killed(server, monkeypatch):
    killed = []
    monkeypatch.setattr(os, "kill", lambda pid, signum: killed.append(pid))
    now_s = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    server.learn(0, "made_up")
    now_s[0] += 299.0
    server.nursery.look([], server.fork)
    assert killed == []
    now_s[0] += 2.0
    server.nursery.look([], server.fork)
    assert killed == [NOBODY]
    server.say(event="learnt", modules=["made_up"], seconds=301.0)
    server.nursery.look([], server.fork)
    assert killed == [NOBODY], "it was ready after all"


@pytest.mark.parametrize("is_ready", [True, False])
def test_the_end_of_the_server_drains_the_second_one_or_kills_it(server, monkeypatch, is_ready):
    killed = []
    monkeypatch.setattr(os, "kill", lambda pid, signum: killed.append(pid))
    server.learn(0, "made_up")
    if is_ready:
        server.say(event="learnt", modules=["made_up"], seconds=1.0)
    server.nursery.close()
    assert server.child.recv(1) == b"", "the end of its commands"
    assert killed == ([] if is_ready else [NOBODY])


def test_the_nursery_of_the_second_server_knows_what_is_left_out_and_learns_on(server):
    server.learn(0, "made_up_a")
    server.say(event="left_out", module="made_up_a", why="it starts threads")
    server.die()
    server.nursery = server.nursery.heir(server.told.append, lambda control: None)
    server.learn(1, "made_up_a", "made_up_c")
    assert server.nursery._modules == ("made_up_c",)
    assert server.nursery.record_for(2, spec(MY_RUN="1")) is None
    last = server.nursery.heir(server.told.append, lambda control: None)
    assert last is not None
    assert last.heir(server.told.append, lambda control: None) is None, "they do not learn for ever"
