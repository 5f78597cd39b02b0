"""Trials end with their tuner, even if it could not stop them."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading

import dill
import psutil
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform
from syne_tune.tuner_callback import TunerCallback

from syne_hypersched import ASHA, ElasticLocalBackend, Journal, WaitForReports, _storing
from syne_hypersched._tables import read_csv
from syne_hypersched.backends.local import _tuner_watch
from syne_hypersched.backends.local._tuner_watch import TunerWatch, is_running

pytestmark = pytest.mark.usefixtures("no_process_left")
SCRIPT = """
import time
print('[tune-metric]: {"epoch": 1, "loss": 1}', flush=True)
time.sleep(600)
"""


class CannotStore(TunerCallback):
    """Does what Syne Tune's own callback does on a full disk."""

    def on_tuning_end(self):
        raise OSError(28, "No space left on device")


def test_a_tuner_that_cannot_store_its_results_leaves_no_trial_behind(tmp_path, wait_for, monkeypatch, caplog):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    monkeypatch.setattr(_tuner_watch, "PERIOD_S", 0.02)
    (tmp_path / "train.py").write_text(SCRIPT)
    backend = ElasticLocalBackend(tmp_path / "train.py", 1, device_type="cpu", grace_s=0.5, preload=())
    scheduler = ASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t=9)
    stop = StoppingCriterion(max_num_evaluations=0)
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(OSError, match="No space left"):
        Tuner(backend, scheduler, stop, n_workers=1, sleep_time=0.02, callbacks=[CannotStore()]).run()
    wait_for(lambda: "The tuner has ended without stopping its trials" in caplog.text)
    wait_for(lambda: set(psutil.Process().children(recursive=True)) <= before)
    assert backend.busy_trial_ids() == []


def test_a_tuner_that_cannot_store_its_results_leaves_its_name_to_the_next_one(tmp_path, wait_for, monkeypatch):
    """Also if all its trials have ended, so that there is nothing to stop."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    monkeypatch.setattr(_tuner_watch, "PERIOD_S", 0.02)
    (tmp_path / "train.py").write_text('print(\'[tune-metric]: {"loss": 1.0, "epoch": 1}\', flush=True)')
    tuners = []
    for callbacks in ([CannotStore()], []):
        backend = ElasticLocalBackend(tmp_path / "train.py", 1, device_type="cpu", share_devices=True, preload=())
        scheduler = ASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t=9)
        tuners.append(  # which a notebook keeps
            Tuner(
                backend, scheduler, StoppingCriterion(max_num_trials_finished=1), n_workers=1, sleep_time=0.02,
                wait_trial_completion_when_stopping=True, tuner_name="one", suffix_tuner_name=False,
                callbacks=callbacks,
            )
        )  # fmt: skip
        if callbacks:
            with pytest.raises(OSError, match="No space left"):
                tuners[-1].run()
        else:
            tuners[-1].run()
    assert tuners[-1].tuning_status.num_trials_finished >= 1
    wait_for(lambda: not tuners[0].trial_backend._folder_lock.is_held)


class Interrupts(TunerCallback):
    """Somebody presses Ctrl-C while a destructor runs."""

    def on_loop_end(self):
        class Dying:
            def __del__(self):
                signal.raise_signal(signal.SIGINT)

        Dying()


class CannotStart(TunerCallback):
    """Has nothing to end, since its start has failed: as a logger without its server."""

    def on_tuning_start(self, tuner):
        raise ConnectionError("no server")

    def on_tuning_end(self):
        raise ConnectionError("no server")


@pytest.mark.parametrize("keeper", [WaitForReports, Journal])
def test_a_tuner_whose_callback_cannot_start_leaves_its_name_to_the_next_one(tmp_path, wait_for, monkeypatch, keeper):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    monkeypatch.setattr(_tuner_watch, "PERIOD_S", 0.02)
    (tmp_path / "train.py").write_text("")
    backend = ElasticLocalBackend(tmp_path / "train.py", 1, device_type="cpu", preload=())
    scheduler = ASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t=9)
    stop = StoppingCriterion(max_num_trials_finished=1)
    with pytest.raises(ConnectionError, match="no server"):
        Tuner(backend, scheduler, stop, n_workers=1, callbacks=[keeper(), CannotStart()]).run()
    wait_for(lambda: not backend._folder_lock.is_held)


def test_ctrl_c_ends_a_tuner_even_in_a_destructor(tmp_path, wait_for, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    monkeypatch.setattr(_tuner_watch, "PERIOD_S", 0.02)
    # That of a tuner of an earlier test, whose watch may end at any moment, is set aside.
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    (tmp_path / "train.py").write_text(SCRIPT)
    backend = ElasticLocalBackend(tmp_path / "train.py", 1, device_type="cpu", grace_s=0.5, preload=())
    scheduler = ASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t=9)
    stop = StoppingCriterion(max_wallclock_time=600)
    with pytest.raises(KeyboardInterrupt):
        Tuner(backend, scheduler, stop, n_workers=1, sleep_time=0.02, callbacks=[Interrupts()]).run()
    wait_for(lambda: sys.unraisablehook == sys.__unraisablehook__)
    assert backend.busy_trial_ids() == []


INTERRUPTED_TWICE = """
import signal, sys
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform
from syne_tune.tuner_callback import TunerCallback
from syne_hypersched import ASHA, ElasticLocalBackend, Journal

