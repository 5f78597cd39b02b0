"""What follows the end of a launch: its devices are free, and its trial is launched again or has ended."""

from __future__ import annotations

import logging

from syne_tune.backend.trial_status import Status

from syne_hypersched.backends.local import _fleet_log as log
from syne_hypersched.backends.local._failures import Retry
from syne_hypersched.backends.local._fleet_state import FleetState
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.backends.shared.pool_changes import release
from syne_hypersched.backends.shared.reconcile import Phase
from syne_hypersched.backends.shared.shares import is_out_of_memory
from syne_hypersched.launch import LaunchExit

logger = logging.getLogger(__name__)


class LaunchEnds:
    """See the module.

    Parameters
    ----------
    state
        The state of the fleet.
    """

    def __init__(self, state: FleetState) -> None:
        self._state = state

    def hear(self, trial: TrialProcesses, exit_: LaunchExit, moment: float) -> None:
        """No process of a trial is left, since a moment in monotonic seconds, and all that it has reported is read."""
        state = self._state
        asked = trial.phase is Phase.DRAINING
        reason = trial.drain_reason or ("deadline" if exit_.drained else "")
        how = trial.how_ended(exit_)
        state.record(
            "exit", trial, reason, how=how, exit_code=exit_.exit_code, exit_codes=exit_.exit_codes,
            drain_s=max(0.0, moment - trial.clock.signal_time) if asked else None, **trial.faults(),
            **state.checkpoints.hear_end(trial, exit_.checkpoints),
        )  # fmt: skip
        devices = release(state.pool, trial.trial_id, state.events.write)
        trial.exit()
        # A trial that was paused and is resumed already goes on, even if its script has just ended by itself.
        if trial.wants and how in ("completed", "failed", "stalled") and reason != "pause":
            self._end(trial, exit_, how, len(devices))
        elif trial.wants and not asked:  # the trial goes on from its checkpoint
            trial.clock.expect_launch()
        state.trials.place(trial)
        state.checkpoints.publisher.notice(trial.trial_id)

    def _end(self, trial: TrialProcesses, exit_: LaunchExit, how: str, num_devices: int) -> None:
        """Handles a launch that has ended by itself: its trial has ended, too, unless it is relaunched."""
        state, checkpoints = self._state, self._state.checkpoints
        if how == "failed" and state.shares.is_shared(num_devices) and is_out_of_memory(trial.last_words(exit_)):
            self._retry_alone(trial, exit_)
            return
        if how != "completed":
            next_ = trial.fail(exit_, num_devices, state.policy, knows_progress=checkpoints.time_attr is not None)
            log.tell_failure(trial, exit_, how, next_, checkpoints.has_any(trial.trial_id))
            if isinstance(next_, Retry):
                trial.fallback.fail(trial.reports.num_read, exit_.checkpoints, exit_.exit_code)
                self._retry(trial, exit_, next_)
                return
        elif not trial.failures.has_reported:
            # A tuner treats a completed trial without a report as an error, but not a stopped one.
            how = Status.stopped if checkpoints.copies.explain(trial.trial_id) else Status.failed
            if how == Status.failed:
                log.tell_silence(trial, exit_.num_left)
        status = {"completed": Status.completed, Status.stopped: Status.stopped}.get(how, Status.failed)
        trial.finish(status, state.next_order())
        event = "fail" if status == Status.failed else "complete"
        state.record(event, trial, exit_code=exit_.exit_code, log=str(trial.failed_log(exit_)))

    def _retry(self, trial: TrialProcesses, exit_: LaunchExit, retry: Retry) -> None:
        trial.clock.expect_launch(retry.backoff_s)
        self._state.record(
            "retry", trial, retry.reason, exit_code=exit_.exit_code, backoff_s=retry.backoff_s,
            log=str(trial.failed_log(exit_)), **trial.faults(),
        )  # fmt: skip
        limit = trial.failures.max_num_devices
        if limit is not None and trial.wants > limit:
            trial.resize(retry.num_devices, self._state.next_order())

    def _retry_alone(self, trial: TrialProcesses, exit_: LaunchExit) -> None:
        """Handles a trial that ran out of memory beside others, which is not a failure of the trial."""
        shares = self._state.shares
        shares.set_alone(trial.trial_id)
        reason = "it ran out of memory on a GPU that it shares, and goes on alone on one"
        logger.warning("Trial %d: %s. Log: %s", trial.trial_id, reason, trial.failed_log(exit_))
        trial.clock.expect_launch()
        self._state.record("retry", trial, reason, exit_code=exit_.exit_code, log=str(trial.failed_log(exit_)))
        trial.resize(shares.wanted(trial.trial_id, trial.wants), self._state.next_order())
