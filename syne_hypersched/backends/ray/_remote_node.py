"""The gateway's view of one node: polls its agent, sends it orders, and detects that it is silent or dead."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from syne_hypersched.backends.ray._lease import CLOSED, Fence
from syne_hypersched.backends.ray._messages import Message, pack, unpack

#: Seconds that an agent may take to start: another job may use its devices.
_HELLO_S = 600.0
#: Seconds that a question may take before that.
_PATIENCE_S = 20.0
#: Seconds between two attempts to reach an agent whose connection is broken.
_RETRY_S = 0.1
#: Number of answers whose clocks are compared, and the difference (s) that is reported.
_NUM_CLOCKS, _CLOCK_S = 32, 0.1
#: Orders with moments, which are told as durations: the clocks of two machines have nothing in common.
_MOMENTS = {"drain_at": "drain_in_s", "kill_at": "kill_in_s"}


class Unreachable(Exception):
    """A call may not have arrived; the agent may be there."""


class Dead(Exception):
    """The agent is dead."""


class Faulty(Exception):
    """The agent is alive, and has raised an unexpected error."""


class RemoteNode:
    """See the module. Two threads: one asks, one hands over orders.

    Parameters
    ----------
    name
        Name of the node.
    call
        Calls the agent: ``call(method, bytes, timeout_s)`` returns bytes, or raises :class:`Unreachable`,
        :class:`Dead`, :class:`Faulty` or ``TimeoutError``.
    tell
        Called with each message for the tuner.
    lives
        Whether the cluster takes the node for alive.
    lease_s, grace_s
        Seconds of a lease, and from SIGTERM to SIGKILL.
    ended
        Called when nothing runs on the node any more and this object is done.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[str, bytes, float], bytes],
        tell: Callable[[Message], object],
        lives: Callable[[], bool],
        lease_s: float,
        grace_s: float,
        ended: Callable[[RemoteNode], None],
    ) -> None:
        self.name = name
        self._call, self._tell, self._lives, self._ended = call, tell, lives, ended
        self._lease_s, self._grace_s = lease_s, grace_s
        self._orders: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._is_over = threading.Event()
        self._ahead_s: deque[float] = deque(maxlen=_NUM_CLOCKS)
        self._told_ahead_s = 0.0
        self._reason = "it has not answered"
        self._given_up = ""
        self.is_known = False

    def start(self) -> None:
        """Begins to ask."""
        for target in (self._ask, self._hand_over):
            threading.Thread(target=target, name=f"syne-hypersched-{self.name}", daemon=True).start()

    def give(self, order: Message) -> None:
        """Sends an order to the agent, after all earlier ones."""
        self._orders.put(order)

    def leave(self, reason: str) -> None:
        """Declares the node lost at once, for this reason."""
        self._given_up = reason
        self._is_over.set()

    # Asking.

    def _ask(self) -> None:
        heard = acknowledged = 0
        fence: Fence | None = None
        reason = ""
        begun = time.monotonic()
        while not self._is_over.is_set():
            now = time.monotonic()
            if fence is not None:
                if fence.is_silent(now):
                    break
                fence.ask(now)
            elif now - begun >= _HELLO_S or not self._lives():
                break
            question = {"heard": heard, "acknowledged": acknowledged, "wait_s": self._lease_s / 4}
            try:
                answer = unpack(self._call("poll", pack(question), _PATIENCE_S if fence is None else self._lease_s))
            except Unreachable:
                self._is_over.wait(_RETRY_S)
                continue
            except TimeoutError:
                continue
            except Dead as error:
                reason = str(error)
                if fence is not None and self._lives():
                    fence.die(time.monotonic())
                break
            except Faulty as error:  # it goes on until its lease ends
                reason = f"its agent has failed ({error})"
                break
            except ValueError as error:
                reason = f"it has sent an invalid message ({error})"
                break
            now = time.monotonic()
            if fence is None:
                fence = Fence(self._lease_s, self._grace_s, now)
                self.is_known = True
            fence.hear(now)
            self._compare_clocks(answer["wall"])
            heard = answer["answer"]
            closed = False
            for number, moment, message in answer["messages"]:
                if number > acknowledged:
                    acknowledged = number
                    closed = closed or message["event"] == "closed"
                    # The agent's clock tells how long ago this was, our clock when.
                    self._tell(
                        {"event": "told", "node": self.name, "at": now - (answer["now"] - moment), "message": message}
                    )
            if closed:
                reason = CLOSED
                fence.die(now - self._grace_s - 10)
                break
        self._finish(fence, self._given_up or reason or self._reason)

    def _compare_clocks(self, wall: float) -> None:
        """Tells how far the node's clock is ahead of ours. The way of an answer only lets it look further behind."""
        self._ahead_s.append(wall - time.time())
        ahead_s = max(self._ahead_s)
        if abs(ahead_s - self._told_ahead_s) >= _CLOCK_S:
            self._told_ahead_s = ahead_s
            self._tell({"event": "clock", "node": self.name, "ahead_s": ahead_s})

    def _finish(self, fence: Fence | None, reason: str) -> None:
        self._is_over.set()
        self._orders.put(None)
        self._tell({"event": "silent", "node": self.name, "reason": reason})
        if fence is not None and (left_s := fence.safe_at - time.monotonic()) > 0:
            time.sleep(left_s)
        self._tell({"event": "gone", "node": self.name})
        self._ended(self)

    # Orders.

    def _hand_over(self) -> None:
        numbers = itertools.count(1)
        while (order := self._orders.get()) is not None:
            batch: list[list[Any]] = [[next(numbers), order]]
            with contextlib.suppress(queue.Empty):
                while (order := self._orders.get_nowait()) is not None:
                    batch.append([next(numbers), order])
            while not self._is_over.is_set():
                try:
                    self._call("order", pack({"orders": [[n, _in_durations(o)] for n, o in batch]}), self._lease_s)
                    break
                except (Unreachable, TimeoutError):
                    self._is_over.wait(_RETRY_S)
                except Dead:
                    return  # the other thread finds out as well
                except Faulty as error:  # its orders were not executed: the agent is given up and replaced
                    self._reason = f"its agent has failed ({error})"
                    self._is_over.set()


def _in_durations(order: Message) -> Message:
    now = time.monotonic()
    return {_MOMENTS.get(name, name): value - now if name in _MOMENTS else value for name, value in order.items()}
