"""Trials of an elastic local backend, driven by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from syne_tune.backend.trial_status import Status

from syne_hypersched import ElasticLocalBackend
from syne_hypersched.backends import ElasticTrial
from syne_hypersched.experiments import Event, read_events


class Trials:
    """A backend with two CPU slots, and its reports."""

    def __init__(self, folder: Path, script: str, wait_for: Callable[..., None], **options: Any) -> None:
        path = folder / "train.py"
        path.write_text(script)
        defaults = {"num_devices": 2, "device_type": "cpu", "grace_s": 20.0, "time_attr": "epoch"}
        self.backend = ElasticLocalBackend(path, **(defaults | options))
        self.backend.set_path(str(folder / "run"))
        self.folder = folder / "run"
        self.wait_for = wait_for
        self.ids: list[int] = []
        self.reports: list[dict[str, Any]] = []
        #: Epochs that each trial has reported.
        self.epochs: dict[int, list[int]] = {}
        self.status: dict[int, str] = {}

    def start(self, **config: Any) -> ElasticTrial:
        trial = self.backend.start_trial(config)
        self.ids.append(trial.trial_id)
        self.epochs[trial.trial_id] = []
        return trial

    def poll(self) -> None:
        statuses, reports = self.backend.fetch_status_results(self.ids)
        self.status = {trial_id: status for trial_id, (_, status) in statuses.items()}
        for trial_id, report in reports:
            self.reports.append(report)
            self.epochs[trial_id].append(report.get("epoch"))

    def until(self, condition: Callable[[], object]) -> None:
        """Polls until a condition holds."""

        def polled() -> object:
            self.poll()
            return condition()

        self.wait_for(polled)

    def until_ended(self, trial_id: int = 0) -> str:
        """Polls until a trial is no longer in progress; returns its status."""
        self.until(lambda: self.status[trial_id] != Status.in_progress)
        return self.status[trial_id]

    def events(self, *events: str) -> list[Event]:
        return [each for each in read_events(self.folder / "events.jsonl") if each.event in events]

    def ends(self) -> list[str]:
        """How each launch has ended."""
        return [event.details["how"] for event in self.events("exit")]