class Impatient(TunerCallback):
    def on_trial_result(self, *args, **kwargs): signal.raise_signal(signal.SIGINT)
    def on_tuning_end(self): signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
backend = ElasticLocalBackend("train.py", 1, device_type="cpu", grace_s=0.5, share_devices=True, preload=())
scheduler = ASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t=9)
callbacks = [Impatient(), Journal()]
stop = StoppingCriterion(max_wallclock_time=600)
Tuner(backend, scheduler, stop, 1, callbacks=callbacks, tuner_name="twice", suffix_tuner_name=False).run()
"""


def test_a_second_ctrl_c_before_the_trials_are_stopped_says_how_to_go_on_as_well(tmp_path, forked):
    (tmp_path / "train.py").write_text(SCRIPT)
    ended = forked.run(["-c", INTERRUPTED_TWICE], cwd=tmp_path, env={**os.environ, "SYNETUNE_FOLDER": str(tmp_path)})
    assert ended.returncode == -signal.SIGINT
    assert "During handling of the above exception" in ended.stderr
    assert "The tuning was interrupted. To go on with it: hypersched resume twice" in ended.stderr.splitlines()[-1]


def test_a_full_disk_does_not_end_a_tuner_with_nothing_but_its_own_callback(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "train.py").write_text(SCRIPT.replace("time.sleep(600)", ""))
    backend = ElasticLocalBackend(tmp_path / "train.py", 1, device_type="cpu", grace_s=0.5, preload=())
    scheduler = ASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t=9)
    stop = StoppingCriterion(max_num_trials_started=3)
    tuner = Tuner(backend, scheduler, stop, n_workers=1, sleep_time=0.02, results_update_interval=-1)
    replace, own = os.replace, tuner.callbacks

    def is_full(source, target):
        if target in (str(tuner.tuner_path / "results.csv.zip"), tuner.tuner_path / "tuner.dill"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(_storing.os, "replace", is_full)
    tuner.run()
    assert tuner.tuning_status.num_trials_started >= 3
    assert backend.busy_trial_ids() == []
    assert caplog.text.count("The results cannot be stored in") == 1
    assert caplog.text.count("The tuner cannot be stored in") == 2  # once in between, and once at the end
    (found,) = tmp_path.glob(f"{tuner.tuner_path.name}-*/results.csv.zip")
    assert len(read_csv(found)) == tuner.tuning_status.overall_metric_statistics.count
    assert len(own) == 1  # the list of callbacks is the user's


def test_a_backend_that_no_tuner_drives_is_not_watched():
    watch = TunerWatch(lambda: None, lambda: True, lambda: True)
    before = threading.active_count()
    watch.begin(2, 1)
    assert threading.active_count() == before
    dill.loads(dill.dumps(watch)).begin(2, 1)


@pytest.mark.parametrize("raises", [False, True])
def test_a_call_runs_until_it_returns_or_raises(raises):
    frames, seen = [], []

    def call():
        frames.append(sys._getframe())
        asking = threading.Thread(target=lambda: seen.append(is_running(frames[0])))
        asking.start()
        asking.join()
        if raises:
            raise KeyError

    try:
        call()
    except KeyError:
        seen.append(is_running(frames[0]))  # although the traceback has the frame
    assert seen == ([True, False] if raises else [True])
    assert not is_running(frames[0])
