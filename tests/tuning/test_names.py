from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import dill
import pytest
from syne_tune.backend.trial_status import Trial

from syne_hypersched.experiments import MissingEntryError
from syne_hypersched.tuning._names import MOST_REPORTS, NameGuard

WRONG = {"step": 1, "acc": 0.5, "st_worker_iter": 0}
RIGHT = {"epoch": 1, "loss": 0.5}


def begin(*before: dict[str, Any]) -> NameGuard:
    guard = NameGuard()
    scheduler = SimpleNamespace(metric_names=lambda: ["loss"], metric_mode=lambda: "min", time_attr="epoch")
    tuner: Any = SimpleNamespace(scheduler=scheduler, last_seen_result_per_trial=dict(enumerate(before)))
    guard.on_tuning_start(tuner)
    return dill.loads(dill.dumps(guard))  # it is stored with its tuner


def report(guard: NameGuard, trial_id: int, result: dict[str, Any], times: int = 1) -> None:
    for _ in range(times):
        guard.on_trial_result(Trial(trial_id, {}, datetime.now()), "InProgress", result, "CONTINUE")


def test_a_trial_that_reports_often_without_the_metric_ends_the_tuning() -> None:
    guard = begin()
    report(guard, 0, WRONG, MOST_REPORTS - 1)
    report(guard, 1, WRONG, MOST_REPORTS - 1)
    with pytest.raises(MissingEntryError, match=r"^the script reports step, acc; the metric is loss$"):
        report(guard, 1, WRONG)


def test_trials_that_end_without_the_metric_end_the_tuning() -> None:
    guard = begin()
    for trial_id in range(9):
        report(guard, trial_id, WRONG, 2)
        guard.on_trial_complete(Trial(trial_id, {}, datetime.now()), WRONG)
    with pytest.raises(MissingEntryError):
        report(guard, 9, WRONG, 2)


def test_the_resource_level_is_needed_too() -> None:
    with pytest.raises(MissingEntryError, match=r"^the script reports loss; the resource level is epoch$"):
        report(begin(), 0, {"loss": 0.5}, MOST_REPORTS)


def test_a_script_that_reports_the_metric_now_and_then_goes_on() -> None:
    guard = begin()
    for trial_id in range(8):
        report(guard, trial_id, {"epoch": 1, "train_loss": 0.5}, 5)
    report(guard, 0, RIGHT)
    report(guard, 1, WRONG, 10 * MOST_REPORTS)
    guard.on_trial_complete(Trial(1, {}, datetime.now()), WRONG)


def test_what_the_tuner_before_has_received_counts() -> None:
    report(begin(WRONG, RIGHT), 0, WRONG, 2 * MOST_REPORTS)
    with pytest.raises(MissingEntryError):
        report(begin(WRONG), 0, WRONG, MOST_REPORTS)
