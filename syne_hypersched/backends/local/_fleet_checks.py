"""The steps of a fleet: one at a time, and in the tests each is checked."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator

from syne_hypersched.backends.local._fleet_view import FleetView
from syne_hypersched.backends.local._states import IllegalStateError

logger = logging.getLogger(__name__)

VALIDATE = "SYNE_HYPERSCHED_VALIDATE"
"""Environment variable. Unless it is empty or 0, everything that holds between two steps is checked after each, as in
the tests of this package. A check costs about as much as a poll."""


class CheckedFleet(FleetView):
    """See the module."""

    _by_handle: dict[int, int]

    def __init__(self) -> None:
        self._validates = os.environ.get(VALIDATE, "") not in ("", "0")
        #: What has gone wrong in the launcher's thread: a fault of this package, which the tuner's thread raises.
        self._fault: IllegalStateError | None = None

    @contextlib.contextmanager
    def _step(self) -> Iterator[None]:
        """Holds the lock for one step in the tuner's thread."""
        with self._lock:
            yield
            if self._validates and self._fault is None:
                self.check()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The same in the launcher's thread, which has to go on: the tuner's raises what is wrong, when it looks."""
        try:
            with self._step():
                yield
        except IllegalStateError as fault:
            logger.error("%s", fault)
            self._fault = self._fault or fault

    def check(self) -> None:
        """Checks what holds between two steps.

        Raises
        ------
        IllegalStateError
            Something contradicts something else; the message has the story of the trial.
        """
        active = self._trials.active
        for trial in self._trials.values():
            trial.check(len(self.pool.held_by(trial.trial_id)))
            if (trial in active) == trial.is_at_rest:
                trial.fail_with(f"is {'' if trial.is_at_rest else 'not '}among the active trials")
            if trial.handle is not None and self._by_handle.get(trial.handle) != trial.trial_id:
                trial.fail_with(f"has handle {trial.handle}, which is not known: {self._by_handle}")
        holders = set(self.pool.holders)
        handles = {handle for trial in active if trial.crew is not None for handle in trial.crew.handles}
        if not holders <= {trial.trial_id for trial in active} or handles != set(self._by_handle):
            raise IllegalStateError(
                f"trials {sorted(holders)} hold devices and launches {self._by_handle} live, but the active trials are "
                f"{[(trial.trial_id, trial.handle) for trial in active]}. This is a fault of syne_hypersched"
            )
