"""What runs on each node: starts, signals and reaps trials there, as the tuner orders, while it hears of the tuner.

Plain Python: the gateway makes it an actor of Ray, which calls :meth:`NodeAgent.poll` in one thread,
:meth:`NodeAgent.order` in another one, and what concerns checkpoints in further ones. Trials are started by the same
launcher as on a single machine. The lease is kept by the supervisors of the trials, as a deadline that is moved on, so
that it holds even if the agent is stopped.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from syne_hypersched._version import __version__
from syne_hypersched.backends.machine.discovery import Devices, find_devices
from syne_hypersched.backends.machine.environment import server_environment
from syne_hypersched.backends.ray._lease import Lease
from syne_hypersched.backends.ray._log_shipper import LogShipper
from syne_hypersched.backends.ray._memory import MemoryGuard
from syne_hypersched.backends.ray._messages import Message, pack, unpack
from syne_hypersched.backends.ray._node_files import NodeFiles
from syne_hypersched.backends.ray._ports import Ports
from syne_hypersched.backends.ray._probe import answer
from syne_hypersched.backends.ray._ranks import World, environments, interface_of, node_environment
from syne_hypersched.backends.ray._scratch import Scratch
from syne_hypersched.backends.ray._unacknowledged import Unacknowledged
from syne_hypersched.checkpoints import Beginning, CheckpointSpec, Matched
from syne_hypersched.launch import Launcher, LaunchExit, LaunchSpec, RankSpec

#: Seconds between two looks at the lease and the memory.
_TICK_S = 0.2


class NodeAgent:
    """See the module.

    Parameters
    ----------
    settings
        What the gateway has to tell, as a message.
    """

    def __init__(self, settings: bytes) -> None:
        self._settings = unpack(settings)
        self._lease_s, self._grace_s = self._settings["lease_s"], self._settings["grace_s"]
        self._ip: str = self._settings["ip"]
        self._environment = node_environment(os.environ, self._settings["env_vars"])
        self._devices = self._find_devices()
        self._outbox = Unacknowledged()
        self._lease = Lease(self._lease_s, time.monotonic())
        self._deadline: tuple[float, float] | None = None
        self._told_lease = self._lease.ends_at
        self._order_number = 0
        self._lock = threading.Lock()
        self._keys: dict[int, int] = {}
        self._handles: dict[int, int] = {}
        self._closing = threading.Event()
        self._closed = threading.Event()
        self._scratch = Scratch()
        self._logs = LogShipper(self._outbox)
        self._ports = Ports()
        self._files = NodeFiles(self._settings["node_path"], self._settings["min_free_mb"])
        self._memory = MemoryGuard(self._settings["max_memory"])
        self._launcher = self._make_launcher()
        self._move_deadline()
        hello = {
            "event": "hello", "version": __version__, "python": sys.version_info[:2], "pid": os.getpid(),
            "devices": list(self._devices.names), "ports": self._ports.open(4),
        }  # fmt: skip
        self._outbox.put(hello)
        threading.Thread(target=self._run, name="syne-hypersched-agent", daemon=True).start()

    # Called by the gateway.

    def poll(self, question: bytes) -> bytes:
        """Acknowledges messages, renews the lease, and returns new messages as soon as there are any."""
        asked = unpack(question)
        self._lease.hear(asked["heard"])
        if self._lease.ends_at - self._told_lease > self._lease_s / 8:
            self._move_deadline()
        messages = self._outbox.take(asked["acknowledged"], asked["wait_s"])
        now = time.monotonic()
        return pack({"answer": self._lease.answer(now), "now": now, "messages": messages, "wall": time.time()})

    def order(self, orders: bytes) -> bytes:
        """Carries out orders that were not carried out before; returns the number of the last one."""
        for number, order in unpack(orders)["orders"]:
            if number > self._order_number:
                self._order_number = number
                self._carry_out(order)
        return pack({"carried_out": self._order_number})

    def ask(self, question: bytes) -> bytes:
        """Answers a question about checkpoints on this node, or executes a command about them."""
        return self._files.answer(question)

    def read(self, question: bytes) -> bytes:
        """Bytes of checkpoints on this node."""
        return self._files.read(question)

    def write(self, question: bytes, data: bytes) -> bytes:
        """Writes bytes of checkpoints to this node's disk."""
        return self._files.write(question, data)

    def _carry_out(self, order: Message) -> None:
        what = order["order"]
        if what == "launch":
            self._launch(order)
        elif what == "drain":
            with self._lock:
                handle = self._handles.get(order["launch"])
            if handle is not None:
                self._launcher.drain(handle, order["grace_s"])
        elif what == "deadline":
            now = time.monotonic()
            self._deadline = (now + order["drain_in_s"], now + order["kill_in_s"])
            self._move_deadline()
        elif what == "follow":
            self._launcher.follow(order["time_attr"], order["metric"], order["do_minimize"])
        elif what == "probe":
            found = answer(order, self._environment.get("PYTHONPATH", ""))
            found["error"] = found["error"] or self._files.why_not_writable()
            self._outbox.put({"event": "probed", "probe": order["probe"], **found})
        elif what == "stream":
            self._files.is_streaming = True
            self._tell(self._files.look_at_disk())
        elif what == "close":
            self._closing.set()

    # Launching.

    def _find_devices(self) -> Devices:
        number = self._settings["num_devices"]
        if self._settings["are_gpus"]:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
            tokens = tuple(token for token in visible.split(",") if token)
            if len(tokens) < number:  # Ray does not set it for GPUs of other makers, or because it was told not to
                raise RuntimeError(
                    f"Ray has given it {number} GPUs, but CUDA_VISIBLE_DEVICES is {visible!r}: start Ray on the node "
                    "without RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES; GPUs that are not NVIDIA's are not supported"
                )
            return Devices(tokens[:number])
        return find_devices(number, device_type="cpu")

    def _make_launcher(self) -> Launcher:
        return Launcher(
            self._on_launched, self._on_exit, self._settings["preload"], self._scratch.folder / "server.log",
            self._on_checkpoint, lambda: server_environment(self._devices, self._environment),
        )  # fmt: skip

    def _launch(self, order: Message) -> None:
        key = order["launch"]
        world = World(**{**order["world"], "master": order["world"]["master"] and tuple(order["world"]["master"])})
        if world.master is not None and world.first_rank == 0:
            self._ports.release(world.master[1])
            self._outbox.put({"event": "ports", "ports": self._ports.open(1)})
        try:
            self._launch_ranks(order, world)
        except Exception as error:  # the tuner must know of any error
            self._logs.finish(key)
            self._files.leave(key)
            why = str(error) or type(error).__name__
            exit_ = LaunchExit((), None, drained=False, killed=False, lost=self._closing.is_set(), error=why)
            self._outbox.put({"event": "exit", "launch": key, "exit": exit_.to_json()})

    def _launch_ranks(self, order: Message, world: World) -> None:
        key = order["launch"]
        moved = self._files.move(order)
        ranks: list[RankSpec] = []
        paths: dict[str, Path] = {}
        interface = None if world.master is None else interface_of(self._ip)
        per_device = order["per_device"]
        for index, (env, cores) in enumerate(
            environments(self._devices, order["devices"], per_device, world, self._environment, interface)
        ):
            rank = world.first_rank + index
            out, err = (self._scratch.folder / f"{key}-{rank}.{stream}" for stream in ("out", "err"))
            if rank == 0 and moved.log is not None:
                out = Path(moved.log)
                out.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            paths |= {f"{rank}.out": out, f"{rank}.err": err}
            ranks.append(RankSpec(env, str(out), str(err), cores))
        spec = LaunchSpec(
            tuple(moved.argv) if order["warm"] else _with_own_python(moved.argv, order["python"]),
            tuple(ranks),
            order["warm"],
            order["grace_s"],
            order["cwd"] if os.path.isdir(order["cwd"]) else str(self._scratch.folder),
            None if moved.checkpoints is None else _checkpoints(moved.checkpoints, paths["0.out"]),
        )
        self._logs.add(key, paths, () if moved.log is None else ("0.out",))  # which the tuner removes
        if moved.checkpoints is not None and order.get("home") is not None:
            self._files.watch(key, moved.checkpoints["folder"])
        with self._lock:  # messages about the launch wait until its key is known
            handle = self._launcher.launch(spec)
            self._keys[handle], self._handles[key] = key, handle

    def _key(self, handle: int) -> int:
        with self._lock:
            return self._keys[handle]

    def _on_launched(self, handle: int, pids: list[int], _: float) -> None:
        self._memory.add(handle, pids)
        self._outbox.put({"event": "launched", "launch": self._key(handle), "pids": pids})

    def _on_checkpoint(self, handle: int, news: Beginning | Matched) -> None:
        name = "began" if isinstance(news, Beginning) else "matched"
        self._outbox.put({"event": name, "launch": self._key(handle), "news": asdict(news)})

    def _on_exit(self, handle: int, exit_: LaunchExit, _: float) -> None:
        key = self._key(handle)
        self._memory.remove(handle)
        self._logs.finish(key, lambda: self._tell_exit(key, handle, exit_))

    def _tell_exit(self, key: int, handle: int, exit_: LaunchExit) -> None:
        """Everything that the launch has printed is on its way."""
        self._tell(self._files.leave(key))
        with self._lock:
            del self._keys[handle], self._handles[key]
        self._outbox.put({"event": "exit", "launch": key, "exit": exit_.to_json()})

    # The lease, in a thread of its own.

    def _move_deadline(self) -> None:
        """Tells the supervisors until when trials may train: until the lease or the deadline ends."""
        ends = self._told_lease = self._lease.ends_at
        drain_at, kill_at = ends, ends + self._grace_s
        if self._deadline is not None:
            drain_at, kill_at = min(drain_at, self._deadline[0]), min(kill_at, self._deadline[1])
        self._launcher.set_deadline(drain_at, kill_at)

    def _run(self) -> None:
        self._scratch.end_orphans(self._grace_s)
        self._files.homes.clean()
        self._warm_up()
        for tick in itertools.count():
            if self._closing.wait(_TICK_S) or self._lease.is_over(time.monotonic()):
                break
            self._tell(self._files.look())
            if tick % 5 == 0:
                self._end_hog()
                self._tell(self._files.look_at_disk())
        self._closing.set()
        self._launcher.close()
        self._logs.close(lambda: not self._lease.is_over(time.monotonic()))
        self._ports.close()
        self._scratch.remove()
        self._files.remove()
        self._outbox.put({"event": "closed"})
        self._closed.wait(self._lease_s)  # the last messages are collected, and then this process is ended
        os._exit(0)

    def _tell(self, messages: list[Message]) -> None:
        for message in messages:
            self._outbox.put(message)

    def _warm_up(self) -> None:
        while not self._closing.is_set() and not self._launcher.is_ready:
            if self._launcher.server_pid is None:
                self._launcher.warm_up()
            if self._closing.wait(0.02) or self._lease.is_over(time.monotonic()):
                return
        self._outbox.put({"event": "ready"})

    def _end_hog(self) -> None:
        ended = self._memory.look()
        if ended is not None:
            handle, text = ended
            self._outbox.put({"event": "memory", "launch": self._keys.get(handle), "text": text})


def _with_own_python(argv: list[str], python: str) -> tuple[str, ...]:
    """The command line, with this node's interpreter where the tuner named its own."""
    return (sys.executable, *argv[1:]) if argv[0] == python else tuple(argv)


def _checkpoints(spec: dict[str, Any], log: Path) -> CheckpointSpec:
    """How checkpoints are handled, with the log of the launch on this node."""
    return CheckpointSpec(**{**spec, "log": str(log), "log_end": 0})
