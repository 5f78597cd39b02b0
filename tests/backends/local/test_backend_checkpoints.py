"""Checkpoints under the stock tuner: which are kept, removed and published, and with which a trial begins."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import textwrap

import pytest
from syne_tune import StoppingCriterion
from syne_tune.backend import LocalBackend
from syne_tune.backend.trial_status import Status
from syne_tune.config_space import choice, uniform
from syne_tune.optimizer.baselines import RandomSearch
from syne_tune.results_callback import StoreResultsCallback
from syne_tune.tuner_callback import TunerCallback

from syne_hypersched import ASHA, Deadline, HyperSched, PublishedRules
from syne_hypersched.checkpoints import GenerationStore
from syne_hypersched.experiments import read_events
from tests.backends.local.tunings import asha, assert_sound, make_backend, poll, results, run

pytestmark = pytest.mark.usefixtures("no_process_left")


def test_checkpoints_of_stopped_trials_are_removed_when_they_have_ended_and_are_replaced(script, wait_for):
    backend = make_backend(script, delete_checkpoints=True, grace_s=1.0)
    for mode in ("", "ignore"):
        backend.start_trial({"mode": mode})
    poll(backend, [0, 1], lambda reports: len({trial_id for trial_id, _ in reports}) == 2, wait_for)
    wait_for(lambda: all((backend.checkpoint_trial_path(i) / "epoch.json").exists() for i in (0, 1)))
    backend.stop_trial(1)
    backend.start_trial({"mode": ""}, checkpoint_trial_id=1)  # as population-based training may
    assert (backend.checkpoint_trial_path(2) / "epoch.json").exists()
    assert backend.checkpoint_trial_path(1).exists()  # it still writes there
    poll(backend, [0], lambda _: not backend.checkpoint_trial_path(1).exists(), wait_for)
    assert backend.checkpoint_trial_path(0).exists()
    backend.stop_all()
    assert not any(backend.checkpoint_trial_path(i).exists() for i in (0, 2))


def test_the_incumbents_checkpoints_stay(script, wait_for):
    backend = make_backend(script, delete_checkpoints=True, time_attr="epoch")
    trials = [backend.start_trial({}) for _ in range(2)]
    reports = poll(backend, [0, 1], lambda reports: len({trial_id for trial_id, _ in reports}) == 2, wait_for)
    generations = GenerationStore(backend.checkpoint_trial_path(0)).generations
    wait_for(lambda: any(generation.after >= 1 for generation in generations()))
    wait_for((backend.checkpoint_trial_path(1) / "epoch.json").exists)
    trials[0].publish(next(report for trial_id, report in reports if trial_id == 0))
    for trial_id in (0, 1):
        backend.stop_trial(trial_id)
        backend.delete_checkpoint(trial_id)
    poll(backend, [], lambda _: not backend.checkpoint_trial_path(1).exists(), wait_for)
    backend.stop_all()
    assert (backend.checkpoint_trial_path(0) / "epoch.json").exists()
    assert (backend.local_path / "best" / "checkpoint" / "epoch.json").exists()
    # A backend that knows nothing but the folder, as after a resume.
    other = make_backend(script, delete_checkpoints=True)
    other.set_path(str(backend.local_path))
    other.delete_checkpoint(0)
    other.stop_all()
    assert backend.checkpoint_trial_path(0).exists()


@pytest.mark.parametrize("strategy", ["published", pytest.param("adaptive", marks=pytest.mark.slow)])
def test_a_tuning_keeps_few_checkpoints_and_best(script, strategy):
    options = {"strategy": strategy, "scaling": {1: 1, 4: 3}}
    if strategy == "published":
        options = {"strategy": PublishedRules(fixed_exploration=0.5), "grace_period": 2}
    space = {"x": uniform(0, 1), "mode": choice(["", "", "nan"])}
    over_but_running = []

    def tune(deadline_s):
        options["deadline_s"] = deadline_s
        scheduler = HyperSched(space, "loss", "epoch", max_t=40, num_devices=4, random_seed=3, **options)
        backend = make_backend(script, delete_checkpoints=True)
        running = backend.fetch_status_results

        def watched(trial_ids):
            over = set(scheduler.trials_checkpoints_can_be_removed())
            over_but_running.extend(over & {trial_id for trial_id, _ in backend.busy_trial_ids()} & set(trial_ids))
            return running(trial_ids)

        backend.fetch_status_results = watched
        return scheduler, backend, run(backend, scheduler, Deadline(deadline_s, backend), save_tuner=False)

    # On a busy machine, three seconds may be over before there is anything to remove or keep.
    for deadline_s in (3, 30, 120):
        scheduler, backend, tuner = tune(deadline_s)
        events = read_events(tuner.tuner_path / "events.jsonl")
        gone = {event.trial_id: event for event in events if event.event == "remove_checkpoint"}
        if gone and (tuner.tuner_path / "best" / "checkpoint" / "epoch.json").exists():
            break
    assert_sound(tuner)
    assert gone
    assert over_but_running == []
    for event in events:
        if event.trial_id in gone and event.event in ("start", "resume", "launch"):
            assert event.time_s < gone[event.trial_id].time_s
    assert sum(event.details["bytes_freed"] for event in gone.values()) > 0
    left = [i for i in backend.trial_ids if backend.checkpoint_trial_path(i).exists()]
    assert left == [scheduler.incumbent.trial_id]
    assert (tuner.tuner_path / "best" / "checkpoint" / "epoch.json").exists()


@pytest.mark.parametrize("do_minimize", [pytest.param(True, marks=pytest.mark.slow), False])
def test_the_best_checkpoint_of_a_scheduler_that_tells_the_backend_nothing(script, do_minimize):
    space = {"x": uniform(0, 1), "epochs": 4}
    points = [{"x": x} for x in (0.3, 0.1, 0.2, 0.7)]
    scheduler = RandomSearch(space, metrics=["loss"], do_minimize=do_minimize, points_to_evaluate=points, random_seed=1)
    backend = make_backend(script, delete_checkpoints=True, time_attr="epoch")
    tuner = run(backend, scheduler, StoppingCriterion(max_num_trials_finished=4), n_workers=2)
    table = results(tuner)
    best = table.loc[table.loss.idxmin() if do_minimize else table.loss.idxmax()]
    published = json.loads((tuner.tuner_path / "best" / "result.json").read_text())
    assert (published["trial_id"], published["epoch"], published["loss"]) == (best.trial_id, best.epoch, best.loss)
    (checkpoint,) = (tuner.tuner_path / "best" / "checkpoint").iterdir()
    assert json.loads(checkpoint.read_text()) >= best.epoch
    assert published["st_checkpoint"]["level"] == best.epoch


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_the_stock_backend_removes_what_a_scheduler_of_this_package_needs_no_longer(script):
    backend = LocalBackend(str(script), rotate_gpus=False, delete_checkpoints=True)
    space = {"x": uniform(0, 1), "mode": choice(["", "nan"])}
    scheduler = ASHA(space, "loss", "epoch", max_t=9, grace_period=3, type="promotion", random_seed=1)
    kept = {}

    class Watch(TunerCallback):
        has_finite = False

        def on_trial_result(self, trial, status, result, decision):
            self.has_finite = self.has_finite or not math.isnan(result["loss"])

        def on_tuning_end(self):
            kept.update({i: backend.checkpoint_trial_path(i).exists() for i in backend.trial_ids})

    watch = Watch()
    tuner = run(
        backend,
        scheduler,
        lambda status: status.num_trials_started >= 6 and watch.has_finite,
        callbacks=[StoreResultsCallback(), watch],
    )
    for process in backend.trial_subprocess.values():
        process.wait()
    table = results(tuner)
    # They are paused, but never resumed: Syne Tune alone keeps what they have written.
    diverged = set(table[table.loss.isna() & (table.st_decision == "PAUSE")].trial_id)
    assert diverged
    assert not any(kept[trial_id] for trial_id in diverged)
    assert any(kept.values())


SLOW_FIRST_SAVE = """
import os, sys, time
from pathlib import Path
from tests.reporter import Reporter

