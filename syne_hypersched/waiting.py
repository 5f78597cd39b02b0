"""Makes a tuner wait for reports instead of sleeping: a callback, and the part that other callbacks also use."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from syne_tune.results_callback import ExtraResultsComposer, StoreResultsCallback
from syne_tune.tuning_status import TuningStatus

from syne_hypersched import checks
from syne_hypersched._first_use import check_has_begun_here
from syne_hypersched._lasting_output import outlive_output
from syne_hypersched._misplaced_reports import hint_of_misplaced_reports
from syne_hypersched._short_table import shorten_table
from syne_hypersched._storing import store_at_end, store_elsewhere, store_or_warn, store_safely
from syne_hypersched._view import show_by_default
from syne_hypersched._wording import counted

logger = logging.getLogger(__name__)


class Wait:
    """Makes a tuner wait for events of its trials instead of sleeping, if its backend can.

    When all workers are busy, Syne Tune's tuner sleeps for ``sleep_time`` seconds (default: 5), even if a trial reports
    earlier. With this class, its sleep takes no time. A callback waits instead, at most for the user's ``sleep_time``.
    If a tuner has several such callbacks, only one of them waits.
    """

    def __init__(self) -> None:
        self._tuner: Any = None
        #: The user's ``sleep_time``; None: the tuner sleeps, or another callback waits.
        self._asked_s: float | None = None
        #: The tuner, until its end.
        self._to_store: Any = None

    def begin(self, tuner: Any) -> None:
        """Handles the start of the tuning. A tuner stored while it ran continues with the user's ``sleep_time``."""
        check_has_begun_here(tuner)
        if hasattr(tuner.trial_backend, "hold_folder"):
            tuner.trial_backend.hold_folder()
        shorten_table(tuner)
        store_safely(tuner)
        outlive_output(tuner)
        self._to_store = tuner
        if not hasattr(tuner.trial_backend, "wait_for_news"):
            return
        if self._asked_s is None and tuner.sleep_time > 0:
            self._asked_s = tuner.sleep_time
        if self._asked_s is not None:
            self._tuner = tuner
            tuner.sleep_time = 0

    def sleep(self) -> None:
        """Waits at the moment when the tuner would sleep."""
        if self._asked_s is not None:
            self._tuner.trial_backend.wait_for_news(self._asked_s)

    def end(self) -> None:
        """Handles the end of the tuning: restores the user's ``sleep_time``, and warns if no trial has reported.

        Call it last, since it stores the tuner.
        """
        if self._asked_s is not None and self._tuner is not None:
            if sys.exc_info()[1] is None:
                warn_if_silent(self._tuner.tuning_status, self._tuner.tuner_path)
            self._tuner.sleep_time, self._asked_s = self._asked_s, None
        tuner, self._to_store = self._to_store, None
        if tuner is not None:
            store_at_end(tuner)


def warn_if_silent(status: TuningStatus, path: Path) -> None:
    """Warns if trials have run and none has reported, since the tuner does not. Other code warns about failures.

    Parameters
    ----------
    status
        Status of the tuner.
    path
        Folder of the experiment.
    """
    if status.num_trials_started and not status.num_trials_failed and not status.overall_metric_statistics.count:
        logger.warning(
            "No trial has reported in the %.4g s of the tuning, so there is no result: %s started. A tuning must last "
            "longer than the script takes to start and to report for the first time. Make the script report earlier or "
            "more often, with syne_tune.Reporter, or give it more time.%s",
            status.wallclock_time, counted(status.num_trials_started, "trial"), hint_of_misplaced_reports(path / "0"),
        )  # fmt: skip


class WaitForReports(StoreResultsCallback):
    """Callback of :class:`syne_tune.Tuner`, with which the tuner handles every report at once.

    By default, the tuner looks for reports once in 5 seconds. In the meantime, trials go on training that should be
    paused or stopped. If the results cannot be stored, for example on a full disk, the tuning goes on with a warning.
    Example::

        tuner = Tuner(backend, scheduler, stop_criterion, n_workers=4, callbacks=[WaitForReports()])

    It replaces Syne Tune's ``StoreResultsCallback``, and stores the same results unless another callback of the tuner
    does. The tuner still checks its stop criterion once a second, or once in ``sleep_time`` if that is shorter.
    :class:`~syne_hypersched.Journal` and :class:`~syne_hypersched.experiments.LiveProgress` do the same. With a backend
    of another package, the tuner sleeps as before.

    On a terminal, a tuner without :class:`~syne_hypersched.experiments.LiveProgress` gets one. The environment variable
    ``SYNE_HYPERSCHED_LIVE=0`` turns this off.

    Parameters
    ----------
    add_wallclock_time
        Whether each result has the seconds since the start of the tuning, as ``st_tuner_time``.
    extra_results_composer
        Creates additional columns of the results. It is called with the tuner at each report, and returns a dictionary
        or None. Default: no additional columns.
    """

    def __init__(
        self, add_wallclock_time: bool = True, extra_results_composer: ExtraResultsComposer | None = None
    ) -> None:
        if extra_results_composer is not None and not callable(extra_results_composer):
            raise TypeError(f"extra_results_composer must be callable, but got {extra_results_composer!r}")
        super().__init__(checks.truth("add_wallclock_time", add_wallclock_time), extra_results_composer)
        self._wait = Wait()
        self._stores = True
        #: Why the last attempt to store the results failed.
        self._error: OSError | None = None

    def on_tuning_start(self, tuner: Any) -> None:
        """Takes over the tuner's sleep; called by the tuner."""
        storing = [callback for callback in tuner.callbacks if isinstance(callback, StoreResultsCallback)]
        others = [callback for callback in storing if not isinstance(callback, WaitForReports)]
        self._stores = not others and storing[:1] == [self]
        super().on_tuning_start(tuner)
        self._wait.begin(tuner)
        show_by_default(tuner)

    def on_trial_result(self, trial: Any, status: str, result: dict[str, Any], decision: str) -> None:
        """Stores a result; called by the tuner."""
        if self._stores:
            super().on_trial_result(trial, status, result, decision)

    def store_results(self) -> None:
        """Stores all results so far, and replaces the earlier file atomically."""
        if self.csv_file is not None:
            self._error = store_or_warn(self.dataframe(), self.csv_file, self._error)

    def on_tuning_sleep(self, sleep_time: float) -> None:
        """Waits for events of trials; called by the tuner."""
        self._wait.sleep()

    def on_tuning_end(self) -> None:
        """Stores all results, in a temporary folder if the experiment's folder has no room; called by the tuner."""
        if self._stores:
            super().on_tuning_end()
            if self._error is not None and self.csv_file is not None:
                store_elsewhere(self.dataframe(), self.csv_file, self._error)
        self._wait.end()
