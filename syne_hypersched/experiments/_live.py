"""Live view of a running experiment, as a callback of the tuner."""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syne_tune import Tuner
from syne_tune.backend.trial_status import Trial
from syne_tune.tuner_callback import TunerCallback
from syne_tune.tuner_logger import TunerLogger
from syne_tune.util import experiment_path, metric_name_mode

from syne_hypersched import checks
from syne_hypersched._console import drop_output
from syne_hypersched._extras import needs_extra
from syne_hypersched._terminal_text import is_terminal, plain_log, shown_lines
from syne_hypersched.contract import ST_ADMISSION_OPEN, ST_LAUNCH, ST_NUM_DEVICES, metric_names_of
from syne_hypersched.experiments._notebook import NotebookDisplay, in_notebook
from syne_hypersched.experiments._panel import render_panel, render_result
from syne_hypersched.experiments._progress import Progress
from syne_hypersched.experiments._results import rows_of_journal
from syne_hypersched.experiments._run import Report, RunGoal, reports_of_rows
from syne_hypersched.filenames import EVENTS_FILENAME
from syne_hypersched.records.events import EventReader
from syne_hypersched.records.find import name_for_commands
from syne_hypersched.waiting import Wait

if TYPE_CHECKING:
    from rich.live import Live

logger = logging.getLogger(__name__)

_REFRESHES_PER_S = 4.0
_DISPLAYS_PER_S = 1.0


