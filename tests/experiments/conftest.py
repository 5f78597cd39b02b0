from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.events import EventLog
from syne_hypersched.filenames import EVENTS_FILENAME

EPOCH_S = 1.0
LAUNCH_S = 0.25


class SimulatedRun:
    """A small elastic run, written as backend and tuner write theirs.

    Trials train one epoch after another, are paused and resumed at random, and grow from one to two devices once
    admission has closed. A launch takes ``LAUNCH_S``, an epoch ``EPOCH_S`` divided by the number of devices.
    """

    def __init__(self, path: Path, num_devices: int, deadline_s: float, seed: int) -> None:
        self.path = path
        self.deadline_s = deadline_s
        self.now_s = 0.0
        self.random = random.Random(seed)
        self.pool = DevicePool(tuple(f"cpu{index}" for index in range(num_devices)))
        self.log = EventLog(path / EVENTS_FILENAME, lambda: self.now_s, lambda: 1.8e9 + self.now_s)
        self.rows: list[dict[str, Any]] = []
        self.epochs: dict[int, int] = {}
        self.launches: dict[int, int] = {}
        self.worker_time_s: dict[int, float] = {}
        self.next_report_s: dict[int, float] = {}
        self.signal_s: dict[int, float] = {}
        self.paused: list[int] = []
        self.admission_open = True

    def run(self) -> None:
        self.log.write("setup", devices=self.pool.devices, mode="warm", deadline_s=self.deadline_s)
        while self.now_s < self.deadline_s:
            while self.admission_open and self.pool.num_free:
                self.start_or_resume()
            if not self.next_report_s:
                break
            trial_id = min(self.next_report_s, key=self.next_report_s.__getitem__)
            self.now_s = self.next_report_s[trial_id]
            self.admission_open = self.now_s < self.deadline_s / 2
            self.report(trial_id)
            others = len(self.next_report_s) > 1
            if (self.admission_open or others) and self.random.random() < 0.3:
                self.log.write("pause", trial_id, self.pool.held_by(trial_id), self.launches[trial_id])
                self.end(trial_id, "pause")
                self.paused.append(trial_id)
            elif not self.admission_open and self.pool.num_free and len(self.pool.held_by(trial_id)) == 1:
                self.log.write(
                    "resize", trial_id, self.pool.held_by(trial_id), self.launches[trial_id], **{"from": 1, "to": 2}
                )
                self.end(trial_id, "resize")
                self.launch(trial_id, 2)
        for trial_id in list(self.next_report_s):
            self.end(trial_id, "deadline")
        self.log.close()
        self.write_results()

    def start_or_resume(self) -> None:
        if self.paused and self.random.random() < 0.5:
            trial_id, event = self.paused.pop(0), "resume"
        else:
            trial_id, event = len(self.epochs), "start"
            self.epochs[trial_id], self.worker_time_s[trial_id], self.launches[trial_id] = 0, 0.0, -1
        self.signal_s[trial_id] = self.now_s
        self.log.write(event, trial_id)
        self.launch(trial_id, 1)

    def launch(self, trial_id: int, num_devices: int) -> None:
        devices = self.pool.acquire(trial_id, num_devices)
        self.launches[trial_id] += 1
        self.log.write("launch", trial_id, devices, self.launches[trial_id])
        self.next_report_s[trial_id] = self.now_s + LAUNCH_S + EPOCH_S / num_devices + 0.01 * self.random.random()

    def end(self, trial_id: int, reason: str) -> None:
        devices = self.pool.held_by(trial_id)
        self.signal_s[trial_id] = self.now_s
        self.log.write("drain", trial_id, devices, self.launches[trial_id], reason)
        self.pool.release(trial_id)
        self.log.write(
            "exit", trial_id, devices, self.launches[trial_id], reason, how="drained", exit_code=-15, drain_s=0.0
        )
        del self.next_report_s[trial_id]

    def report(self, trial_id: int) -> None:
        num_devices = len(self.pool.held_by(trial_id))
        self.epochs[trial_id] += 1
        self.worker_time_s[trial_id] += EPOCH_S / num_devices
        row = {
            "epoch": self.epochs[trial_id],
            "accuracy": 1.0 - 0.9 ** self.epochs[trial_id] * (0.5 + 0.01 * trial_id),
            "st_worker_time": self.worker_time_s[trial_id],
            "st_worker_iter": self.epochs[trial_id] - 1,
            "st_num_devices": num_devices,
            "st_launch": self.launches[trial_id],
            "st_admission_open": self.admission_open,
            "st_decision": "CONTINUE",
            "trial_id": trial_id,
            "st_tuner_time": self.now_s,
            "config_learning_rate": 0.1 / (1 + trial_id),
        }
        if trial_id in self.signal_s:
            row["st_signal_to_report_s"] = self.now_s - self.signal_s.pop(trial_id)
        self.rows.append(row)
        self.next_report_s[trial_id] = self.now_s + EPOCH_S / num_devices

    def write_results(self) -> None:
        pd.DataFrame(self.rows).to_csv(self.path / "results.csv.zip", index=False)
        metadata = {
            "metric_names": ["accuracy"],
            "metric_mode": "max",
            "scheduler_name": "HyperSched",
            "scheduler_kwargs": {"time_attr": "epoch"},
        }
        (self.path / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")


@pytest.fixture
def simulate(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a run and returns its folder."""

    def write(num_devices: int = 2, deadline_s: float = 30.0, seed: int = 0) -> Path:
        path = tmp_path_factory.mktemp("run")
        SimulatedRun(path, num_devices, deadline_s, seed).run()
        return path

    return write
