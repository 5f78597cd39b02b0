"""The gateway's decisions that need no Ray; the tests of the backend run it as a whole."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from syne_hypersched.backends.ray._gateway import Gateway, _caller, _check_reachable, _free, _resolved
from syne_hypersched.backends.ray._membership import NodeFacts
from syne_hypersched.backends.ray._remote_node import Dead, Faulty, Unreachable


class Sent(list):
    """A link."""

    def send(self, message):
        self.append(message)
        return True


class Taking:
    """A node that takes orders."""

    def __init__(self, name):
        self.name = name
        self.orders = []

    def give(self, order):
        self.orders.append(order["order"])


@pytest.fixture
def gateway():
    gateway = Gateway(Sent(), {"insecure": False})
    gateway._nodes = {"a": Taking("a"), "b": Taking("b")}
    return gateway


def test_orders_go_to_one_node_or_to_all(gateway):
    gateway._obey({"command": "node", "node": "a", "order": {"order": "launch", "launch": 1}})
    gateway._obey({"command": "all", "order": {"order": "follow"}})
    gateway._obey({"command": "all", "order": {"order": "deadline"}, "stands": True})
    assert [node.orders for node in gateway._nodes.values()] == [
        ["launch", "follow", "deadline"], ["follow", "deadline"],
    ]  # fmt: skip
    assert list(gateway._standing) == ["deadline"]
    assert gateway._link == []


def test_a_launch_on_a_node_that_is_gone_is_refused(gateway):
    for order in ({"order": "drain", "launch": 6}, {"order": "launch", "launch": 7}):
        gateway._obey({"command": "node", "node": "gone", "order": order})
    assert gateway._link == [{"event": "refused", "node": "gone", "launch": 7}]


@pytest.mark.parametrize(
    ("insecure", "mode", "addresses", "said"),
    [
        (False, None, ["127.0.0.1", "10.0.0.2"], "10.0.0.2"),
        (False, None, [f"10.0.0.{number}" for number in range(5)], "10.0.0.0, 10.0.0.1, 10.0.0.2, ..."),
        (False, None, ["127.0.0.1"], ""),
        (True, None, ["10.0.0.2"], ""),
        (False, "token", ["10.0.0.2"], ""),
        (False, "TOKEN", ["10.0.0.2"], ""),
        (False, "disabled", ["10.0.0.2"], "10.0.0.2"),
    ],
)
def test_a_cluster_that_others_can_reach_needs_a_token(gateway, monkeypatch, insecure, mode, addresses, said):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    gateway._settings["insecure"] = insecure
    nodes = [{"NodeManagerAddress": address, "Alive": True} for address in addresses]
    nodes.append({"NodeManagerAddress": "10.9.9.9", "Alive": False})
    assert gateway._why_insecure(SimpleNamespace(nodes=lambda: nodes)) == said


def test_a_ray_that_cannot_be_imported_is_told_instead_of_an_address_that_does_not_answer(gateway, monkeypatch):
    def fail(name):
        raise AttributeError("module 'google.protobuf' has no attribute 'x'")

    monkeypatch.setattr("importlib.import_module", fail)
    gateway.run()
    [said] = gateway._link
    assert (said["event"], said["kind"]) == ("failed", "import")
    assert said["error"].startswith("Ray cannot be imported (AttributeError: module 'google.protobuf' has no")


def test_names_of_nodes_that_live_are_taken(gateway):
    gateway._names = {"1": "a", "2": "c", "3": "d"}
    gateway._facts = {
        node_id: NodeFacts(node_id, "host", "10.0.0.1", node_id == "2", 1, False) for node_id in ("1", "2", "3")
    }
    assert gateway._taken() == {"a", "c"}, "an agent, or a node that lives"
    assert [gateway._lives(node_id) for node_id in ("1", "2", "9")] == [False, True, False]


def test_an_address_is_tried_before_ray_takes_its_time():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        _check_reachable(address)
    with pytest.raises(OSError):
        _check_reachable(address)
    for other in ("auto", "local", "ray://somewhere/x:1"):
        _check_reachable(other)


class Errors:
    """Ray's exceptions, as they inherit from each other."""

    class RayError(Exception):
        pass

    class GetTimeoutError(RayError, TimeoutError):
        pass

    class RayActorError(RayError):
        pass

    class ActorDiedError(RayActorError):
        actor_init_failed = True

    class ActorUnavailableError(RayActorError):
        pass

    class ActorUnschedulableError(RayError):
        pass

    class RayTaskError(RayError):
        pass


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (None, None, ""),
        (Errors.GetTimeoutError("x"), TimeoutError, "^$"),
        (Errors.ActorUnavailableError("for now"), Unreachable, "for now"),
        (Errors.RayActorError("\nit has died.\nbecause"), Dead, "^it has died$"),
        (
            Errors.ActorDiedError(
                "it died in its creation task\nTraceback\nModuleNotFoundError: No module named 'x'\n"
            ),
            Dead,
            r"^its agent cannot be started \(ModuleNotFoundError: No module named 'x'\)$",
        ),
        (Errors.ActorUnschedulableError("no place"), Dead, "no place"),
        (Errors.RayTaskError("Traceback\nKeyError: 'x'\n"), Faulty, "^KeyError: 'x'$"),
        (Errors.RayError("the head"), Unreachable, "the head"),
    ],
)
def test_errors_of_ray_are_those_of_a_connection(raised, expected, message):
    asked = []

    def get(answer, timeout):
        asked.append((answer, timeout))
        if raised is not None:
            raise raised
        return bytearray(b"answer")

    method = SimpleNamespace(
        options=lambda concurrency_group: SimpleNamespace(remote=lambda data: (concurrency_group, data))
    )
    call = _caller(SimpleNamespace(get=get, exceptions=Errors), SimpleNamespace(poll=method))
    if expected is None:
        assert call("poll", b"question", 3.0) == b"answer"
    else:
        with pytest.raises(expected, match=message):
            call("poll", b"question", 3.0)
    assert asked == [(("poll", b"question"), 3.0)]


