"""Reads what a run writes, as it is written, and never writes itself."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from syne_tune.constants import (
    ST_RESULTS_DATAFRAME_FILENAME,
    ST_TRIAL_ID,
    ST_TUNER_TIME,
    ST_WORKER_TIMESTAMP,
)

from syne_hypersched._log_tail import LogTail
from syne_hypersched.experiments._results import config_in_folder, read_rows
from syne_hypersched.experiments._run import MissingEntryError, read_goal, reports_of_rows
from syne_hypersched.experiments.page._journal_tail import JournalRewound, JournalTail
from syne_hypersched.experiments.page._logs import last_lines
from syne_hypersched.experiments.page._state import PageState
from syne_hypersched.filenames import EVENTS_FILENAME, JOURNAL_DIRNAME, STDOUT_FILENAME
from syne_hypersched.records.events import EventReader
from syne_hypersched.records.find import find_run

#: Logs of at most this many failed trials are read, the latest failures first.
_MOST_LOGS = 500
#: The costs of the launches are computed again as often as this takes no more than this share of the time.
_SHARE_OF_COSTS = 0.005


class RunReader:
    """Reads a run as it is written; each call of :meth:`update` costs what is new.

    .. code-block:: python

        reader = RunReader("my-experiment")
        reader.update()  # call it again for what was written since

    Events come from ``events.jsonl``. Reports come from the journal, if there is one; else from the table of results,
    which a tuner writes every ten seconds or so, and from the logs of the trials for what the table lacks yet.

    Parameters
    ----------
    path
        The experiment's folder or name.
    time_attr
        Entry of the results that is the resource level; by default the scheduler's own ``time_attr``.

    Raises
    ------
    FileNotFoundError
        There is no such experiment.
    ValueError
        ``metadata.json`` cannot be used, as in :func:`~syne_hypersched.experiments.load_run`.
    """

    def __init__(self, path: Path | str, time_attr: str | None = None) -> None:
        self.path = find_run(path)
        self.goal = read_goal(self.path, time_attr)
        self.generation = 0
        """Increased when everything was read again: what was read before no longer counts."""
        self._begin()

    def _begin(self) -> None:
        self.state = PageState(self.goal)
        self.problems: dict[str, str] = {}
        self.missing = ""
        """Which entry no report has had so far, in words; empty if there is none, or no report."""
        self._events = EventReader(self.path / EVENTS_FILENAME, strict=False)
        self._journal = JournalTail(self.path / JOURNAL_DIRNAME)
        self._table_changed: tuple[int, int] | None = None
        self._num_rows = 0
        #: The highest level of each trial in the table, or in its log.
        self._furthest: dict[int, float] = defaultdict(float)
        self._logs: dict[int, LogTail] = {}
        self._costs_at = 0.0
        self._costs_took_s = 0.0
        self._costs_of = -1

    def update(self) -> PageState:
        """Reads what is new, and returns the state of the run."""
        try:
            self._read()
        except JournalRewound:
            # A tuner that has resumed the run has refused the last lines of the one before.
            self.generation += 1
            self._begin()
            self._read()
        self._read_failures()
        self._update_costs()
        return self.state

    def _read(self) -> None:
        self._read_events()
        try:
            rows, configs = self._journal.read_new()
        except (OSError, ValueError) as error:
            self.problems["journal"] = f"the journal cannot be read: {error}"
            rows, configs = [], {}
        for trial_id, config in configs.items():
            self.state.set_config(trial_id, config)
        if self._journal.num_results:
            self._add(rows, JOURNAL_DIRNAME)
        else:
            self._read_table()
            self._read_logs()
        self._read_configs()

    def _read_events(self) -> None:
        try:
            for event in self._events.read_new():
                self.state.add_event(event)
        except OSError as error:
            self.problems["events"] = f"{EVENTS_FILENAME} cannot be read ({error.strerror})"
        if self._events.num_left_out:
            self.problems["events"] = f"{self._events.num_left_out} lines of {EVENTS_FILENAME} are no events"

    def _add(self, rows: list[dict[str, Any]], source: str) -> None:
        if not rows:
            return
        try:
            reports, configs, problem = reports_of_rows(rows, self.path / source, self.goal)
        except MissingEntryError as error:
            if not self.state.num_reports:  # else they are others than those that are compared
                self.missing = str(error)
            return
        self.missing = ""
        if problem:
            self.problems[source] = problem
        for trial_id, config in configs.items():
            self.state.set_config(trial_id, config)
        for report in reports:
            self._furthest[report.trial_id] = max(self._furthest[report.trial_id], report.resource)
            self.state.add_report(report)

    def _read_table(self) -> None:
        try:
            status = (self.path / ST_RESULTS_DATAFRAME_FILENAME).stat()
        except OSError:
            return
        changed = (status.st_mtime_ns, status.st_size)
        if changed == self._table_changed:
            return
        rows, problem = read_rows(self.path)
        if problem:
            # It may be that it is just being written.
            self.problems["table"] = problem
            return
        if self._logs:
            # The table says more of what the logs have told already: devices, decisions, costs of launches.
            told_by_logs = {*self._logs}
            self.generation += 1
            self._begin()
            self._logs = {trial_id: self._tail(trial_id) for trial_id in told_by_logs}
            self._read_events()
        self.problems.pop("table", None)
        self._table_changed = changed
        new, self._num_rows = rows[self._num_rows :], len(rows)
        self._add(new, ST_RESULTS_DATAFRAME_FILENAME)

    def _read_logs(self) -> None:
        """Reports that the table lacks yet, from the logs of the trials that hold devices or did until lately."""
        state = self.state
        if state.is_simulated:
            return
        for trial_id in {*self._logs, *state.hosts}:
            tail = self._logs.setdefault(trial_id, self._tail(trial_id))
            try:
                found = tail.reports()
            except OSError:
                found = []
            rows = []
            for raw in found:
                level = raw.values.get(self.goal.time_attr)
                if isinstance(level, (int, float)) and level > self._furthest[trial_id]:
                    told_s = self._time_of(state.stamp(trial_id, raw.values.get(ST_WORKER_TIMESTAMP)))
                    rows.append({**raw.values, ST_TRIAL_ID: trial_id, ST_TUNER_TIME: told_s})
            self._add(rows, f"{trial_id}/{STDOUT_FILENAME}")
            # A trial that is over is forgotten once the table has all of its reports.
            if trial_id not in state.hosts and not found:
                tail.close()

    def _tail(self, trial_id: int) -> LogTail:
        return LogTail(self.path / str(trial_id) / STDOUT_FILENAME)

    def _time_of(self, timestamp: Any) -> float:
        state = self.state
        if isinstance(timestamp, (int, float)) and state.last_timestamp is not None:
            return max(0.0, state.last_s + timestamp - state.last_timestamp)
        return state.last_s

    def _read_configs(self) -> None:
        """Configurations of trials that have not reported yet; only backends with processes write them."""
        if self.state.is_simulated:
            return
        for trial_id in list(self.state.without_config):
            if (config := config_in_folder(self.path, trial_id)) is not None:
                self.state.set_config(trial_id, config)

    def _read_failures(self) -> None:
        """The last lines of the logs of trials that have failed."""
        latest = sorted(self.state.failures.values(), key=lambda failure: -failure.time_s)[:_MOST_LOGS]
        for failure in latest:
            if failure.lines is None:
                failure.lines = last_lines(self.path, failure.trial_id, failure.log)

    def _update_costs(self) -> None:
        now = time.monotonic()
        if self._costs_of == self.state.seq or now - self._costs_at < self._costs_took_s / _SHARE_OF_COSTS:
            return
        self.state.update_costs()
        self._costs_of = self.state.seq
        self._costs_at, self._costs_took_s = time.monotonic(), time.monotonic() - now
