"""The process beside the tuner that talks to Ray: it watches the nodes, runs an agent on each, and passes on messages.

It is a process of its own because Ray replaces handlers of signals, starts two dozen threads and ends the process a
minute after the head of the cluster has died. The tuner survives this, and starts another gateway. Messages of agents
are passed on as JSON; the tuner itself never unpickles data from another machine.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from syne_hypersched.backends.ray._agent import NodeAgent
from syne_hypersched.backends.ray._carrier import Carrier, CheckpointPlace, TunersPlace
from syne_hypersched.backends.ray._depot import Depot
from syne_hypersched.backends.ray._membership import NodeFacts, choose_nodes, name_for
from syne_hypersched.backends.ray._messages import Link, Message, pack
from syne_hypersched.backends.ray._node_place import GROUP, NUM_THREADS, NodePlace
from syne_hypersched.backends.ray._ranks import is_routable
from syne_hypersched.backends.ray._remote_node import Dead, Faulty, RemoteNode, Unreachable
from syne_hypersched.backends.ray._token import uses_token, with_open_hint, with_token_hint

#: Seconds that a connection to the head may take.
_REACH_S = 10.0
#: Seconds between two checks of the cluster's nodes, and until a node whose agent has died gets a new one.
_PERIOD_S, _AGAIN_S = 0.5, 2.0
#: That time doubles with each agent of the node that has never said hello, up to this one.
_MOST_AGAIN_S = 60.0
#: Seconds after which an agent that has not said hello is not counted on: another job may have taken its devices; and
#: for which a node of which other jobs hold a part is not used, if more of it is wanted.
_PLACE_S = 10.0


class Gateway:
    """See the module.

    Parameters
    ----------
    link
        The connection to the tuner.
    settings
        The tuner's settings: ``address``, ``resource``, ``num_devices`` (0: all), ``insecure`` and the settings of
        agents; ``wanted``, if Ray's autoscaler is to be asked for this number of devices.
    """

    def __init__(self, link: Link, settings: Message) -> None:
        self._link = link
        self._settings = settings
        self._lock = threading.Lock()
        self._nodes: dict[str, RemoteNode] = {}
        self._places: dict[str, CheckpointPlace] = {}
        self._carrier = Carrier(self._place, link.send)
        self._names: dict[str, str] = {}
        self._not_before: dict[str, float] = {}
        self._again_s: dict[str, float] = {}
        self._facts: dict[str, NodeFacts] = {}
        self._standing: dict[str, Message] = {}
        self._closing = threading.Event()
        self._leaving: set[str] = set()
        #: Devices of each node's agent.
        self._numbers: dict[str, int] = {}
        #: When each node's agent was begun, and the actor.
        self._begun_at: dict[str, float] = {}
        self._agents_of: dict[str, Any] = {}
        #: Since when nodes have been free in part.
        self._partly_free: dict[str, float] = {}
        #: Devices that Ray's autoscaler was asked for; None: it was not asked.
        self._asked: int | None = None

    def run(self) -> None:
        """Connects, and works until the tuner dies or ends the gateway."""
        try:
            ray: Any = importlib.import_module("ray")
        except Exception as error:  # a broken installation may raise anything
            text = f"Ray cannot be imported ({type(error).__name__}: {error})"
            self._link.send({"event": "failed", "kind": "import", "error": text})
            return
        hinted: Callable[[str], str] = str
        try:
            _check_reachable(_resolved(self._settings["address"]))
            hinted = with_token_hint
            ray.init(
                address=self._settings["address"], namespace="syne_hypersched", log_to_driver=False,
                configure_logging=False, logging_level=logging.ERROR,
            )  # fmt: skip
        except Exception as error:
            self._link.send({"event": "failed", "kind": type(error).__name__, "error": hinted(str(error))})
            return
        depot = Depot(lambda question: Path(question["folder"]))
        self._places[""] = TunersPlace(depot, lambda reference: bytes(ray.get(reference)))
        self._link.send({"event": "connected"})
        self._own_node: str = ray.get_runtime_context().get_node_id()
        self._looked_at = time.monotonic()
        threading.Thread(target=self._watch_head, name="syne-hypersched-head", daemon=True).start()
        problem = self._why_insecure(ray)
        if problem:
            self._link.send({"event": "failed", "kind": "insecure", "error": problem})
            return
        self._agents = ray.remote(concurrency_groups={"poll": 1, "order": 1, GROUP: NUM_THREADS})(NodeAgent)
        threading.Thread(target=self._watch, args=(ray,), name="syne-hypersched-nodes", daemon=True).start()
        while (command := self._link.receive()) is not None and command["command"] != "close":
            self._obey(command)
        self._end(ray)

    def _why_insecure(self, ray: Any) -> str:
        if self._settings["insecure"] or uses_token():
            return ""
        addresses = sorted({node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]})
        reachable = [address for address in addresses if is_routable(address)]
        return f"{', '.join(reachable[:3])}{', ...' if len(reachable) > 3 else ''}" if reachable else ""

    def _place(self, name: str) -> CheckpointPlace | None:
        with self._lock:
            return self._places.get(name)

    def _obey(self, command: Message) -> None:
        if command["command"] == "copy":
            self._carrier.carry(command)
            return
        if command["command"] == "cancel":
            self._carrier.cancel(command["copy"])
            return
        order = command.get("order", {})
        with self._lock:
            if command["command"] == "all":
                if command.get("stands"):
                    self._standing[order["order"]] = order
                nodes = list(self._nodes.values())
            elif command["command"] == "want":
                self._settings["wanted"], nodes = command["num_devices"], []
            else:
                node = self._nodes.get(command["node"])
                nodes = [] if node is None else [node]
        for node in nodes:
            node.give(order)
        if command["command"] == "node" and not nodes and order["order"] == "launch":
            self._link.send({"event": "refused", "node": command["node"], "launch": order["launch"]})

    # Which nodes there are.

    def _watch(self, ray: Any) -> None:
        while not self._closing.is_set():
            try:
                self._look(ray)
            except Exception as error:  # the head is away; running trials go on
                print(f"cannot look at the cluster: {error}", file=sys.stderr, flush=True)
            self._closing.wait(_PERIOD_S)

    def _watch_head(self) -> None:
        """Ends this process when the head does not answer and no agent does: Ray would do that after a minute."""
        while not self._closing.wait(_PERIOD_S):
            # Without the lock, which may be held by a call that waits for the head.
            is_known = any(node.is_known for node in list(self._nodes.values()))
            if not is_known and time.monotonic() >= self._looked_at + _REACH_S:
                os._exit(1)

    def _look(self, ray: Any) -> None:
        draining: dict[str, Any] = {}
        with contextlib.suppress(Exception):  # private in all versions so far
            draining = dict(ray._private.state.state.get_draining_nodes())
        resource, facts, free = self._settings["resource"], {}, _free(ray, self._settings["resource"])
        for node in ray.nodes():
            node_id, number = node["NodeID"], int(node["Resources"].get(resource, 0))
            left = int(min(number, free.get(node_id, number)))
            facts[node_id] = NodeFacts(
                node_id, node["NodeManagerHostname"], node["NodeManagerAddress"], bool(node["Alive"]), left,
                node_id in draining, self._may_grow(node_id, 0 < left < number),
            )  # fmt: skip
        if self._own_node not in facts or not facts[self._own_node].is_alive:
            os._exit(1)  # another head has come: the tuner starts a gateway that belongs to it
        self._facts, self._looked_at = facts, time.monotonic()
        now = time.monotonic()
        with self._lock:
            occupied = {node_id for node_id, name in self._names.items() if name in self._nodes}
            ready = [fact for fact in facts.values() if self._not_before.get(fact.node_id, 0.0) <= now]
            num_there = sum(self._numbers[name] for name in self._nodes if not self._is_late(name, now))
            num_known = sum(self._numbers[name] for name, node in self._nodes.items() if node.is_known)
            self._give_up_rest(ray, num_known)
            wanted = self._settings.get("wanted")
            chosen = choose_nodes(ready, occupied, self._settings["num_devices"], num_there, wanted)
            for fact, number in chosen:
                self._begin(ray, fact, number)
            leaving = [self._names[i] for i in occupied if facts.get(i) is not None and facts[i].is_draining]
        if wanted is not None:
            self._ask(wanted, num_known)
        for name in leaving:
            if name not in self._leaving:
                self._leaving.add(name)
                self._link.send({"event": "leaving", "node": name})

    def _may_grow(self, node_id: str, is_partly_free: bool) -> bool:
        """Whether a node has been partly free for a short time only: a job that ends gives it back in parts."""
        if not is_partly_free:
            self._partly_free.pop(node_id, None)
            return False
        return time.monotonic() < self._partly_free.setdefault(node_id, time.monotonic()) + _PLACE_S

    def _is_late(self, name: str, now: float) -> bool:
        """Whether an agent has not said hello for long: its devices may be in use by another job."""
        return not self._nodes[name].is_known and now - self._begun_at[name] >= _PLACE_S

    def _give_up_rest(self, ray: Any, num_known: int) -> None:
        """Gives up agents that have not said hello if there are enough others, which have come in their place."""
        if 0 < self._settings["num_devices"] <= num_known:
            for name in [name for name, node in self._nodes.items() if not node.is_known]:
                self._nodes[name].leave("its devices were not free, and there are enough others")
                ray.kill(self._agents_of[name])

    def _ask(self, wanted: int, num_known: int) -> None:
        """Asks Ray's autoscaler for devices as long as some are missing.

        Nodes with an agent are in use, and the autoscaler leaves them alone. A request that they fulfil might keep an
        idle node as well: to the autoscaler one is as good as another.
        """
        number = wanted if wanted > num_known else 0
        if number != self._asked:
            _ask_for(self._settings["resource"], number)
            self._asked = number

    def _begin(self, ray: Any, fact: NodeFacts, number: int) -> None:
        name = self._names.get(fact.node_id) or name_for(fact.hostname, self._taken())
        self._names[fact.node_id] = name
        self._numbers[name] = number
        settings = {
            **self._settings["agent"], "num_devices": number, "ip": fact.ip, "name": name,
            "are_gpus": self._settings["resource"] == "GPU",
        }  # fmt: skip
        affinity = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(fact.node_id, soft=False)
        amount = {"num_gpus": number} if settings["are_gpus"] else {"resources": {self._settings["resource"]: number}}
        agent = self._agents.options(
            num_cpus=0, max_restarts=0, max_task_retries=0, scheduling_strategy=affinity, **amount
        ).remote(pack(settings))
        node = RemoteNode(
            name, _caller(ray, agent), self._link.send, lambda: self._lives(fact.node_id),
            self._settings["agent"]["lease_s"], self._settings["agent"]["grace_s"],
            lambda done: self._forget(ray, done, fact.node_id, agent),
        )  # fmt: skip
        self._nodes[name] = node
        self._begun_at[name], self._agents_of[name] = time.monotonic(), agent
        self._places[name] = NodePlace(ray, agent)
        self._leaving.discard(name)
        self._link.send({"event": "begun", "node": name, "ip": fact.ip, "num_devices": number})
        for order in self._standing.values():
            node.give(order)
        node.start()

    def _taken(self) -> set[str]:
        alive = {i for i, fact in self._facts.items() if fact.is_alive}
        return {name for node_id, name in self._names.items() if node_id in alive or name in self._nodes}

    def _lives(self, node_id: str) -> bool:
        fact = self._facts.get(node_id)
        return fact is not None and fact.is_alive

    def _forget(self, ray: Any, node: RemoteNode, node_id: str, agent: Any) -> None:
        with contextlib.suppress(Exception):
            ray.kill(agent)
        with self._lock:
            self._nodes.pop(node.name, None)
            self._places.pop(node.name, None)
            again_s = _AGAIN_S if node.is_known else min(2 * self._again_s.get(node_id, _AGAIN_S), _MOST_AGAIN_S)
            self._again_s[node_id] = again_s
            self._not_before[node_id] = time.monotonic() + again_s

    def _end(self, ray: Any) -> None:
        self._closing.set()
        if self._asked:  # else the autoscaler would keep the nodes for ever
            forgetting = threading.Thread(target=_ask_for, args=(self._settings["resource"], 0), daemon=True)
            forgetting.start()
            forgetting.join(_REACH_S)  # the head may be away
        with self._lock:
            nodes = list(self._nodes.values())
        for node in nodes:
            node.give({"order": "close"})
        give_up_at = time.monotonic() + self._settings["agent"]["grace_s"] + 5.0
        while time.monotonic() < give_up_at:
            with self._lock:
                if not self._nodes:
                    break
            time.sleep(0.01)
        self._link.end()
        with contextlib.suppress(Exception):
            ray.shutdown()


def _free(ray: Any, resource: str) -> dict[str, float]:
    """How much of a resource is free on each node; nodes of which that is not known are absent."""
    try:  # private in all versions so far
        nodes: dict[str, dict[str, float]] = ray._private.state.available_resources_per_node()
    except Exception:
        return {}
    return {node_id: resources.get(resource, 0.0) for node_id, resources in nodes.items()}


def _resolved(address: str) -> str:
    """The address to which ``"auto"`` leads: that of ``RAY_ADDRESS``, or of a cluster that runs on this machine.

    Raises
    ------
    ConnectionError
        There is no such cluster.
    """
    try:  # private in all versions so far
        services: Any = importlib.import_module("ray._private.services")
        return str(services.canonicalize_bootstrap_address_or_die(address))
    except ConnectionError:
        raise
    except Exception:
        return address


def _check_reachable(address: str) -> None:
    """Raises ``OSError`` if nothing listens at an address; Ray takes a minute to say so."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
        except OSError as error:
            raise ConnectionError(f"nothing answers at {address} ({error.strerror or error})") from None


