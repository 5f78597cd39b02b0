"""Common base of loggers for experiment trackers: each trial is one run."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from syne_tune import Tuner
from syne_tune.backend.trial_status import Trial
from syne_tune.tuner_callback import TunerCallback
from syne_tune.util import metric_name_mode

from syne_hypersched import checks
from syne_hypersched.contract import ST_NUM_DEVICES, metric_names_of
from syne_hypersched.filenames import EVENTS_FILENAME
from syne_hypersched.records.events import EventReader

logger = logging.getLogger(__name__)

#: Entries of a result that tell nothing about the training.
_HIDDEN = frozenset({"st_status", "st_decision", "trial_id", "st_tuner_time", "st_worker_timestamp"})


class RunLogger(TunerCallback):
    """Base of the loggers. It writes each trial to its own run, which continues over relaunches, pauses and resumes.

    If a tracker fails, the tuning goes on: there is one warning, and nothing more is written.

    Parameters
    ----------
    tracker
        Name of the tracker, for messages.
    """

    def __init__(self, tracker: str) -> None:
        self._tracker = tracker
        self._name, self._folder = "", Path()
        self._metric = ""
        self._time_attr = "epoch"
        self._minimizes = True
        self._reader: EventReader | None = None
        self._incumbent: tuple[float, int] | None = None
        #: The last step of each trial. A report without a resource level gets the next number.
        self._steps: dict[int, int] = {}
        self._configs: dict[int, dict[str, Any]] = {}
        self._has_failed = False

    # Methods that a logger for a tracker implements.

    @abstractmethod
    def _begin(self) -> None:
        """Connects to the tracker, before any trial."""

    @abstractmethod
    def _open(self, trial_id: int, config: Mapping[str, Any]) -> None:
        """Creates the run of a trial, or finds it if it already exists."""

    @abstractmethod
    def _write(self, trial_id: int, step: int, values: Mapping[str, float]) -> None:
        """Adds numbers to the run of a trial."""

    @abstractmethod
    def _say(self, trial_id: int, step: int, name: str, text: str) -> None:
        """Adds a text to the run of a trial: a decision, or a note that it became the incumbent."""

    @abstractmethod
    def _pause(self, trial_id: int) -> None:
        """Handles the end or the pause of a trial, which may be opened again."""

    @abstractmethod
    def _finish(self, incumbent: int | None) -> None:
        """Handles the end of the tuning, with this incumbent."""

    # Methods that the tuner calls.

    def on_tuning_start(self, tuner: Tuner) -> None:
        """Connects to the tracker; called by the tuner."""
        scheduler = tuner.scheduler
        self._name, self._folder = tuner.name, Path(tuner.tuner_path)
        metric, mode = metric_name_mode(metric_names_of(scheduler), scheduler.metric_mode(), metric=0)
        self._metric, self._minimizes = metric, mode == "min"
        self._time_attr = getattr(scheduler, "time_attr", "epoch")
        self._reader = EventReader(self._folder / EVENTS_FILENAME, strict=False)
        self._try(self._begin)

    def on_start_trial(self, trial: Trial) -> None:
        """Creates a run; called by the tuner."""
        self._open_run(trial)

    def on_resume_trial(self, trial: Trial) -> None:
        """Continues a run; called by the tuner."""
        self._open_run(trial)

    def on_trial_result(self, trial: Trial, status: str, result: dict[str, Any], decision: str) -> None:
        """Adds a report and the decision about it to the trial's run; called by the tuner."""
        trial_id = trial.trial_id
        if trial_id not in self._configs:
            self._open_run(trial)
        step = self._step(trial_id, result.get(self._time_attr))
        self._try(lambda: self._write(trial_id, step, _numbers(result)))
        if decision != "CONTINUE":
            self._try(lambda: self._say(trial_id, step, "decision", decision.lower()))
        value = result.get(self._metric)
        if checks.is_number(value) and math.isfinite(value):
            signed = float(value) if self._minimizes else -float(value)
            if self._incumbent is None or signed < self._incumbent[0]:
                self._incumbent = signed, trial_id
                text = f"{self._metric} {float(value):.6g} at {self._time_attr} {step}"
                self._try(lambda: self._say(trial_id, step, "incumbent", text))
        if decision in ("STOP", "PAUSE"):
            self._try(lambda: self._pause(trial_id))

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """Ends a run; called by the tuner."""
        self._try(lambda: self._pause(trial.trial_id))

    def on_loop_end(self) -> None:
        """Adds the reasons of decisions and resizes; called by the tuner in every iteration of its loop."""
        if self._reader is None or self._has_failed:
            return
        for event in self._reader.read_new():
            trial_id = event.trial_id
            if trial_id is None or trial_id not in self._configs:
                continue
            step = self._steps.get(trial_id, 0)
            if event.event == "decision":
                text = f"{event.details.get('what', 'decision')}: {event.reason}"
                self._try(partial(self._say, trial_id, step, "reason", text))
            elif event.event == "launch":
                values = {ST_NUM_DEVICES: float(len(event.devices))}
                self._try(partial(self._write, trial_id, step, values))

    def on_tuning_end(self) -> None:
        """Ends all runs; called by the tuner."""
        self.on_loop_end()
        incumbent = None if self._incumbent is None else self._incumbent[1]
        self._try(lambda: self._finish(incumbent))

    # Parts of the methods above.

    def _open_run(self, trial: Trial) -> None:
        self._configs[trial.trial_id] = dict(trial.config)
        self._try(lambda: self._open(trial.trial_id, self._configs[trial.trial_id]))

    def _step(self, trial_id: int, level: object) -> int:
        is_level = checks.is_number(level) and math.isfinite(level)
        step = int(level) if is_level else self._steps.get(trial_id, 0) + 1  # type: ignore[call-overload]
        self._steps[trial_id] = step
        return step

    def _try(self, what: Callable[[], None]) -> None:
        if self._has_failed:
            return
        try:
            what()
        except Exception as error:
            self._has_failed = True
            logger.warning(
                "Nothing more is written to %s (%s: %s); the tuning goes on.",
                self._tracker,
                type(error).__name__,
                error,
            )


def _numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a result."""
    return {
        name: float(value)
        for name, value in result.items()
        if name not in _HIDDEN and not name.startswith("config_") and checks.is_number(value) and math.isfinite(value)
    }


def plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with values that every tracker accepts: numbers, booleans and text."""
    return {name: value if isinstance(value, (bool, int, float, str)) else str(value) for name, value in config.items()}
