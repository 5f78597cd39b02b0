"""Decides what to do after a failed launch, from exit codes, counts, times and sizes alone.

A trial is launched again from its checkpoint, after a back-off, as long as this may help. It has finally failed

1. after ``retries`` such launches without a new report,
2. at once, if it has never reported, and its program cannot be started or rejects its arguments,
3. at the second launch that ends with the same message before the first report: a third launch would fail alike,
4. if it has reported, but the resource level is unknown: repeated work could not be distinguished from new work.

A trial that fails on more devices than it has ever reported on goes back to the size that worked and stays there; this
does not count as a failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syne_hypersched import checks
from syne_hypersched._wording import counted

#: Most repetitions, without a new report, of a launch that ended without a fault of its script: its processes exited on
#: a SIGTERM from outside, or their supervisor was killed.
MAX_INTERRUPTIONS = 5
#: The back-off doubles with every failure up to this, or up to the user's ``retry_backoff_s`` if that is longer.
MAX_BACKOFF_S = 60.0
#: Exit codes of shells and of this package if a program does not exist or cannot be executed.
_CANNOT_START = (126, 127)
#: Exit code of programs, including argparse, for wrong arguments.
_WRONG_ARGUMENTS = 2


@dataclass(frozen=True)
class FailurePolicy:
    """What a user allows; see :class:`~syne_hypersched.ElasticLocalBackend` for the arguments of the same names.

    Raises
    ------
    TypeError, ValueError
        A value is of the wrong type or out of range; the message names the argument.
    """

    retries: int = 2
    retry_backoff_s: float = 1.0
    stall_timeout_s: float | None = None
    min_free_mb: float = 100.0

    def __post_init__(self) -> None:
        megabytes = checks.number(
            "min_free_mb", self.min_free_mb, "a number of megabytes, at least 0", at_least=0.0
        )  # fmt: skip
        values: dict[str, Any] = {
            "retries": checks.integer("retries", self.retries, at_least=0),
            "retry_backoff_s": checks.seconds("retry_backoff_s", self.retry_backoff_s),
            "min_free_mb": megabytes,
        }
        if self.stall_timeout_s is not None:
            values["stall_timeout_s"] = checks.number(
                "stall_timeout_s", self.stall_timeout_s, "a number of seconds above 0, or None", above=0.0
            )
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def backoff_s(self, num_failures: int) -> float:
        """Seconds to wait after the ``num_failures``-th failure in a row, counted from 1."""
        longest = max(self.retry_backoff_s, MAX_BACKOFF_S)
        return float(min(longest, self.retry_backoff_s * 2.0 ** min(num_failures - 1, 64)))

    def has_stalled(self, silent_s: float) -> bool:
        """Whether to end a launch that has not reported for this long."""
        return self.stall_timeout_s is not None and silent_s > self.stall_timeout_s


@dataclass(frozen=True)
class Failure:
    """How a launch has failed."""

    num_devices: int
    """Devices that it held."""
    exit_code: int | None
    """As in :attr:`syne_hypersched.launch.LaunchExit.exit_code`; None: no process could be started."""
    last_words: str = ""
    """Last line of the log of the rank that failed."""
    knows_progress: bool = True
    """Whether it is known which entry of a report is the resource level."""


@dataclass(frozen=True)
class Retry:
    """The trial must be launched again from its checkpoint."""

    num_devices: int
    """Number of devices, once they are free."""
    backoff_s: float
    """Delay in seconds."""
    reason: str
    """In words."""


@dataclass(frozen=True)
class GiveUp:
    """The trial has failed."""

    reason: str
    """In words."""


class FailureHistory:
    """The failures of one trial, and the numbers of devices on which it has worked. Plain data.

    Attributes
    ----------
    num_failures, num_interruptions
        Launches since the last new report that have failed, and that were ended from outside.
    max_num_devices
        Largest number of devices on which the trial may be launched; None if there is no limit.
    """

    def __init__(self) -> None:
        self.num_failures = 0
        self.num_interruptions = 0
        self.max_num_devices: int | None = None
        #: Numbers of devices on which it has reported, ascending.
        self._worked: tuple[int, ...] = ()
        #: Exit code and last words of the last failure before the first report.
        self._last: tuple[int, str] | None = None

    @property
    def has_reported(self) -> bool:
        """Whether the trial has ever reported."""
        return bool(self._worked)

    def report(self, num_devices: int) -> None:
        """A launch on this number of devices has made a new report."""
        self.num_failures = self.num_interruptions = 0
        if num_devices not in self._worked:
            self._worked = tuple(sorted((*self._worked, num_devices)))

    def state(self) -> dict[str, Any]:
        """What a copy needs to go on, as data that JSON keeps; empty as long as nothing counts against the trial."""
        if not self.num_failures and not self.num_interruptions and self.max_num_devices is None:
            return {}
        return {
            "num_failures": self.num_failures,
            "num_interruptions": self.num_interruptions,
            "max_num_devices": self.max_num_devices,
            "last": self._last,
        }

    def restore(self, state: Mapping[str, Any], has_reported_since: bool) -> None:
        """Continues from the :meth:`state` of a copy, after all reports of the trial were passed to :meth:`report`.

        Parameters
        ----------
        state
            The state.
        has_reported_since
            Whether a new report came after that state. Failures are then forgotten, and the limit stays.
        """
        self.max_num_devices = state["max_num_devices"]
        if not has_reported_since:
            self.num_failures, self.num_interruptions = state["num_failures"], state["num_interruptions"]
            self._last = None if state["last"] is None else (state["last"][0], state["last"][1])

    def limit(self, num_devices: int) -> None:
        """The trial may not be launched on more devices than this."""
        self.max_num_devices = num_devices if self.max_num_devices is None else min(num_devices, self.max_num_devices)

    def fitting(self, num_devices: int) -> int:
        """Devices for a launch when a number is requested: that number, or fewer on which the trial has worked."""
        limit = self.max_num_devices
        if limit is None or num_devices <= limit:
            return num_devices
        return max((worked for worked in self._worked if worked <= limit), default=limit)

    def interrupt(self) -> bool:
        """Records that a launch was ended from outside; returns whether the trial goes on. This is not a retry."""
        self.num_interruptions += 1
        return self.num_interruptions <= MAX_INTERRUPTIONS

    def fail_to_grow(self, num_devices: int) -> bool:
        """New processes for this number of devices have failed, and the trial stays on fewer.

        Returns
        -------
        bool
            Whether it stays on fewer: it has never reported on as many. The limit is set then.
        """
        if not any(worked < num_devices for worked in self._worked) or num_devices in self._worked:
            return False
        self.limit(num_devices - 1)
        return True

    def fail(self, failure: Failure, policy: FailurePolicy) -> Retry | GiveUp:
        """Records a failed launch, and decides what to do.

        Returns
        -------
        Retry or GiveUp
            The trial goes on or has failed.
        """
        size = failure.num_devices
        smaller = [worked for worked in self._worked if worked < size]
        if smaller and size not in self._worked:
            self.max_num_devices = size - 1
            return Retry(
                smaller[-1],
                policy.backoff_s(1),
                f"it fails on {size} devices and goes back to {smaller[-1]}",
            )
        self.num_failures += 1
        hopeless = self._why_hopeless(failure)
        if hopeless:
            return GiveUp(hopeless)
        if self.num_failures > policy.retries:
            return GiveUp(
                f"no new report after {counted(policy.retries, 'retry', 'retries')}" if policy.retries else ""
            )
        return Retry(size, policy.backoff_s(self.num_failures), f"retry {self.num_failures} of {policy.retries}")

    def _why_hopeless(self, failure: Failure) -> str:
        code, last = failure.exit_code, self._last
        if self.num_interruptions > MAX_INTERRUPTIONS:
            return "its processes are ended from outside again and again"
        if self.has_reported:
            return "" if failure.knows_progress else "it is not retried, since time_attr is not known"
        if code in _CANNOT_START:
            return "its program cannot be started"
        if code == _WRONG_ARGUMENTS:
            return "its program seems to refuse its arguments"
        self._last = (code, failure.last_words) if code is not None and code > 0 and failure.last_words else None
        return "it ends in the same words before its first report" if last is not None and last == self._last else ""