def _ask_for(resource: str, number: int) -> None:
    """Asks Ray's autoscaler for this number of devices in all; the request holds until the next one."""
    importlib.import_module("ray.autoscaler.sdk").request_resources(bundles=[{resource: 1}] * number)


def _caller(ray: Any, agent: Any) -> Callable[[str, bytes, float], bytes]:
    """Calls methods of an agent, each in the thread of its concurrency group."""
    has_answered = False

    def call(method: str, data: bytes, timeout_s: float) -> bytes:
        nonlocal has_answered
        try:
            answer = getattr(agent, method).options(concurrency_group=method).remote(data)
            found = bytes(ray.get(answer, timeout=timeout_s))
            has_answered = True
            return found
        except ray.exceptions.GetTimeoutError:
            raise TimeoutError from None
        except ray.exceptions.ActorUnavailableError as error:
            raise Unreachable(str(error)) from None
        except (ray.exceptions.RayActorError, ray.exceptions.ActorUnschedulableError) as error:
            lines = str(error).strip().splitlines()
            if getattr(error, "actor_init_failed", False):  # the first line says where, and the last one why
                raise Dead(f"its agent cannot be started ({lines[-1]})") from None
            reason = lines[0].rstrip(".")
            raise Dead(reason if has_answered else with_open_hint(reason)) from None
        except ray.exceptions.RayTaskError as error:
            raise Faulty(str(error).strip().splitlines()[-1]) from None
        except ray.exceptions.RayError as error:
            raise Unreachable(str(error)) from None

    return call


def _watch_parent(link: Link, parent: int) -> None:
    """Ends the connection when the tuner has died: another process may have inherited its end."""
    while os.getppid() == parent:
        time.sleep(_PERIOD_S)
    link.end()


def main(descriptor: int, parent: int) -> None:
    """Runs a gateway whose connection to the tuner is a file descriptor; the first message has the settings."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the tuner
    link = Link(socket.socket(fileno=descriptor))
    threading.Thread(target=_watch_parent, args=(link, parent), daemon=True).start()
    settings = link.receive()
    if settings is not None:
        Gateway(link, settings).run()
    os._exit(0)  # even if threads of Ray are left


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