folder = Path(sys.argv[sys.argv.index("--st_checkpoint_dir") + 1])
published, report = folder.parents[1] / "best" / "checkpoint", Reporter()
report(epoch=1, loss=0.1)
folder.mkdir(parents=True)
(folder / "model").write_text("1")
while not (published / "model").exists():  # nothing shows that a second file will come
    time.sleep(0.01)
(folder / "optimizer").write_text("1")
while not (published / "optimizer").exists():
    time.sleep(0.01)
"""


def test_a_first_checkpoint_that_was_published_before_its_last_file_is_published_again(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SLOW_FIRST_SAVE)
    backend = make_backend(script)
    space = {"x": uniform(0, 1)}
    search = RandomSearch(space, metrics=["loss"], random_seed=1)
    tuner = run(backend, search, StoppingCriterion(max_num_trials_completed=1), n_workers=1)
    best = tuner.tuner_path / "best"
    assert sorted(path.name for path in (best / "checkpoint").iterdir()) == ["model", "optimizer"]
    assert json.loads((best / "result.json").read_text())["st_checkpoint"]["generation"] == 2
    events = [event for event in read_events(tuner.tuner_path / "events.jsonl") if event.event == "best"]
    assert [event.details["checkpoint"]["generation"] for event in events] == [1, 2]


def test_a_trial_can_start_from_the_checkpoint_of_a_running_one(script, wait_for, caplog):
    backend = make_backend(script)
    backend.start_trial({"x": 1.0})
    poll(backend, [0], lambda reports: len(reports) >= 5, wait_for)
    store = GenerationStore(backend.checkpoint_trial_path(0))
    wait_for(lambda: any(generation.after >= 5 for generation in store.generations()))
    backend.start_trial({"x": 1.0}, checkpoint_trial_id=0)
    ((_, first), *_) = poll(backend, [1], bool, wait_for)
    assert first["epoch"] >= 5
    backend.start_trial({"x": 1.0})
    backend.start_trial({"x": 1.0}, checkpoint_trial_id=2)  # which has had no time to write one
    assert "Trial 2 has no checkpoint" in caplog.text
    backend.stop_all()


@pytest.mark.slow
def test_a_saved_tuner_can_be_looked_at_in_another_process(script):
    def many_are_paused(status):
        return list(status.last_trial_status_seen.values()).count(Status.paused) > 5

    tuner = run(make_backend(script), asha(type="promotion"), many_are_paused)
    code = textwrap.dedent(
        f"""
        from syne_tune import Tuner
        tuner = Tuner.load({str(tuner.tuner_path)!r})
        backend = tuner.trial_backend
        paused = [t.trial_id for t in backend._trial_dict.values() if t.status == "Paused"]
        backend.resume_trial(paused[0])
        while not (reports := backend.fetch_status_results([paused[0]])[1]):
            pass
        print(paused[0], reports[0][1]["epoch"], reports[0][1]["st_launch"])
        backend.stop_all()
        """
    )
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=280, env=env, check=False
    )
    assert printed.returncode == 0, printed.stderr
    trial_id, epoch, launch = map(int, printed.stdout.split()[-3:])
    table = results(tuner)
    before = table[table.trial_id == trial_id]
    assert epoch == before.epoch.max() + 1
    # A report that came after the decision to pause is kept for the resume.
    assert launch - before.st_launch.max() in (0, 1)
