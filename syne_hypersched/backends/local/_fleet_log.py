"""Messages of the fleet to the user: failed trials, their logs, and what trials wait for."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
from collections.abc import Callable, Iterable

from syne_hypersched._misplaced_reports import hint_of_misplaced_reports
from syne_hypersched._terminal_text import shown
from syne_hypersched._wording import counted
from syne_hypersched.backends.local._failures import GiveUp, Retry
from syne_hypersched.backends.local._processes import TrialProcesses, last_lines
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.levels import Relaunches, RelaunchStart
from syne_hypersched.launch import Launcher, LaunchExit

logger = logging.getLogger(__name__)

#: A trial that waits this long for a device, or does not die this long after SIGKILL, causes a warning.
PATIENCE_S = 30.0


def ordered(num_devices: int) -> str:
    """Why a trial waits for devices, in its event."""
    return f"{counted(num_devices, 'device')} ordered"


def tell_failure(
    trial: TrialProcesses, exit_: LaunchExit, how: str, next_: Retry | GiveUp, has_checkpoint: bool = True
) -> None:
    """Logs how a launch has ended and what happens next: an error if the trial has failed, else a warning.

    Parameters
    ----------
    trial, exit_, how, next_
        The trial, its exit, and the next step.
    has_checkpoint
        Whether there is a checkpoint from which the trial continues.
    """
    log = trial.failed_log(exit_)
    rank = f" (rank {exit_.first_failed or 0} first)" if len(exit_.exit_codes) > 1 else ""
    error = f": {shown(exit_.error)}" if exit_.error else ""
    if isinstance(next_, Retry):
        logger.warning(
            "Trial %d ended with exit code %s in launch %d%s%s (%s). It %s in %.1f s, %s. Log: %s\n%s", trial.trial_id,
            _name(exit_.exit_code), trial.launch, rank, error, how,
            "goes on from its checkpoint" if has_checkpoint else "is launched again", next_.backoff_s, next_.reason,
            log, last_lines(log),
        )  # fmt: skip
        return
    why = f" ({shown(next_.reason)})" if next_.reason else ""
    logger.error(
        "Trial %d failed with exit code %s in launch %d%s%s%s. Log: %s\n%s",
        trial.trial_id, _name(exit_.exit_code), trial.launch, rank, error, why, log, last_lines(log),
    )  # fmt: skip


def _name(exit_code: int | None) -> str:
    """The exit code, with the name of the signal if it stands for one."""
    if exit_code is not None and exit_code < 0:
        with contextlib.suppress(ValueError):  # real-time signals have no names
            return f"{exit_code} ({signal.Signals(-exit_code).name})"
    return str(exit_code)


def tell_silence(trial: TrialProcesses, num_left: int = 0) -> None:
    """Says that a trial has ended as if all was well, but has never reported.

    Parameters
    ----------
    num_left
        Number of its processes in the background that were killed.
    """
    hint = hint_of_misplaced_reports(trial.stdout_path.parent)
    if num_left:
        hint += (
            f" When it ended, {counted(num_left, 'process', 'processes')} in the background that it had started ended, "
            "too: let the script wait for the processes that train."
        )
    logger.error(
        "Trial %d ended with exit code 0 but has reported nothing, so it counts as failed. A training script "
        "has to report with syne_tune.Reporter at least once.%s Log: %s", trial.trial_id,
        hint, trial.stdout_path,
    )  # fmt: skip


def warn_of_stall(trial: TrialProcesses, silent_s: float) -> None:
    """Says that a trial is ended because it does not report."""
    logger.warning(
        "Trial %d has not reported for %.1f s in launch %d: it is ended. Log: %s\n%s", trial.trial_id, silent_s,
        trial.launch, trial.stderr_path, last_lines(trial.stderr_path),
    )  # fmt: skip


def tell_beginning(
    trial: TrialProcesses, beginning: RelaunchStart, relaunches: Relaunches, record: Callable[..., None]
) -> None:
    """Logs where a relaunch has begun: an event if it repeats work, and one warning if most relaunches do.

    Parameters
    ----------
    trial, beginning
        The relaunched trial, and the level at which it has begun.
    relaunches
        The relaunches of all trials, to which this one is added.
    record
        Writes an event, given its name, the trial and entries.
    """
    if beginning.is_redone:
        record("redo", trial, level=beginning.level, first=beginning.first, before=beginning.before)
    if relaunches.add(beginning):
        logger.warning(
            "%d of %d relaunches have started from the beginning: the first report of launch %d of trial %d has level "
            "%g, although %g was reached before. Reports up to that level are skipped. Possible causes: the script "
            "does not load its checkpoint (load it from --st_checkpoint_dir before training), it loads the checkpoint "
            "but counts from the beginning again (save the count, too), or it saves too rarely (save before each "
            "report). Each case is an event 'redo' in events.jsonl. Log: %s",
            relaunches.num_anew, relaunches.num_seen, trial.launch, trial.trial_id, beginning.level, beginning.before,
            trial.stdout_path,
        )  # fmt: skip


def warn_of_waiting(waiting: Iterable[TrialProcesses], pool: DevicePool, now: float) -> None:
    """Warns once about each trial that has waited long for devices."""
    for trial in waiting:
        if not trial.warned:
            trial.warned = True
            away = len(pool) - pool.num_present
            logger.warning(
                "Trial %d has waited %.0f s for %d devices; %d of %d are free, the rest is held by trials %s%s.",
                trial.trial_id, now - trial.clock.signal_time, trial.wants, pool.num_free, len(pool),
                sorted(pool.holders), f", or was given back ({away})" if away else "",
            )  # fmt: skip


def warn_of_slow_start(
    late: Iterable[TrialProcesses], now: float, is_arriving: Callable[[int], bool], launcher: Launcher | None
) -> None:
    """Warns once about each trial that was requested long ago and has no processes yet.

    Parameters
    ----------
    late, now
        The trials, and the time (monotonic seconds).
    is_arriving
        Whether a trial's checkpoint is on the way to where it is launched.
    launcher
        Which launches them.
    """
    for trial in late:
        if trial.clock.heard_at == math.inf and not trial.warned:
            trial.warned = True
            if is_arriving(trial.trial_id):
                why = "its checkpoint is still being copied"
            elif launcher is not None and launcher.is_ready:
                why = "the server of launches does not answer. Its output is in preloading.log beside the results"
            else:
                why = (
                    "the preloading server seems to be stuck in an import. Its output is in preloading.log beside the "
                    "results; preload=() does without it"
                )
            ordered_s = now - trial.clock.signal_time
            logger.warning("Trial %d was to be launched %.0f s ago: %s.", trial.trial_id, ordered_s, why)


def warn_of_survivors(live: Iterable[TrialProcesses], now: float) -> None:
    """Warns once about each trial whose processes do not end."""
    for trial in live:
        if not trial.warned:
            trial.warned = True
            logger.warning(
                "Processes of trial %d do not end %.0f s after SIGTERM. The events of this trial name their pids.",
                trial.trial_id, now - trial.clock.signal_time,
            )  # fmt: skip
