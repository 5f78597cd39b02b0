"""Runs on the disk for the tests of the page, with texts that a page must not take for its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from syne_hypersched.experiments._run import Report, RunGoal
from syne_hypersched.experiments.page._state import PageState
from syne_hypersched.filenames import EVENTS_FILENAME
from syne_hypersched.records.events import Event
from tests.experiments.clusters import ClusterRun

HOSTILE = "<img src=x onerror=\"document.title='taken over'\"></script><script>document.title='taken over'</script>"
"""A text that takes a page over that does not escape it."""


class WrittenRun:
    """A run without processes, whose files are written step by step as a tuner with a journal writes them.

    Parameters
    ----------
    path
        Folder of the run.
    num_devices
        Number of devices, of two machines.
    begun
        Timestamp at which the tuning started.
    """

    def __init__(self, path: Path, num_devices: int = 4, begun: float | None = None, has_journal: bool = True) -> None:
        self.path = path
        self.begun = time.time() - 100.0 if begun is None else begun
        self.now_s = 0.0
        self.devices = [f"node{index * 2 // num_devices}/gpu{index}" for index in range(num_devices)]
        self.launches: dict[int, int] = {}
        self.held: dict[int, list[str]] = {}
        self.worker_s: dict[int, float] = {}
        path.mkdir(parents=True, exist_ok=True)
        options = {"time_attr": "epoch", "grace_period": 1, "reduction_factor": 3, "max_t": 9, "deadline_s": 200.0}
        metadata = {
            "metric_names": ["accuracy"], "metric_mode": "max", "scheduler_name": "HyperSched",
            "backend": "ElasticLocalBackend", "scheduler_kwargs": options,
        }  # fmt: skip
        (path / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
        self.journal = path / "journal" / "000000.jsonl" if has_journal else None
        if self.journal is not None:
            self.journal.parent.mkdir()
            self._append(self.journal, {"format": 1, "num_before": 0, "time_s": 0.0})
        self.event("setup", devices=self.devices, mode="warm", deadline_s=200.0)

    def event(
        self, event: str, trial_id: int | None = None, devices: Any = (), launch: int | None = None, **details: Any
    ):
        line = {"time_s": self.now_s, "timestamp": self.begun + self.now_s, "trial_id": trial_id, "event": event}
        line |= {"devices": list(devices), "num_devices": len(devices), "launch": launch, "reason": ""}
        self._append(self.path / EVENTS_FILENAME, line | details)

    def start(self, trial_id: int, num_devices: int = 1, **config: Any) -> None:
        self.event("start", trial_id)
        if self.journal is not None:
            entry = {"call": "add", "time_s": self.now_s, "trial_id": trial_id, "config": config}
            self._append(self.journal, entry)
        self.launch(trial_id, num_devices)

    def launch(self, trial_id: int, num_devices: int = 1) -> None:
        taken = {device for devices in self.held.values() for device in devices}
        self.held[trial_id] = [device for device in self.devices if device not in taken][:num_devices]
        self.launches[trial_id] = self.launches.get(trial_id, -1) + 1
        self.event("launch", trial_id, self.held[trial_id], self.launches[trial_id], wait_s=0.5)

    def report(self, trial_id: int, epoch: int, accuracy: float, after_s: float = 2.0, is_first: bool = False) -> None:
        self.now_s += after_s
        self.worker_s[trial_id] = self.worker_s.get(trial_id, 0.0) + after_s / 2
        values = {
            "epoch": epoch, "accuracy": accuracy, "st_worker_timestamp": self.begun + self.now_s - 0.25,
            "st_worker_time": self.worker_s[trial_id], "st_worker_iter": epoch - 1,
            "st_launch": self.launches[trial_id], "st_num_devices": len(self.held[trial_id]),
        }  # fmt: skip
        if is_first:
            values["st_signal_to_report_s"] = after_s
        if self.journal is not None:
            entry = {"call": "result", "time_s": self.now_s, "trial_id": trial_id, "report": values}
            self._append(self.journal, entry | {"decision": "CONTINUE", "added": {"st_admission_open": True}})
        else:
            log = self.path / str(trial_id) / "std.out"
            log.parent.mkdir(exist_ok=True)
            shown = {name: value for name, value in values.items() if name not in ("st_launch", "st_num_devices")}
            with log.open("a", encoding="utf-8") as file:
                file.write(f"[tune-metric]: {json.dumps(shown)}\n")

    def decide(self, what: str, trial_id: int, reason: str, **numbers: float) -> None:
        devices, launch = self.held.get(trial_id, []), self.launches.get(trial_id)
        self.event("decision", trial_id, devices, launch, reason=reason, what=what, numbers=numbers)

    def exit(self, trial_id: int, how: str, reason: str = "") -> None:
        devices, launch = self.held.pop(trial_id), self.launches[trial_id]
        if reason:
            self.event("drain", trial_id, devices, launch, reason=reason)
            self.now_s += 0.5
        self.event("exit", trial_id, devices, launch, reason=reason, how=how, exit_code=1 if how == "failed" else -15)

    def fail(self, trial_id: int, lines: str) -> None:
        log = self.path / str(trial_id) / "std.err"
        log.parent.mkdir(exist_ok=True)
        log.write_text(lines, encoding="utf-8")
        self.exit(trial_id, "failed")
        self.event("fail", trial_id, (), self.launches[trial_id], exit_code=1, log=str(log))

    @staticmethod
    def _append(path: Path, line: dict[str, Any]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def write_example(path: Path, **options: Any) -> WrittenRun:
    """A run with a resize, a pause, a failure and texts to be escaped; trials 0 and 3 hold devices at its end."""
    run = WrittenRun(path, **options)
    run.start(0, lr=0.1, width=32, act=HOSTILE)
    run.start(1, lr=0.01, width=64, act="relu")
    run.start(2, lr=0.001, width=16, act="relu")
    run.report(0, 1, 0.5, is_first=True)
    run.report(1, 1, 0.4, is_first=True)
    run.report(0, 2, 0.6)
    run.report(0, 3, 0.7)
    run.fail(2, f"Traceback (most recent call last):\n\x1b[31mRuntimeError\x1b[0m: {HOSTILE}\n")
    run.decide("pause", 1, f"rank 2 of 2 at the rung of level 1 {HOSTILE}", rung=1, rank=2)
    run.exit(1, "drained", "pause")
    run.event("pause", 1)
    run.decide("resize", 0, "grows from 1 to 3 devices: rank 1 of 1", from_devices=1, to_devices=3)
    run.event("resize", 0, run.held[0], 0, reason="from 1 to 3", **{"from": 1, "to": 3})
    run.exit(0, "drained", "resize")
    run.launch(0, 3)
    run.start(3, lr=0.02, width=8, act="gelu")
    run.report(0, 4, 0.8, is_first=True)
    return run


def write_cluster(path: Path, made: ClusterRun) -> Path:
    """The files of a run on a cluster, as a tuner with a journal leaves them."""
    written = WrittenRun(path, num_devices=0)
    (path / EVENTS_FILENAME).unlink()
    for event in made.run.events:
        written.now_s = event.time_s
        details = {**event.details, "reason": event.reason}
        written.event(event.event, event.trial_id, event.devices, event.launch, **details)
        if event.event == "start":
            entry = {"call": "add", "time_s": event.time_s, "trial_id": event.trial_id}
            written._append(written.journal, entry | {"config": {"lr": 0.1 / (event.trial_id + 1)}})
    for report in made.run.reports:
        values = {
            "epoch": report.resource, "accuracy": 1 - report.value, "st_worker_time": report.time_s,
            "st_worker_timestamp": written.begun + report.time_s, "st_worker_iter": report.resource - 1,
            "st_launch": report.launch, "st_num_devices": report.num_devices,
        }  # fmt: skip
        entry = {"call": "result", "time_s": report.time_s, "trial_id": report.trial_id, "report": values}
        written._append(written.journal, entry | {"decision": "CONTINUE", "added": {"st_admission_open": True}})
    return path


def state_of(goal: RunGoal, events: Iterable[Event], reports: Iterable[Report]) -> PageState:
    """The state after all events and reports."""
    state = PageState(goal)
    for event in events:
        state.add_event(event)
    for report in reports:
        state.add_report(report)
    return state
