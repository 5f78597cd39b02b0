"""The gateway's side of a node: what an unreliable connection does, and does not do."""

from __future__ import annotations

import threading
import time

import pytest

from syne_hypersched.backends.ray._lease import Fence
from syne_hypersched.backends.ray._messages import pack, unpack
from syne_hypersched.backends.ray._remote_node import _NUM_CLOCKS, Dead, Faulty, RemoteNode, Unreachable
from syne_hypersched.backends.ray._unacknowledged import Unacknowledged

LEASE_S, GRACE_S = 60.0, 0.1


class Agent:
    """An agent whose connection fails as a test says: before the call arrives, or after it."""

    def __init__(self):
        self.outbox, self.carried_out, self.failures, self.is_dead = Unacknowledged(), [], [], False
        self.lock, self.number, self.is_faulty, self.ahead_s = threading.Lock(), 0, False, 0.0

    def __call__(self, method, data, timeout_s):
        if self.is_dead:
            raise Dead("it is dead")
        if self.is_faulty and method == "order":
            raise Faulty("KeyError: 'argv'")
        with self.lock:
            failure = self.failures.pop(0) if self.failures else None
        if failure == "before":
            raise Unreachable("lost on the way")
        message = unpack(data)
        if method == "poll":
            self.number += 1
            taken = self.outbox.take(message["acknowledged"], min(0.02, message["wait_s"]))
            wall = time.time() + self.ahead_s
            answer = pack({"answer": self.number, "now": time.monotonic(), "messages": taken, "wall": wall})
        else:
            self.carried_out += [
                (n, order) for n, order in message["orders"] if n > max((m for m, _ in self.carried_out), default=0)
            ]
            answer = pack({})
        if failure == "after":
            raise Unreachable("the answer is lost")
        return answer


@pytest.fixture
def make():
    nodes = []

    def begin(agent, lives=True, lease_s=LEASE_S):
        told, ended = [], threading.Event()
        node = RemoteNode("n", agent, told.append, lambda: lives, lease_s, GRACE_S, lambda _: ended.set())
        nodes.append((agent, ended))
        node.start()
        return node, told, ended

    yield begin
    for agent, ended in nodes:
        agent.is_dead = True
        assert ended.wait(100)


def test_messages_are_told_once_and_in_order_though_answers_are_lost(make, wait_for):
    agent = Agent()
    agent.failures = ["before", "after", None, "after", "after", "before", None, "after"]
    for number in range(20):
        agent.outbox.put({"event": "log", "number": number})
    _, told, _ = make(agent)
    wait_for(lambda: len(told) >= 20)
    wait_for(lambda: not agent.failures)
    assert [message["message"]["number"] for message in told] == list(range(20))


def test_orders_are_carried_out_once_and_in_order_though_calls_are_lost(make, wait_for):
    agent = Agent()
    node, _, _ = make(agent)
    agent.failures = ["after", "before", "after", "after", "before"] * 3
    for number in range(10):
        node.give({"order": "x", "number": number})
    wait_for(lambda: len(agent.carried_out) == 10)
    assert [order["number"] for _, order in agent.carried_out] == list(range(10))


def test_moments_are_told_as_durations(make, wait_for):
    agent = Agent()
    node, _, _ = make(agent)
    node.give({"order": "deadline", "drain_at": time.monotonic() + 500, "kill_at": time.monotonic() + 600})
    wait_for(lambda: agent.carried_out)
    ((_, order),) = agent.carried_out
    assert set(order) == {"order", "drain_in_s", "kill_in_s"}
    assert order["drain_in_s"] <= 500
    assert order["kill_in_s"] - order["drain_in_s"] == pytest.approx(100, abs=1)


def test_a_dead_agent_is_silent_and_then_gone(make, wait_for):
    agent = Agent()
    agent.outbox.put({"event": "hello"})
    _, told, ended = make(agent)
    wait_for(lambda: told)
    agent.is_dead = True
    assert ended.wait(100)
    assert [message["event"] for message in told[-2:]] == ["silent", "gone"]
    assert told[-2]["reason"] == "it is dead"


def test_a_node_that_was_never_heard_of_is_given_up_when_it_is_dead(make):
    agent = Agent()
    agent.failures = ["before"] * 10_000
    _, told, ended = make(agent, lives=False)
    assert ended.wait(100)
    assert [message["event"] for message in told] == ["silent", "gone"]


def test_a_node_whose_agent_fails_at_an_order_is_given_up_when_its_lease_is_over(make, wait_for, monkeypatch):
    died = []
    monkeypatch.setattr(Fence, "die", lambda self, now: died.append(now))
    agent = Agent()
    agent.outbox.put({"event": "hello"})
    node, told, ended = make(agent, lease_s=5.0)
    wait_for(lambda: told)
    agent.is_faulty = True
    node.give({"order": "launch"})
    assert ended.wait(100)
    assert [message["event"] for message in told[-2:]] == ["silent", "gone"]
    assert told[-2]["reason"] == "its agent has failed (KeyError: 'argv')"
    assert died == [], "it may train on until its lease is over"


@pytest.mark.parametrize("ahead_s", [-3600.0, 50.0])
def test_how_far_a_clock_is_ahead_is_told_before_what_was_printed_by_it(make, wait_for, ahead_s):
    agent = Agent()
    agent.ahead_s = ahead_s
    agent.outbox.put({"event": "hello"})
    _, told, _ = make(agent)
    wait_for(lambda: len(told) >= 2)
    assert [message["event"] for message in told[:2]] == ["clock", "told"]
    assert told[0]["ahead_s"] == pytest.approx(ahead_s, abs=40)
    assert told[0]["ahead_s"] <= ahead_s, "an answer that takes its time only lets it look further behind"


def test_the_best_of_many_answers_says_what_the_clock_is(monkeypatch):
    now = 1000.0
    monkeypatch.setattr("time.time", lambda: now)
    told = []
    node = RemoteNode("n", Agent(), told.append, lambda: True, LEASE_S, GRACE_S, lambda _: None)
    for late_s in (0.0, 5.0, 0.05, 9.0):
        node._compare_clocks(now - late_s)
    assert told == [], "the same clock, and slow answers"
    for _ in range(_NUM_CLOCKS):
        node._compare_clocks(now + 20.0)
    assert [message["ahead_s"] for message in told] == [20.0]
    for _ in range(_NUM_CLOCKS):
        node._compare_clocks(now - 20.0)
    assert [message["ahead_s"] for message in told] == [20.0, -20.0], "it was set"
