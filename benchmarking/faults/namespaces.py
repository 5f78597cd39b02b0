"""A Ray cluster of network namespaces on one machine, whose nodes can be killed, cut off, healed and joined.

Every node has its own address, host name and folder for temporary files. Needs root, iproute2 and Ray. Used by
``cluster_chaos.py``; ends only processes inside its own namespaces.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PREFIX, BRIDGE, NET = "hsn", "hsbr0", "10.87.0"
PORT = 6379


def why_not() -> str:
    """Why there can be no namespaces here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the command ip (iproute2) is missing"
    try:
        _run("ip", "netns", "add", f"{PREFIX}test")
        _run("ip", "netns", "del", f"{PREFIX}test")
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made: {error.stderr.strip()}"
    return ""


class Namespaces:
    """See the module.

    Parameters
    ----------
    root
        Folder for disks and logs; its path must be short, since Ray's sockets lie in it.
    slots
        Units of the resource ``slot`` of each node but the head.
    disk_mb
        Size of each node's own disk, which its processes see as ``root/disks``; None: there is none.
    """

    def __init__(self, root: Path, slots: int = 2, disk_mb: int | None = None) -> None:
        self.root, self.slots, self.disk_mb = root, slots, disk_mb
        self._ray = (sys.executable, "-m", "ray.scripts.scripts")

    def up(self, num_nodes: int) -> None:
        """Makes a head (node 0) and other nodes."""
        self.down()
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "addr", "add", f"{NET}.1/24", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
        for node in range(num_nodes):
            self.join(node)

    def join(self, node: int) -> None:
        """Starts Ray on a node, which is made if it does not exist."""
        if f"{PREFIX}{node}" not in _run("ip", "netns", "list"):
            self._make(node)
        argv = [
            *self._ray, "start", "--block", f"--node-ip-address={ip_of(node)}", "--num-cpus=0", "--num-gpus=0",
            "--object-store-memory=80000000", "--disable-usage-stats", f"--temp-dir={self.root}/t{node}",
            "--include-log-monitor=false",
        ]  # fmt: skip
        if node:
            argv += [f"--address={ip_of(0)}:{PORT}", f"--resources={json.dumps({'slot': self.slots})}"]
        else:
            argv += ["--head", f"--port={PORT}", "--include-dashboard=false"]
        with open(self.root / f"node{node}.log", "ab") as log:
            self.start(node, argv, stdout=log, stderr=log)
        if not node:
            self._wait_for_head()

    def start(self, node: int, argv: Sequence[object], env: Mapping[str, str] | None = None, **options: object) -> subprocess.Popen[bytes]:  # fmt: skip  # noqa: E501
        """Starts a program on a node."""
        disk = self.root / f"disk{node}"
        disk.mkdir(parents=True, exist_ok=True)
        inner = f'hostname node{node}; exec "$@"'
        if self.disk_mb is not None:
            (self.root / "disks").mkdir(exist_ok=True)
            inner = f"mount --bind {disk} {self.root}/disks && {inner}"
        command = ["ip", "netns", "exec", f"{PREFIX}{node}", "unshare", "--uts", "--mount", "sh", "-c", inner, "sh"]
        of_ray = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "RAY_AUTH_MODE": "disabled"}
        environment = {**os.environ, "TMPDIR": str(disk), **of_ray, **(env or {})}
        return subprocess.Popen(
            [*command, *map(str, argv)], env=environment, stdin=subprocess.DEVNULL, start_new_session=True, **options
        )  # type: ignore[call-overload,no-any-return]

    def pids(self, node: int, word: str = "") -> list[int]:
        """Processes of a node, those whose command line has a word."""
        found = []
        for pid in _run("ip", "netns", "pids", f"{PREFIX}{node}", check=False).split():
            with contextlib.suppress(OSError):
                if word in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                    found.append(int(pid))
        return found

    def kill(self, node: int, word: str = "", signum: int = signal.SIGKILL) -> int:
        """Kills the processes of a node, those whose command line has a word; returns how many."""
        num_killed = 0
        for _ in range(1 if word else 50):
            pids = self.pids(node, word)
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signum)
                    num_killed += 1
            if not pids:
                break
            time.sleep(0.05)
        return num_killed

    def kill_but(self, node: int, kept: Sequence[str]) -> None:
        """Kills the processes of a node but those whose command line has one of some words."""
        for _ in range(50):
            spared = {pid for word in kept for pid in self.pids(node, word)}
            pids = [pid for pid in self.pids(node) if pid not in spared]
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not pids:
                break
            time.sleep(0.05)

    def cut(self, node: int) -> None:
        """Takes the link of a node down."""
        _run("ip", "link", "set", f"hsv{node}", "down")

    def heal(self, node: int) -> None:
        """Takes it up again."""
        _run("ip", "link", "set", f"hsv{node}", "up")

    def fill_disk(self, node: int) -> None:
        """Fills the disk of a node."""
        size = shutil.disk_usage(self.root / f"disk{node}").free
        with contextlib.suppress(OSError), open(self.root / f"disk{node}" / "ballast", "wb") as file:
            for _ in range(size // 4096 + 1):
                file.write(bytes(4096))

    def empty_disk(self, node: int) -> None:
        """Gives the room on the disk of a node back."""
        (self.root / f"disk{node}" / "ballast").unlink(missing_ok=True)

    def down(self) -> None:
        """Ends all nodes."""
        for line in _run("ip", "netns", "list", check=False).splitlines():
            name = line.split()[0]
            if name.startswith(PREFIX):
                node = int(name.removeprefix(PREFIX))
                self.kill(node)
                _run("ip", "link", "del", f"hsv{node}", check=False)
                _run("ip", "netns", "del", name, check=False)
                _run("umount", "--lazy", str(self.root / f"disk{node}"), check=False)
        _run("ip", "link", "del", BRIDGE, check=False)

    def _make(self, node: int) -> None:
        name, link = f"{PREFIX}{node}", f"hsv{node}"
        if self.disk_mb is not None:
            disk = self.root / f"disk{node}"
            disk.mkdir(parents=True, exist_ok=True)
            _run("mount", "-t", "tmpfs", "-o", f"size={self.disk_mb}m", "tmpfs", str(disk))
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "link", "set", link, "master", BRIDGE, "up")
        _run("ip", "-n", name, "addr", "add", f"{ip_of(node)}/24", "dev", "eth0")
        _run("ip", "-n", name, "link", "set", "eth0", "up")
        _run("ip", "-n", name, "link", "set", "lo", "up")

    def _wait_for_head(self) -> None:
        probe = f"import socket; socket.create_connection(({ip_of(0)!r}, {PORT}), 1)"
        give_up_at = time.monotonic() + 120
        while self.start(0, [sys.executable, "-c", probe], stderr=subprocess.DEVNULL).wait():
            if time.monotonic() >= give_up_at:
                raise TimeoutError(f"the head has not started, see {self.root}/node0.log")
            time.sleep(0.2)


def ip_of(node: int) -> str:
    """Address of a node."""
    return f"{NET}.{10 + node}"


def _run(*argv: str, check: bool = True) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=check).stdout