class LiveProgress(TunerCallback):
    """Shows the time left, incumbent, admission, devices of trials, and why the scheduler last decided something.

    On a terminal, with the package ``rich``, this is a panel that stays at the bottom, with a row for each trial that
    holds devices, as many as there is room for. In a notebook it is one display that changes; elsewhere it is lines of
    text. It ends with the result.

    On a terminal, :class:`~syne_hypersched.Journal` and :class:`~syne_hypersched.WaitForReports` add this callback if
    the tuner has none. The environment variable ``SYNE_HYPERSCHED_LIVE=0`` turns that off.

    With this callback the tuner waits for reports instead of sleeping (see :class:`~syne_hypersched.WaitForReports`).

    Example: ``Tuner(..., callbacks=[StoreResultsCallback(), LiveProgress()])``.

    Parameters
    ----------
    interval_s
        Least number of seconds between two lines of text. A line is printed only when something has changed.
    panel
        Whether to show the panel; by default if the standard output is a terminal and ``rich`` is installed.

    Raises
    ------
    TypeError
        ``interval_s`` is not a number, or ``panel`` neither True nor False nor None.
    ValueError
        ``interval_s`` is not positive.
    ModuleNotFoundError
        The panel is to be shown, and ``rich`` is not installed.
    """

    def __init__(self, interval_s: float = 10.0, panel: bool | None = None) -> None:
        self.interval_s = checks.positive_seconds("interval_s", interval_s)
        self._chooses = panel is None
        self.panel = _can_show_panel() if panel is None else checks.truth("panel", panel)
        if panel:
            with needs_extra("LiveProgress(panel=True)", "demo"):
                importlib.import_module("rich.live")
        self._progress: Progress | None = None
        self._needed: tuple[str, ...] = ()
        self._reader: EventReader | None = None
        self._started = 0.0
        self._last_shown = -math.inf
        self._last_line = ""
        self._live: Live | None = None
        self._notebook: NotebookDisplay | None = None
        self._name = ""
        #: Where whoever reads the name of the experiment has experiments; None: as this process.
        self._experiments: Path | None = Path(experiment_path()).absolute()
        self._wait = Wait()

    def on_tuning_start(self, tuner: Tuner) -> None:
        """Shows the view; called by the tuner."""
        scheduler, stop_criterion = tuner.scheduler, tuner.stop_criterion
        metric, mode = metric_name_mode(metric_names_of(scheduler), scheduler.metric_mode(), metric=0)
        deadline_s = getattr(stop_criterion, "deadline_s", None) or getattr(stop_criterion, "max_wallclock_time", None)
        self._progress = Progress(metric, mode == "min", getattr(scheduler, "time_attr", "epoch"), deadline_s)
        self._needed = (metric, self._progress.time_attr) if hasattr(scheduler, "time_attr") else (metric,)
        self._reader = EventReader(tuner.tuner_path / EVENTS_FILENAME, strict=False)
        # A tuner that goes on with an experiment has used up some of its time.
        self._started = time.monotonic() - max(0.0, getattr(tuner.tuning_status, "wallclock_time", 0.0))
        self._name = name_for_commands(tuner.tuner_path, self._experiments)
        self._recall(tuner.tuner_path)
        if self._chooses:  # again: it may have been stored by a tuner that had a terminal
            self.panel = _can_show_panel()
        if in_notebook():
            self._notebook = NotebookDisplay()
        elif self.panel:
            from rich.live import Live

            self._live = Live(auto_refresh=False, transient=False)
            self._live.start()
        self._wait.begin(tuner)

    def _recall(self, folder: Path) -> None:
        """Adds the reports to which a tuner has reacted before this one, which goes on with the experiment."""
        progress = self._progress
        if progress is None:
            return
        try:
            rows = [row for row in rows_of_journal(folder) if progress.metric in row]
            goal = RunGoal(progress.metric, progress.do_minimize, progress.time_attr, {})
            reports, configs, _ = reports_of_rows(rows, folder, goal)
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("What was reported before is not shown: %s", error)
            return
        for report in reports:
            progress.add_report(report, configs.get(report.trial_id))

    def on_tuning_sleep(self, sleep_time: float) -> None:
        """Waits for events of trials; called by the tuner."""
        self._wait.sleep()

    def on_trial_result(self, trial: Trial, status: str, result: dict[str, Any], decision: str) -> None:
        """Records a report; called by the tuner."""
        if self._progress is None or not all(name in result for name in self._needed):
            return  # the scheduler leaves it out, too
        self._progress.add_report(
            Report(
                trial_id=trial.trial_id,
                time_s=time.monotonic() - self._started,
                resource=result.get(self._progress.time_attr, 0),
                value=result[self._progress.metric],
                num_devices=result.get(ST_NUM_DEVICES),
                launch=result.get(ST_LAUNCH),
                admission_open=result.get(ST_ADMISSION_OPEN),
                decision=decision,
            ),
            trial.config,
        )

    def on_loop_end(self) -> None:
        """Updates the view; the tuner calls it in every loop."""
        self._show(last=False)

    def on_tuning_end(self) -> None:
        """Shows the result and releases the terminal; called by the tuner."""
        self._show(last=True)
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.stop()
            self._live = None
        self._wait.end()

    def _show(self, last: bool) -> None:
        progress, reader = self._progress, self._reader
        if progress is None or reader is None:
            return
        try:
            self._show_progress(progress, reader, last)
        except OSError as error:
            # The terminal is gone, or the disk with the output is full: the tuning goes on without its view.
            self._progress = None
            if isinstance(error, BrokenPipeError):
                drop_output()  # else the next line that anybody prints ends the tuning
            logger.warning("The progress is no longer shown (%s); the tuning goes on.", error.strerror or error)

    def _show_progress(self, progress: Progress, reader: EventReader, last: bool) -> None:
        for event in reader.read_new():
            progress.add_event(event)
        now_s = time.monotonic() - self._started
        since_s = now_s - self._last_shown
        if last:
            self._show_end(progress.describe_end(now_s, self._name))
        elif self._live is not None:
            if since_s >= 1 / _REFRESHES_PER_S:
                height = self._live.console.size.height
                self._live.update(render_panel(progress, now_s, height), refresh=True)
                self._last_shown = now_s
        elif self._notebook is not None:
            if since_s >= 1 / _DISPLAYS_PER_S:
                self._notebook.show(progress.describe(now_s).replace(" | ", "\n"))
                self._last_shown = now_s
        else:
            line = progress.describe(0.0)
            if since_s >= self.interval_s and line != self._last_line:
                print(shown_lines(progress.describe(now_s)), flush=True)
                self._last_shown, self._last_line = now_s, line

    def _show_end(self, lines: list[str]) -> None:
        if self._live is not None:
            self._live.update(render_result(lines), refresh=True)
        elif self._notebook is not None:
            self._notebook.show("\n".join(lines))
        else:
            print(shown_lines("\n".join(lines)), flush=True)

    def __getstate__(self) -> dict[str, Any]:
        # The tuner is saved with its callbacks; a terminal cannot be.
        return {**self.__dict__, "_live": None, "_notebook": None, "_experiments": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= {"_chooses": True, "_experiments": None, **state}  # an older version has stored neither


class QuietTunerLogger(TunerLogger):
    """The tuner's own messages, less those that say what :class:`LiveProgress` shows and what goes well.

    Syne Tune reports a scheduler that closes admission as an exhausted configuration space; that is left out, too.

    Example: ``Tuner(..., callbacks=[StoreResultsCallback(), LiveProgress()], output_logger=QuietTunerLogger())``.
    """

    def __init__(self) -> None:
        super().__init__(use_colors=is_terminal(sys.stdout), use_emojis=False)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # The tuner is stored with it, and may go on where there is no terminal.
        self.__dict__ |= {**state, "use_colors": is_terminal(sys.stdout)}

    def _say_nothing(self, *args: Any, **kwargs: Any) -> None:
        pass

    def print_failure_logs(self, trial_id: int, stdout: str, stderr: str) -> None:
        """Prints the logs of a failed trial without control characters; called by the tuner."""
        super().print_failure_logs(trial_id, plain_log(stdout), plain_log(stderr))

    def print_no_metrics_observed(self, trial_id: int, stdout: str, stderr: str) -> None:
        """Prints the logs of a trial without reports, without control characters; called by the tuner."""
        super().print_no_metrics_observed(trial_id, plain_log(stdout), plain_log(stderr))

    print_experiment_header = _say_nothing
    print_tuning_start = _say_nothing
    print_tuning_status = _say_nothing
    print_trial_started = _say_nothing
    print_trial_resumed = _say_nothing
    print_trial_completed = _say_nothing
    print_searcher_out_of_candidates = _say_nothing
    print_config_space_exhausted = _say_nothing
    print_tuning_complete = _say_nothing
    print_stopping_trials = _say_nothing
    print_tuning_finished = _say_nothing


def add_live_view(tuner: Tuner) -> None:
    """Adds :class:`LiveProgress` to a tuner that begins, unless it has one.

    The tuner's own messages, if they are those of Syne Tune, are reduced to what the view does not show.

    Raises
    ------
    TypeError
        ``tuner`` is no tuner.
    """
    if not hasattr(tuner, "callbacks"):
        raise TypeError(f"tuner must be a syne_tune.Tuner, but got {tuner!r}")
    if any(isinstance(callback, LiveProgress) for callback in tuner.callbacks):
        return
    view = LiveProgress()
    # A list of its own: the one that was given belongs to the user.
    tuner.callbacks = [*tuner.callbacks, view]
    if type(tuner.output_logger) is TunerLogger:
        tuner.output_logger = QuietTunerLogger()
    view.on_tuning_start(tuner)


def _can_show_panel() -> bool:
    if not is_terminal(sys.stdout):
        return False
    try:
        import rich.live  # noqa: F401
    except ImportError:
        return False
    return True
