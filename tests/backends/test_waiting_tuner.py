"""A tuner that waits for its trials also ends at the deadline, and at other stop criteria."""

from __future__ import annotations

import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.trial_status import Status
from syne_tune.config_space import uniform

from syne_hypersched import (
    ASHA,
    PASHA,
    Deadline,
    ElasticLocalBackend,
    ElasticPythonBackend,
    ElasticSimulatorBackend,
    HyperSched,
    LaunchCost,
)
from syne_hypersched.experiments import read_events
from tests.backends.virtual.curves import RoundCurves

pytestmark = pytest.mark.usefixtures("no_process_left")
SPACE = {"x": uniform(0, 1)}
MAX_T = 10_000
SCRIPT = """
import json, signal, sys, time
x = float(sys.argv[sys.argv.index("--x") + 1])
for epoch in range(1, 10_001):
    time.sleep(0.02)
    print("[tune-metric]: " + json.dumps({"epoch": epoch, "loss": x + 1 / epoch}), flush=True)
"""


def train(x):
    import json
    import time

    for epoch in range(1, 10_001):
        time.sleep(0.02)
        print("[tune-metric]: " + json.dumps({"epoch": epoch, "loss": x + 1 / epoch}), flush=True)


def make_backend(kind, folder):
    options = {"device_type": "cpu", "grace_s": 0.5, "preload": ()}
    if kind == "local":
        (folder / "train.py").write_text(SCRIPT)
        return ElasticLocalBackend(folder / "train.py", 2, **options), 1.0
    if kind == "function":
        return ElasticPythonBackend(train, SPACE, 2, **options), 1.0
    return ElasticSimulatorBackend(RoundCurves(MAX_T), "elapsed_s", 2, launch_cost=LaunchCost(2, drain_s=1)), 60.0


SCHEDULERS = {
    "adaptive": lambda deadline_s: HyperSched(SPACE, "loss", "epoch", MAX_T, num_devices=2, deadline_s=deadline_s),
    "published": lambda deadline_s: HyperSched(
        SPACE, "loss", "epoch", MAX_T, num_devices=2, deadline_s=deadline_s, strategy="published"
    ),
    "asha": lambda deadline_s: ASHA(SPACE, "loss", "epoch", MAX_T),
    "promotion": lambda deadline_s: ASHA(SPACE, "loss", "epoch", MAX_T, type="promotion"),
    "pasha": lambda deadline_s: PASHA(SPACE, "loss", "epoch", MAX_T),
}

#: With real processes, one that knows the deadline and one that does not.
QUICK = (("local", "adaptive"), ("local", "promotion"))


def make_tuner(backend, scheduler, stop):
    return Tuner(
        backend, scheduler, stop, n_workers=2, sleep_time=0.02, save_tuner=False, max_failures=0,
        wait_trial_completion_when_stopping=True,
    )  # fmt: skip


class DeadlineSoonAfter:
    """A stop criterion with a deadline half a second after something has happened."""

    def __init__(self, backend, has_happened, stops):
        self._backend, self._has_happened, self._stops = backend, has_happened, stops
        self._is_set = False

    def __call__(self, status):
        if not self._is_set and self._has_happened(status):
            self._is_set = True
            self._backend.set_deadline(0.5, 0.3)
        return self._stops and self._is_set


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, marks=() if kind == "simulated" or (kind, name) in QUICK else pytest.mark.slow)
        for kind in ("local", "simulated", "function")
        for name in SCHEDULERS
    ],
)
def test_it_ends_at_the_deadline(kind, name, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    backend, deadline_s = make_backend(kind, tmp_path)
    tuner = make_tuner(backend, SCHEDULERS[name](deadline_s), Deadline(deadline_s, backend))
    tuner.run()
    statuses = set(tuner.tuning_status.last_trial_status_seen.values())
    assert statuses <= {Status.stopped, Status.paused}
    assert backend.busy_trial_ids() == []


def test_a_trial_that_is_to_be_tried_again_is_not_waited_for(tmp_path, monkeypatch):
    """Its launch fails again and again until the deadline, after which there is no other one."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    (tmp_path / "train.py").write_text("import sys; sys.exit(3)")
    backend = ElasticLocalBackend(
        tmp_path / "train.py", 2, device_type="cpu", grace_s=0.1, preload=(), retries=10**6, retry_backoff_s=0.01
    )

    def have_failed(status):
        path = tuner.tuner_path / "events.jsonl"
        return path.exists() and {event.trial_id for event in read_events(path) if event.event == "retry"} == {0, 1}

    tuner = make_tuner(backend, SCHEDULERS["asha"](1.0), DeadlineSoonAfter(backend, have_failed, stops=True))
    tuner.run()
    assert set(tuner.tuning_status.last_trial_status_seen.values()) == {Status.stopped}


def test_it_ends_after_a_failure_too_many_while_others_wait(tmp_path, monkeypatch):
    """The second trial trains until the deadline, which keeps its promise to a tuner that has other reasons to stop."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    (tmp_path / "train.py").write_text(f"import sys\nif '1.0' in sys.argv: sys.exit(3)\n{SCRIPT}")
    backend = ElasticLocalBackend(tmp_path / "train.py", 2, device_type="cpu", grace_s=0.5, preload=(), retries=0)
    space = {"x": uniform(0, 2)}
    scheduler = ASHA(space, "loss", "epoch", MAX_T, points_to_evaluate=[{"x": 1}, {"x": 2}])

    # The tuner itself stops, after max_failures.
    soon = DeadlineSoonAfter(backend, lambda status: status.num_trials_failed, stops=False)
    with pytest.raises(ValueError, match="Trial - 0 failed"):
        make_tuner(backend, scheduler, soon).run()
    assert backend.busy_trial_ids() == []


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_tuner_that_has_another_reason_to_stop_waits_until_its_trials_have_ended(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    backend = ElasticSimulatorBackend(RoundCurves(20), "elapsed_s", 2, launch_cost=LaunchCost(2, drain_s=1))
    tuner = make_tuner(backend, SCHEDULERS[name](60.0), StoppingCriterion(max_num_trials_started=2))
    tuner.run()
    assert Status.in_progress not in tuner.tuning_status.last_trial_status_seen.values()
    assert backend.busy_trial_ids() == []
