"""One trial that is paused, resized and killed in a save, and one that is left in peace, of the same script.

The script is told as ``which`` whether it is the first one, 0, or the second one.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import randint
from syne_tune.optimizer.scheduler import TrialSuggestion

from syne_hypersched import ASHA, ElasticLocalBackend
from syne_hypersched._tables import read_csv
from syne_hypersched.experiments import check_run, load_run, read_events

#: Resizes, and a pause, after the reports of the disturbed trial.
PLAN: dict[int, Any] = {1: 2, 2: "pause", 3: 2, 5: 1}
MAX_T = 6

#: The beginning of scripts. The first trial waits where its plan disturbs it, so that nothing depends on speed.
BEGIN = """
import argparse, os, signal, time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--st_checkpoint_dir")
parser.add_argument("--which", type=int)
parser.add_argument("--option", default="")
parser.add_argument("--waits")
args = parser.parse_args()
trial_folder = Path(args.st_checkpoint_dir).parent
is_first = int(os.environ.get("RANK", 0)) == 0

def once(name):
    marker = trial_folder / name
    if args.which != 0 or not is_first or marker.exists():
        return False
    marker.touch()
    return True

waits = [int(level) for level in args.waits.split(",")]
levels = []

def wait_for_sigterm(level, has_come):
    # Called at each step, with the level that was reported last; not in the launch that begins there.
    if not levels or level > levels[-1]:
        levels.append(level)
        if len(levels) > 1 and level in waits and once(f"waited-{level}"):
            while not has_come():
                time.sleep(0.002)

def die_writing(path):
    file = open(path, "wb")
    file.write(b"torn")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


class Scripted(ASHA):
    """Runs two trials of one configuration after each other, and disturbs the first one by a plan."""

    def __init__(self, config: dict[str, Any], time_attr: str, metric: str, plan: dict[int, Any], max_t: int) -> None:
        super().__init__(
            {**config, "which": randint(0, 1)}, metric, time_attr=time_attr, max_t=max_t, grace_period=max_t,
            type="stopping", points_to_evaluate=[{"which": 0}, {"which": 1}], random_seed=0,
        )  # fmt: skip
        self._plan = dict(plan)
        self._num_started = 0
        self._paused: int | None = None

    def suggest(self) -> TrialSuggestion | None:
        if self._paused is not None:
            trial_id, self._paused = self._paused, None
            return TrialSuggestion.resume_suggestion(trial_id=trial_id)
        if self._num_started == 2:
            return None
        self._num_started += 1
        return super().suggest()

    def on_trial_result(self, trial: Any, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(trial=trial, result=result)
        action = self._plan.pop(result[self.time_attr], None) if trial.trial_id == 0 else None
        if decision != "CONTINUE" or action is None:
            return decision
        if action == "pause":
            self._paused = trial.trial_id
            return "PAUSE"
        trial.resize(action)
        return decision


@dataclass
class Outcome:
    """What came out."""

    path: Path
    rows: Any
    events: list[Any]
    time_attr: str
    logs: dict[int, str] = field(default_factory=dict)

    def levels(self, trial_id: int) -> list[int]:
        return list(self.rows[self.rows.trial_id == trial_id][self.time_attr])

    def values(self, trial_id: int, metric: str) -> list[float]:
        return list(self.rows[self.rows.trial_id == trial_id][metric])

    def devices(self) -> list[int]:
        return list(self.rows[self.rows.trial_id == 0].st_num_devices)

    @property
    def best(self) -> Path:
        return self.path / "best" / "checkpoint"

    def failures(self) -> list[Any]:
        return [event for event in self.events if event.event == "retry"]


def tune(
    folder: Path, script: str, *, time_attr: str = "epoch", metric: str = "loss", max_t: int = MAX_T,
    plan: dict[int, Any] | None = None, config: dict[str, Any] | None = None, num_devices: int = 2, **options: Any,
) -> Outcome:  # fmt: skip
    """Tunes a script for real, and checks what holds in every run."""
    path = folder / "train.py"
    path.write_text(BEGIN + textwrap.dedent(script))
    backend = ElasticLocalBackend(
        path, num_devices, **{"device_type": "cpu", "grace_s": 60.0, "retry_backoff_s": 0.05, **options}
    )
    plan = PLAN if plan is None else plan
    waits = ",".join(map(str, plan))
    scheduler = Scripted({"epochs": max_t, "waits": waits, **(config or {})}, time_attr, metric, plan, max_t)
    tuner = Tuner(
        backend, scheduler, StoppingCriterion(max_num_trials_finished=2), n_workers=1, sleep_time=0.02,
        results_update_interval=1, max_failures=1, tuner_name="test",
    )  # fmt: skip
    tuner.run()
    logs = {trial: "".join(backend.stdout(trial) + backend.stderr(trial)) for trial in range(2)}
    rows = read_csv(tuner.tuner_path / "results.csv.zip")
    outcome = Outcome(tuner.tuner_path, rows, read_events(tuner.tuner_path / "events.jsonl"), time_attr, logs)
    failed = [event for event in outcome.events if event.event == "fail"]
    assert not failed, "\n".join(logs.values())[-6000:]
    assert check_run(load_run(tuner.tuner_path, time_attr=time_attr), step=1) == ()
    for trial in range(2):  # nothing twice, nothing missing
        assert outcome.levels(trial) == list(range(1, max_t + 1)), logs[trial][-6000:]
    if plan == PLAN:
        assert outcome.devices() == [1, 2, 1, 2, 2, 1]
    result = json.loads((tuner.tuner_path / "best" / "result.json").read_text())
    assert result[metric] == pytest.approx(min(rows[metric]), rel=1e-6)
    return outcome
