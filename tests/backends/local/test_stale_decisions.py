"""A tuner that polls rarely: training after the report at which a trial is paused is kept for its resume."""

from __future__ import annotations

import inspect
import time

import pandas as pd
import pytest
from syne_tune import Tuner
from syne_tune.config_space import uniform
from syne_tune.results_callback import StoreResultsCallback

from syne_hypersched import ASHA, PASHA, Deadline, ElasticLocalBackend, ElasticPythonBackend, HyperSched, PublishedRules
from syne_hypersched._tables import read_csv
from syne_hypersched.experiments import QuietTunerLogger, check_run, load_run, read_events

pytestmark = pytest.mark.usefixtures("no_process_left")

MAX_T = 27


def train(x, st_checkpoint_dir, epochs=27, pause_s=0.01):
    """Checkpoints and reports whole epochs, and exits between two of them; a file records all training."""
    import json
    import os
    import signal
    import time
    from pathlib import Path

    from tests.reporter import Reporter

    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    folder = Path(st_checkpoint_dir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "epoch.json"
    done = json.loads(path.read_text()) if path.exists() else 0
    report = Reporter()
    for epoch in range(done + 1, epochs + 1):
        time.sleep(pause_s)
        with open(folder / "trained.txt", "a") as file:
            file.write(f"{epoch}\n")
        path.with_suffix(".new").write_text(json.dumps(epoch))
        os.replace(path.with_suffix(".new"), path)
        report(epoch=epoch, loss=x + 1 / epoch)
        if asked:
            break


class LooksRarely(StoreResultsCallback):
    """Delays the tuner's polls until a trial has reported several epochs."""

    def on_tuning_start(self, tuner):
        super().on_tuning_start(tuner)
        self._backend = tuner.trial_backend
        self._seen = 0

    def on_fetch_status_results(self, trial_status_dict, new_results):
        self._seen = self._num_reported()

    def on_tuning_sleep(self, sleep_time):
        give_up_at = time.monotonic() + 1.0
        while self._num_reported() < self._seen + 12 and time.monotonic() < give_up_at:
            time.sleep(0.01)

    def _num_reported(self):
        logs = self._backend.local_path.glob("*/std.out")
        return sum(log.read_text().count("tune-metric") for log in logs)


def make_scheduler(kind, deadline_s):
    arguments = ({"x": uniform(0, 1)}, "loss", "epoch", MAX_T)
    if kind in ("adaptive", "published"):
        published = PublishedRules(fixed_exploration=0.7, recharge_period=2)
        strategy = published if kind == "published" else kind
        return HyperSched(*arguments, 2, deadline_s, strategy=strategy, random_seed=1)
    cls = {"asha": ASHA, "pasha": PASHA}[kind]
    return cls(*arguments, random_seed=1, **({"type": "promotion"} if kind == "asha" else {}))


def make_backend(kind, tmp_path):
    options = {"num_devices": 2, "device_type": "cpu", "grace_s": 20.0, "processes": "single"}
    if kind == "function":
        return ElasticPythonBackend(train, {"x": uniform(0, 1)}, **options)
    script = tmp_path / "train.py"
    script.write_text(
        "import argparse\n\n" + inspect.getsource(train)
        + "\nparser = argparse.ArgumentParser()\nparser.add_argument('--x', type=float)\n"
        "parser.add_argument('--st_checkpoint_dir')\nargs = parser.parse_args()\n"
        "train(args.x, args.st_checkpoint_dir)\n"
    )  # fmt: skip
    return ElasticLocalBackend(script, **options)


def num_kept(table):
    """Reports that came after the decision to pause, and were kept for the resume."""
    trials = table.groupby("trial_id")
    after_pause = trials.st_decision.shift() == "PAUSE"
    return (after_pause & (table.st_launch == trials.st_launch.shift())).sum()


@pytest.mark.parametrize(
    ("scheduler", "backend"),
    [
        ("asha", "local"),
        pytest.param("adaptive", "local", marks=pytest.mark.slow),
        pytest.param("pasha", "local", marks=pytest.mark.slow),
        pytest.param("published", "local", marks=pytest.mark.slow),
        pytest.param("asha", "function", marks=pytest.mark.slow),
    ],
)
def test_no_epoch_is_trained_twice_and_reports_come_in_order(scheduler, backend, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    backend = make_backend(backend, tmp_path)

    def has_resumed(status):
        """Five resumes and a report that was kept for one take longer on a busy machine."""
        events = read_events(tuner.tuner_path / "events.jsonl") if status.wallclock_time >= 3 else []
        if sum(event.event == "resume" for event in events) < 5:
            return False
        return num_kept(pd.DataFrame(looks.results)) > 0 or status.wallclock_time > 240

    looks = LooksRarely()
    stop = Deadline(4, backend) if scheduler in ("adaptive", "published") else has_resumed
    tuner = Tuner(
        backend, make_scheduler(scheduler, 4), stop, n_workers=2, sleep_time=0.0, save_tuner=False,
        callbacks=[looks], output_logger=QuietTunerLogger(), tuner_name="test",
    )  # fmt: skip
    tuner.run()
    assert check_run(load_run(tuner.tuner_path, time_attr="epoch")) == ()
    if not tuner.tuning_status.overall_metric_statistics.count:
        pytest.skip("this machine is too busy for any report within the deadline")
    table = read_csv(tuner.tuner_path / "results.csv.zip")
    assert tuner.tuning_status.overall_metric_statistics.count == len(table)  # none counts twice, or in vain
    for trial_id, seen in table.groupby("trial_id"):
        trained = (backend.checkpoint_trial_path(trial_id) / "trained.txt").read_text().split()
        assert [int(epoch) for epoch in trained] == list(range(1, len(trained) + 1))
        assert list(seen.epoch) == list(range(1, len(seen) + 1))
    if scheduler in ("asha", "pasha"):  # HyperSched may have resumed none
        assert num_kept(table) > 0
