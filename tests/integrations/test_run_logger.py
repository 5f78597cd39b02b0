"""What the loggers have in common: which calls of a tuner write what."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
from syne_tune.backend.trial_status import Trial

from syne_hypersched.integrations._run_logger import RunLogger, plain


class FailingLogger(RunLogger):
    """A tracker whose server is gone after the first trial."""

    def __init__(self):
        super().__init__("the tracker")
        self.calls = []

    def _begin(self):
        self.calls.append("begin")

    def _open(self, trial_id, config):
        self.calls.append(f"open {trial_id}")
        if trial_id:
            raise ConnectionError("no route to host")

    def _write(self, trial_id, step, values):
        self.calls.append(f"write {trial_id} {step} {sorted(values)}")

    def _say(self, trial_id, step, name, text):
        self.calls.append(f"say {trial_id} {step} {name} {text}")

    def _pause(self, trial_id):
        self.calls.append(f"pause {trial_id}")

    def _finish(self, incumbent):
        self.calls.append(f"finish {incumbent}")


def trial(trial_id):
    return Trial(trial_id, {"x": 0.5}, None)


def test_what_is_said_of_a_trial():
    logger = FailingLogger()
    logger._metric, logger._minimizes = "acc", False
    logger.on_start_trial(trial(0))
    result = {
        "epoch": 2,
        "acc": 0.5,
        "name": "x",
        "flag": True,
        "bad": float("nan"),
        "st_num_devices": 2,
        "config_x": 1,
        "st_tuner_time": 3.0,
    }
    logger.on_trial_result(trial(0), "InProgress", result, "CONTINUE")
    logger.on_trial_result(trial(0), "InProgress", {"epoch": 3, "acc": 0.4}, "PAUSE")
    logger.on_resume_trial(trial(0))
    logger.on_trial_result(trial(0), "InProgress", {"acc": 0.6}, "STOP")
    logger.on_tuning_end()
    assert logger.calls == [
        "open 0",
        "write 0 2 ['acc', 'epoch', 'st_num_devices']",
        "say 0 2 incumbent acc 0.5 at epoch 2",
        "write 0 3 ['acc', 'epoch']",
        "say 0 3 decision pause",
        "pause 0",
        "open 0",
        "write 0 4 ['acc']",
        "say 0 4 decision stop",
        "say 0 4 incumbent acc 0.6 at epoch 4",
        "pause 0",
        "finish 0",
    ]


def test_a_tracker_that_fails_does_not_end_the_tuning(caplog):
    logger = FailingLogger()
    logger.on_start_trial(trial(0))
    logger.on_start_trial(trial(1))
    before = list(logger.calls)
    logger.on_trial_result(trial(0), "InProgress", {"epoch": 1, "loss": 1.0}, "STOP")
    logger.on_tuning_end()
    assert logger.calls == before == ["open 0", "open 1"]
    assert caplog.text.count("Nothing more is written to the tracker (ConnectionError: no route to host)") == 1


def begin(logger, folder, mode="min"):
    scheduler = SimpleNamespace(metric_names=lambda: ["acc"], metric_mode=lambda: mode, time_attr="round")
    logger.on_tuning_start(SimpleNamespace(name="digits", tuner_path=str(folder), scheduler=scheduler))


@pytest.mark.parametrize(("mode", "best"), [("min", 0), ("max", 1)])
def test_the_incumbent_is_that_of_the_schedulers_goal(mode, best, tmp_path):
    logger = FailingLogger()
    begin(logger, tmp_path, mode)
    for trial_id, value in ((0, 0.1), (2, math.inf), (3, "high")):
        logger._configs[trial_id] = {}
        logger.on_trial_result(trial(trial_id), "InProgress", {"round": 1, "acc": value}, "CONTINUE")
    logger._configs[1] = {}
    logger.on_trial_result(trial(1), "InProgress", {"round": 1, "acc": 0.9}, "CONTINUE")
    logger.on_tuning_end()
    assert logger.calls[0] == "begin"
    assert logger.calls[-1] == f"finish {best}"
    assert next(call for call in logger.calls if "incumbent" in call) == "say 0 1 incumbent acc 0.1 at round 1"


def test_a_trial_that_is_not_known_is_opened_first_and_pauses_at_its_end(tmp_path):
    logger = FailingLogger()
    begin(logger, tmp_path)
    logger.on_trial_result(trial(0), "InProgress", {"round": 1}, "CONTINUE")
    logger.on_trial_complete(trial(0), {})
    logger.on_tuning_end()
    assert logger.calls == ["begin", "open 0", "write 0 1 ['round']", "pause 0", "finish None"]


def test_reasons_and_devices_come_from_the_events(tmp_path):
    logger = FailingLogger()
    begin(logger, tmp_path)
    logger.on_loop_end()
    lines = [
        {"event": "launch", "trial_id": 0, "devices": ["gpu0", "gpu1"]},
        {"event": "decision", "trial_id": 0, "what": "resize", "reason": "it pays"},
        {"event": "exit", "trial_id": 0},
        {"event": "decision", "trial_id": 5, "what": "stop", "reason": "of an unknown trial"},
        {"event": "decision", "trial_id": None, "what": "close", "reason": "late"},
    ]
    with (tmp_path / "events.jsonl").open("w") as file:
        file.writelines(json.dumps({"time_s": 1.0, **line}) + "\n" for line in lines)
    logger.on_start_trial(trial(0))
    logger.on_trial_result(trial(0), "InProgress", {"round": 4}, "CONTINUE")
    for _ in range(2):
        logger.on_loop_end()
    assert logger.calls[3:] == ["write 0 4 ['st_num_devices']", "say 0 4 reason resize: it pays"]


def test_values_that_every_tracker_takes():
    config = {"a": 1, "b": 0.5, "c": True, "d": "x", "e": None, "f": [1, 2]}
    assert plain(config) == {"a": 1, "b": 0.5, "c": True, "d": "x", "e": "None", "f": "[1, 2]"}
