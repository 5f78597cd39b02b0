"""The tuner's side of the gateway: starts it, knows the nodes, and starts another one when it has died."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from syne_hypersched.backends.local import local_modules
from syne_hypersched.backends.ray._gateway_process import end_gateway, refusal, start_gateway, warn_of_versions
from syne_hypersched.backends.ray._lease import CLOSED, SLACK_S
from syne_hypersched.backends.ray._membership import Node
from syne_hypersched.backends.ray._messages import Link, Message
from syne_hypersched.backends.ray._probe import Probe

logger = logging.getLogger(__name__)

#: Seconds between two attempts to reach a cluster without a head, at first and at most.
_RETRY_S, _MOST_RETRY_S = 1.0, 10.0


class Cluster:
    """See the module. Survives pickling, without its processes.

    Parameters
    ----------
    settings
        Settings of the gateway.
    log
        File for the output of the gateway; None: it is dropped.

    Attributes
    ----------
    on_join
        Called as ``on_join(node, devices)`` when the devices of a node can be used.
    on_lose
        Called as ``on_lose(node, devices, reason)`` when they cannot be used any more.
    on_leave
        Called as ``on_leave(node, devices)`` when a node is to go soon.
    on_message
        Called as ``on_message(node, message, moment)`` with messages of agents that concern launches, and with
        ``{"event": "silent"}``, ``{"event": "gone"}`` and ``{"event": "refused", "launch": ...}``.
    on_copied
        Called with the message when a copy of checkpoints has ended.
    on_disk
        Called as ``on_disk(node, message)`` when the room on a node's disk has changed.
    on_broken
        Called when the gateway has died, and again when none of its nodes is left.
    reasons
        Why nodes cannot be used that have never been ready.
    is_checked
        Whether :meth:`check` has found that all nodes can take part; those that come later are checked by themselves.
    """

    def __init__(self, settings: Message, log: Path | None = None) -> None:
        self._settings = settings
        self.log = log
        self._begin()

    def _begin(self) -> None:
        self.on_join: Callable[[str, tuple[str, ...]], object] = lambda *_: None
        self.on_lose: Callable[[str, tuple[str, ...], str], object] = lambda *_: None
        self.on_leave: Callable[[str, tuple[str, ...]], object] = lambda *_: None
        self.on_message: Callable[[str, Message, float], object] = lambda *_: None
        self.on_copied: Callable[[Message], object] = lambda *_: None
        self.on_disk: Callable[[str, Message], object] = lambda *_: None
        self.on_broken: Callable[[], object] = lambda: None
        self.is_checked = False
        self.nodes: dict[str, Node] = {}
        self.reasons: dict[str, str] = {}
        self._changed = threading.Condition()
        self._link: Link | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._failure: Message | None = None
        self._has_started = False
        self._is_connected = False
        self._standing: dict[str, Message] = {}
        self._probe: Probe | None = None
        #: What has happened to nodes before the tuning has begun; None: it has.
        self._held_back: list[Callable[[], object]] | None = []

    def start(self, num_devices: int | None, timeout_s: float) -> tuple[str, ...]:
        """Connects to the cluster and returns the devices that there are.

        Parameters
        ----------
        num_devices
            Number of devices to wait for; None: the devices of all present nodes.
        timeout_s
            Seconds to wait for them.

        Raises
        ------
        ConnectionError
            The cluster cannot be reached.
        PermissionError
            Anyone who can reach the cluster may run code on it.
        """
        try:
            self._start_gateway()
            self._thread = threading.Thread(target=self._run, name="syne-hypersched-cluster", daemon=True)
            self._thread.start()
            give_up_at = time.monotonic() + timeout_s
            with self._changed:
                while not self._has_enough(num_devices) and self._failure is None:
                    if not self._changed.wait(max(0.0, give_up_at - time.monotonic())):
                        break
                failure = self._failure
                if failure is None and not self._is_connected:
                    failure = {"kind": "time", "error": f"it has not answered within {timeout_s:.0f} s"}
                if failure is not None:
                    raise refusal(failure, self._settings["address"])
                devices = self._devices()
                for node in self.nodes.values():
                    node.is_in = node.is_ready
                self._has_started = True
        except BaseException:  # also after Ctrl-C: reserved devices are released
            self.close()
            raise
        return devices

    def _has_enough(self, num_devices: int | None) -> bool:
        if num_devices is not None:
            return len(self._devices()) >= num_devices
        return bool(self.nodes) and all(node.is_ready for node in self.nodes.values())

    def _devices(self) -> tuple[str, ...]:
        return tuple(device for node in self.nodes.values() if node.is_ready for device in node.devices)

    @property
    def is_running(self) -> bool:
        """Whether it was started and not closed."""
        return self._thread is not None

    def send(self, command: Message) -> None:
        """Sends a command to the gateway; if that has died, its nodes are lost soon."""
        link = self._link
        if link is not None:
            link.send(command)

    def order(self, node: str, order: Message) -> None:
        """Sends an order to a node."""
        self.send({"command": "node", "node": node, "order": order})

    def order_all(self, order: Message, stands: bool = False) -> None:
        """Sends an order to all nodes; an order that ``stands`` is also sent to later nodes."""
        if stands:
            self._standing[order["order"]] = order
        self.send({"command": "all", "order": order, "stands": stands})

    def take_port(self, node: str) -> int:
        """A port of a node that is kept for rank 0 of a launch."""
        with self._changed:
            ports = self.nodes[node].ports if node in self.nodes else []
            return ports.pop(0) if ports else 29500 + uuid.uuid4().int % 1000

    def check(self, folder: Path | None, script: Path, timeout_s: float, must_share: bool = True) -> dict[str, str]:
        """Checks that all nodes see the script and share a folder with the tuner.

        Nodes that come later are checked before their devices are used.

        Parameters
        ----------
        folder, script
            The folder, or None, and the script.
        timeout_s
            How long answers are waited for (s).
        must_share
            Whether the folder must be shared.

        Returns
        -------
        dict
            Nodes that do not share it, and why.

        Raises
        ------
        ValueError
            A node does not see the script, or does not share the folder although it must.
        """
        modules = local_modules(script)
        with self._changed:
            probe = self._probe = Probe(folder, script, modules)
            asked = [node.name for node in self.nodes.values() if node.is_ready]
            for name in asked:
                self.order(name, probe.order)
            give_up_at = time.monotonic() + timeout_s
            while any(name in self.nodes and not probe.is_answered(name) for name in asked):
                if not self._changed.wait(max(0.0, give_up_at - time.monotonic())):
                    break
            asked = [name for name in asked if name in self.nodes]
            not_sharing = {} if must_share else probe.not_sharing(asked)
            problems = {name: text for name, text in probe.problems(asked).items() if name not in not_sharing}
        if problems:
            name, problem = next(iter(problems.items()))
            what = "node_path must be one that all nodes can write to"
            if folder is not None:
                what = "checkpoint_path must be a folder that all nodes share with the tuner"
            raise ValueError(
                f"{what}, and the script must be on all of them, but {len(problems)} of {len(asked)} nodes cannot take "
                f"part: {name}: {problem}"
            )
        self.is_checked = not not_sharing
        return not_sharing

    def let_through(self) -> None:
        """Reports the events of nodes so far when the tuning begins, and later events at once."""
        while True:
            with self._changed:
                held_back = self._held_back
                if not held_back:
                    self._held_back = None
                    return
                self._held_back = []
            for tell in held_back:
                tell()

    def _tell(self, tell: Callable[[], object]) -> None:
        with self._changed:
            if self._held_back is not None:
                self._held_back.append(tell)
                return
        tell()

    def close(self, wait: bool = True) -> None:
        """Ends agents and gateway."""
        self._closing.set()
        link, process, thread = self._link, self._process, self._thread
        if link is not None:
            link.send({"command": "close"})
        if process is not None and not self._is_connected:
            process.kill()  # it waits for a cluster, and has nothing to give back
        if thread is not None and wait and thread is not threading.current_thread():
            thread.join(self._settings["agent"]["grace_s"] + 20.0)
        if process is not None and wait:
            end_gateway(process, 10.0)
        if wait:
            self._begin()

    def _start_gateway(self) -> None:
        self._process, self._link = start_gateway(self.log)
        self._link.send(self._settings)
        for order in self._standing.values():
            self._link.send({"command": "all", "order": order, "stands": True})
        weakref.finalize(self, self._link.end)

    # What the gateway tells, in a thread of its own.

    def _run(self) -> None:
        retry_s = _RETRY_S
        while True:
            heard = self._listen()
            if self._closing.is_set() or (self._failure is not None and not self._has_started):
                break
            retry_s = _RETRY_S if heard else min(_MOST_RETRY_S, 2 * retry_s)
            self._lose_gateway()
            if self._closing.wait(retry_s):
                break
            self._start_gateway()
        for name in list(self.nodes):
            self._tell_gone(name)

    def _listen(self) -> bool:
        """Handles messages until the gateway ends; returns whether it had found nodes."""
        link, process = self._link, self._process
        assert link is not None
        assert process is not None
        while (message := link.receive()) is not None:
            self._handle(message)
        link.close()
        if not self._closing.is_set():
            process.kill()
        process.wait()
        return bool(self.nodes)

    def _handle(self, message: Message) -> None:
        try:
            self._handle_event(message)
        except Exception as error:  # an invalid message or an error here must not stop later messages
            logger.error("A message of node %s cannot be used: %r", message.get("node", "?"), error, exc_info=True)

    def _handle_event(self, message: Message) -> None:
        event, name = message["event"], message.get("node", "")
        if event == "failed":
            with self._changed:  # a head that was there once may come back: the next gateway tries again
                if not self._is_connected or message["kind"] == "insecure":
                    self._failure = message
                self._changed.notify_all()
        elif event == "connected":
            self._is_connected = True
        elif event == "begun":
            with self._changed:
                self._failure = None
                self.nodes[name] = Node(name, message["ip"])
        elif event == "silent":
            self._lose(name, message["reason"])
        elif event == "gone":
            self._tell_gone(name)
        elif event == "clock" and name in self.nodes:
            self.nodes[name].ahead_s = float(message["ahead_s"])
        elif event == "copied":
            self.on_copied(message)
        elif event == "refused":
            self.on_message(name, message, time.monotonic())
        elif event == "leaving" and name in self.nodes:
            logger.warning("Node %s is about to leave: its trials move to other nodes.", name)
            devices = self.nodes[name].devices
            self._tell(lambda: self.on_leave(name, devices))
        elif event == "told" and name in self.nodes:
            self._hear(self.nodes[name], message["message"], message["at"])

    def _hear(self, node: Node, message: Message, moment: float) -> None:
        event = message["event"]
        if event == "hello":
            warn_of_versions(node.name, message)
            with self._changed:
                node.devices = tuple(f"{node.name}/{device}" for device in message["devices"])
                node.ports = list(message["ports"])
        elif event == "ports":
            with self._changed:
                node.ports += message["ports"]
        elif event == "ready":
            self.reasons.pop(node.name, None)
            with self._changed:
                node.is_ready = True
                if self._probe is not None:
                    self.order(node.name, self._probe.order)
                self._changed.notify_all()
        elif event == "probed":
            self._let_in(node, message)
        elif event == "disk":
            self._tell(lambda: self.on_disk(node.name, message))
        elif event == "memory":
            logger.warning("Node %s ends a trial before it runs out of memory: %s.", node.name, message["text"])
        else:
            self.on_message(node.name, message, moment)

    def _let_in(self, node: Node, message: Message) -> None:
        with self._changed:
            if self._probe is None or not self._probe.hear(node.name, message):
                return
            self._changed.notify_all()
        if message["error"]:
            logger.warning("Node %s is not used: %s.", node.name, message["error"])
        elif not node.is_in:
            node.is_in = True
            self._tell(lambda: self.on_join(node.name, node.devices))

    def _lose(self, name: str, reason: str) -> None:
        node = self.nodes.get(name)
        if node is None or self._closing.is_set():
            return
        if node.is_ready:
            logger.log(logging.INFO if reason == CLOSED else logging.WARNING, "Node %s is lost: %s.", name, reason)
        elif self.reasons.get(name) != reason:  # it is tried again and again
            self.reasons[name] = reason
            logger.warning("Node %s cannot be used: %s.", name, reason)
        self.on_message(name, {"event": "silent", "reason": reason}, time.monotonic())
        if node.is_in:
            node.is_in = False
            self._tell(lambda: self.on_lose(name, node.devices, reason))

    def _tell_gone(self, name: str) -> None:
        with self._changed:
            node = self.nodes.pop(name, None)
            self._changed.notify_all()
        if node is not None:
            self.on_message(name, {"event": "gone"}, time.monotonic())

    def _lose_gateway(self) -> None:
        """The gateway has died, and with it every lease: nothing trains after the last one has ended."""
        if self.nodes:
            logger.warning(
                "The connection to the cluster is lost: trials checkpoint and exit, and continue when it is back."
            )
        self.on_broken()
        lost_at = time.monotonic()
        for name in list(self.nodes):
            self._lose(name, "the connection to the cluster has ended")
        agent = self._settings["agent"]
        if self.nodes:
            self._closing.wait(max(0.0, lost_at + agent["lease_s"] + agent["grace_s"] + SLACK_S - time.monotonic()))
        for name in list(self.nodes):
            self._tell_gone(name)
        self.on_broken()

    def __getstate__(self) -> dict[str, Any]:
        return {"_settings": self._settings, "log": self.log}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()
