"""The server's side of a second server, which has also loaded what the first launches were slow to import.

It is a fork of the first one, which goes on meanwhile. It speaks the same protocol, and gets new launches once it is
ready. What it says of them goes to the tuner unchanged. It learns from its own launches, too: a library may import more
when it is used, late in a launch or with some configurations only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection
from typing import Any

from syne_hypersched.launch._learning import ImportRecord, SlowImport, library_folders, modules_to_learn
from syne_hypersched.launch._linux import die_with_parent
from syne_hypersched.launch._postponed import postpone_effects
from syne_hypersched.launch._spec import LaunchSpec, LineBuffer, encode
from syne_hypersched.launch._trial_import import FAILS, import_all, import_or_say_why_not

#: Launches from which is learnt, if the first ones import nothing that is slow.
_MOST_LAUNCHES = 4
#: Forks that may fail, each at another module.
_MOST_FORKS = 8
#: Servers that learn after each other, each from launches that begin with what the one before has learnt.
_MOST_LEARNERS = 3
#: Seconds that the imports may take.
_PATIENCE_S = 300.0
#: After this many seconds without an import, the script trains.
_QUIET_S = 1.0


class Nursery:
    """Learns slow imports from launches, and keeps the second server.

    Parameters
    ----------
    tell
        Sends a message to the tuner.
    base_env
        Environment of the server.
    named
        Variables that the script names: it may set them before it imports something.
    serve
        Runs a server in a fork: called with its socket; does not return until it is to end.
    left_out
        Modules and whole packages that are known not to be preloaded.
    num_learners
        Servers that have learnt before.
    """

    def __init__(
        self,
        tell: Callable[[dict[str, Any]], None],
        base_env: dict[str, str],
        named: Collection[str],
        serve: Callable[[socket.socket], None],
        left_out: Collection[str] = (),
        num_learners: int = 0,
    ) -> None:
        self._num_learners = num_learners
        self._tell, self._base_env, self._serve = tell, base_env, serve
        self._named = set(named)
        self._record: ImportRecord | None = ImportRecord()
        #: The launch that notes its imports, and for how many of them that was done.
        self._launch: int | None = None
        self._num_launches = 0
        #: What it has noted, when that was new, and whether it was looked at.
        self._imports: tuple[SlowImport, ...] = ()
        self._new_s, self._is_looked_at = 0.0, False
        self._left_out = set(left_out)
        self._modules: tuple[str, ...] = ()
        self._num_forks = 0
        self._began_s = 0.0
        self.pid: int | None = None
        self.pipe: socket.socket | None = None
        self._messages = LineBuffer()
        self._is_ready = False
        #: Launches that it has.
        self.launches: set[int] = set()

    def heir(self, tell: Callable[[dict[str, Any]], None], serve: Callable[[socket.socket], None]) -> Nursery | None:
        """That of the second server, which learns what only later launches import, or the first one only later.

        Parameters
        ----------
        tell, serve
            As for the class, of the second server.
        """
        num_learners = self._num_learners + 1
        if num_learners >= _MOST_LEARNERS:
            return None
        return Nursery(tell, self._base_env, self._named, serve, self._left_out, num_learners)

    # Learning.

    def record_for(self, launch: int, spec: LaunchSpec) -> ImportRecord | None:
        """Where a launch that begins now is to note its imports; None: it need not."""
        if self._record is None or not spec.warm or self._launch is not None or self.pid is not None:
            return None
        if self._num_launches >= _MOST_LAUNCHES:
            self._stop_learning()
            return None
        self._launch = launch
        self._num_launches += 1
        env = spec.ranks[0].env
        self._named |= {
            name for name in env.keys() | self._base_env.keys() if env.get(name) != self._base_env.get(name)
        }
        self._record.clear()
        self._imports, self._is_looked_at = (), False
        return self._record

    def look(self, running: Collection[int], fork: Callable[[], int]) -> None:
        """Looks what was noted, and makes the second server if it is enough.

        Parameters
        ----------
        running
            The launches that have not ended.
        fork
            Forks this process; see :meth:`start`.
        """
        now = time.monotonic()
        if self.pid is not None and not self._is_ready and now - self._began_s > _PATIENCE_S:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        if self._record is None or self._launch is None or self.pid is not None:
            return
        has_ended = self._launch not in running
        imports = self._record.read()
        if imports != self._imports:
            self._imports, self._new_s, self._is_looked_at = imports, now, False
        is_quiet = not self._record.is_busy and now - self._new_s >= _QUIET_S and not self._is_looked_at
        if not has_ended and not is_quiet:
            return
        self._is_looked_at = True
        self._modules = self._chosen()
        if self._modules:
            self.start(fork)
        elif has_ended:
            self._launch = None

    def _chosen(self) -> tuple[str, ...]:
        return modules_to_learn(self._imports, sys.modules.keys(), library_folders(), self._left_out)

    def start(self, fork: Callable[[], int]) -> None:
        """Forks the second server."""
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        self._num_forks += 1
        self._began_s = time.monotonic()
        try:
            pid = fork()
        except OSError:
            ours.close()
            theirs.close()
            self._stop_learning()
            return
        if pid == 0:
            ours.close()
            die_with_parent(parent, signal.SIGTERM)
            self._import_and_serve(theirs)
        theirs.close()
        self.pid, self.pipe, self._messages, self._is_ready = pid, ours, LineBuffer(), False

    def _import_and_serve(self, control: socket.socket) -> None:
        """In the fork. Returns never, but a script that the server forks leaves it by an exception."""
        began = time.monotonic()
        postpone_effects()
        failed = import_all(self._modules, self._named, import_or_say_why_not)
        if failed is None:
            learnt = {"event": "learnt", "modules": self._modules, "seconds": time.monotonic() - began}
            control.sendall(encode(learnt))
            self._serve(control)
        else:
            module, why = failed
            if why.startswith(FAILS):
                module = module.partition(".")[0]
            control.sendall(encode({"event": "left_out", "module": module, "why": why}))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    def _stop_learning(self) -> None:
        self._record = self._launch = None

    # Passing on.

    @property
    def is_ready(self) -> bool:
        """Whether new launches are given to it."""
        return self._is_ready and self.pipe is not None

    def take(self, launch: int, spec: LaunchSpec) -> None:
        """Gives it a launch."""
        self.launches.add(launch)
        self.send({"command": "launch", "launch": launch, "spec": spec.to_json(self._base_env)})

    def send(self, message: dict[str, Any]) -> None:
        """Gives it a command."""
        if self.pipe is not None:
            with contextlib.suppress(OSError):  # it has died, which is noticed elsewhere
                self.pipe.sendall(encode(message))

    def close(self) -> None:
        """Has it drain its launches and end."""
        self._stop_learning()
        if self.pipe is not None:
            with contextlib.suppress(OSError):
                self.pipe.shutdown(socket.SHUT_WR)
        if self.pid is not None and not self._is_ready:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def read(self, fork: Callable[[], int], forget: Callable[[socket.socket], object]) -> set[int]:
        """Passes on what it says.

        Parameters
        ----------
        fork
            As for :meth:`look`.
        forget
            Called with its socket when it has ended.

        Returns
        -------
        set of int
            Launches that it had when it died.
        """
        assert self.pipe is not None
        try:
            data = self.pipe.recv(65536)
        except ConnectionError:
            data = b""
        for message in self._messages.feed(data):
            if message["event"] == "left_out":
                self._left_out.add(message["module"])
            elif message["event"] == "learnt":
                self._is_ready = True
                self._stop_learning()
            elif message["event"] == "exit":
                self.launches.discard(message["launch"])
            self._tell(message)
        if data:
            return set()
        forget(self.pipe)
        self.pipe.close()
        lost, self.launches = self.launches, set()
        was_ready, self.pid, self.pipe, self._is_ready = self._is_ready, None, None, False
        before, self._modules = self._modules, self._chosen()
        if was_ready or self._record is None:
            return lost
        if before == self._modules:
            self._tell({"event": "left_out", "module": ", ".join(before), "why": "an import has ended the process"})
        if not self._modules or before == self._modules or self._num_forks >= _MOST_FORKS:
            self._stop_learning()
        else:
            self.start(fork)
        return lost
