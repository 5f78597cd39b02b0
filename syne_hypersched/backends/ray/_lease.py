"""When an agent must end its trials, and when the tuner may start them elsewhere, on two clocks that need not agree.

An agent answers the gateway's questions. The next question says that an answer has arrived, and with that the agent
may train until :attr:`Lease.ends_at`, which is counted from the moment when it *gave that answer*. The gateway counts
from the moment when it *asks the next question*, which is later. So the fence always falls after the lease, however
long messages are under way. Only the rates of both clocks must agree.

Pure: all moments are given, in seconds.
"""

from __future__ import annotations

import math

#: Beyond lease and grace period, for the time that it takes to kill and reap processes.
SLACK_S = 1.0
#: Reason for the absence of a node whose agent was told to end.
CLOSED = "it was closed"


class Lease:
    """The agent's side: until when it may train.

    Parameters
    ----------
    lease_s
        Seconds of a lease.
    now
        The agent's clock when it begins.
    """

    def __init__(self, lease_s: float, now: float) -> None:
        self.lease_s = lease_s
        self.ends_at = now + lease_s
        self._number = 0
        self._answered_at = now

    def answer(self, now: float) -> int:
        """Records an answer; returns its number, which the next question must name."""
        self._number += 1
        self._answered_at = now
        return self._number

    def hear(self, heard: int) -> None:
        """Records a question, which names the last answer that has arrived."""
        if heard == self._number:
            self.ends_at = max(self.ends_at, self._answered_at + self.lease_s)

    def is_over(self, now: float) -> bool:
        """Whether everything has to end."""
        return now >= self.ends_at


class Fence:
    """The tuner's side: whether a node is silent, and when nothing can run there any more.

    Parameters
    ----------
    lease_s, grace_s
        Seconds of a lease, and from SIGTERM to SIGKILL.
    now
        The gateway's clock when the first answer has arrived.
    """

    def __init__(self, lease_s: float, grace_s: float, now: float) -> None:
        self._lease_s, self._grace_s = lease_s, grace_s
        self._asked_at = self._heard_at = now
        self._died_at = math.inf

    def ask(self, now: float) -> None:
        """Records that a question is sent, which names an answer that has arrived."""
        self._asked_at = now

    def hear(self, now: float) -> None:
        """Records that an answer has arrived."""
        self._heard_at = now

    def die(self, now: float) -> None:
        """The agent has died on a node that lives, which has sent SIGTERM to everything that it has started."""
        self._died_at = min(self._died_at, now)

    def is_silent(self, now: float) -> bool:
        """Whether the node has not answered for a lease."""
        return now >= self._heard_at + self._lease_s

    @property
    def safe_at(self) -> float:
        """From this moment on no process of the node lives, although it has not said so."""
        after_lease = self._asked_at + self._lease_s
        return min(after_lease, self._died_at) + self._grace_s + SLACK_S