def test_an_agent_that_dies_without_an_answer_may_miss_the_token(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    answers = iter([Errors.RayActorError("it has died."), b"answer", Errors.RayActorError("it has died.")])

    def get(answer, timeout):
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    method = SimpleNamespace(options=lambda concurrency_group: SimpleNamespace(remote=lambda data: None))
    call = _caller(SimpleNamespace(get=get, exceptions=Errors), SimpleNamespace(poll=method))
    with pytest.raises(Dead, match=r"^it has died\. This process uses a token"):
        call("poll", b"question", 3.0)
    assert call("poll", b"question", 3.0) == b"answer"
    with pytest.raises(Dead, match=r"^it has died$"):
        call("poll", b"question", 3.0)


class Waiting(Taking):
    """A node whose agent has not said hello."""

    def __init__(self, name, is_known=False):
        super().__init__(name)
        self.is_known, self.left = is_known, []

    def leave(self, reason):
        self.left.append(reason)


def ray_with(**state):
    """A module whose private state answers, or fails."""
    killed = []
    return SimpleNamespace(
        _private=SimpleNamespace(state=SimpleNamespace(state=SimpleNamespace(), **state)),
        kill=killed.append,
        killed=killed,
    )


@pytest.mark.parametrize(
    ("num_devices", "known", "is_given_up"), [(2, ["a"], True), (4, ["a"], False), (2, [], False), (0, ["a"], False)]
)
def test_an_agent_that_waits_for_devices_is_given_up_once_others_have_come(gateway, num_devices, known, is_given_up):
    """Another job may have taken its devices before Ray could start it."""
    ray = ray_with()
    gateway._settings["num_devices"] = num_devices
    gateway._nodes = {name: Waiting(name, name in known) for name in ("a", "b")}
    gateway._agents_of = {"a": "agent a", "b": "agent b"}
    gateway._give_up_rest(ray, 2 * len(known))
    assert gateway._nodes["a"].left == []
    assert ray.killed == (["agent b"] if is_given_up else [])
    assert len(gateway._nodes["b"].left) == is_given_up


def test_an_agent_is_late_that_has_not_said_hello_for_long(gateway):
    gateway._nodes = {"a": Waiting("a", is_known=True), "b": Waiting("b")}
    gateway._begun_at = dict.fromkeys("ab", 100.0)
    assert [gateway._is_late(name, 109.0) for name in "ab"] == [False, False]
    assert [gateway._is_late(name, 111.0) for name in "ab"] == [False, True]


def test_devices_that_other_jobs_hold_are_not_counted():
    def available():
        return {"1": {"slot": 1.0, "CPU": 4.0}, "2": {"CPU": 4.0}}

    assert _free(ray_with(available_resources_per_node=available), "slot") == {"1": 1.0, "2": 0.0}
    assert _free(ray_with(), "slot") == {}, "another version of Ray"


def test_a_node_whose_agents_never_come_is_tried_less_and_less_often(gateway, monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    ray = SimpleNamespace(kill=lambda agent: None)
    waits = []
    for _ in range(7):
        gateway._forget(ray, Waiting("a"), "1", None)
        waits.append(gateway._not_before["1"] - 100.0)
    assert waits == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    gateway._forget(ray, Waiting("a", is_known=True), "1", None)
    assert gateway._not_before["1"] == 102.0


def services(answer):
    def find(address):
        if isinstance(answer, Exception):
            raise answer
        return answer

    return lambda name: SimpleNamespace(canonicalize_bootstrap_address_or_die=find)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("10.0.0.9:6379", "10.0.0.9:6379"),
        (ConnectionError("no running Ray instance"), None),
        (AttributeError("another version of Ray"), "auto"),
    ],
)
def test_auto_is_the_address_that_ray_finds(monkeypatch, found, expected):
    """It is then tried before Ray takes its time, and named if nothing is there."""
    with monkeypatch.context() as patch:
        patch.setattr("importlib.import_module", services(found))
        if expected is not None:
            assert _resolved("auto") == expected
            return
        with pytest.raises(ConnectionError, match="no running"):
            _resolved("auto")


def test_an_address_where_nothing_answers_is_named():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=rf"nothing answers at {address} \(.*refused"):
            _check_reachable(address)


def test_a_node_that_is_partly_free_may_grow_for_a_while(gateway, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    assert not gateway._may_grow("1", False)
    assert gateway._may_grow("1", True)
    now[0] += 9.0
    assert gateway._may_grow("1", True)
    now[0] += 2.0
    assert not gateway._may_grow("1", True), "another job keeps the rest"
    assert not gateway._may_grow("1", False)
    assert gateway._may_grow("1", True)
