"""Two tuners with one name do not mix their trials in one folder, and the name is free when the first has ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import dill
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform
from syne_tune.experiments import load_experiment
from syne_tune.optimizer.baselines import RandomSearch
from syne_tune.results_callback import StoreResultsCallback
from syne_tune.tuner_callback import TunerCallback

from syne_hypersched import (
    ASHA,
    ElasticLocalBackend,
    ElasticPythonBackend,
    ElasticSimulatorBackend,
    Journal,
    WaitForReports,
)  # fmt: skip
from syne_hypersched._file_lock import FileLock
from syne_hypersched._tables import read_csv
from syne_hypersched.backends.shared import folder_lock as _folder_lock
from syne_hypersched.backends.shared.folder_lock import FolderLock
from syne_hypersched.experiments import LiveProgress
from syne_hypersched.filenames import TUNER_LOCK_FILENAME
from tests.schedulers.families import SPACE as SIMULATED_SPACE
from tests.schedulers.families import Curves

SCRIPT = """
from tests.reporter import Reporter
Reporter()(loss=1.0)
"""
SPACE = {"x": uniform(0, 1)}

HOLD = """
import sys, time
from pathlib import Path
from syne_hypersched.backends.shared.folder_lock import FolderLock
lock = FolderLock()
lock.acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def impatient(monkeypatch):
    """A lock that is held is waited for only a moment."""
    for name in ("_PATIENCE_S", "_OWN_PATIENCE_S"):
        monkeypatch.setattr(_folder_lock, name, 0.1)


@pytest.mark.usefixtures("impatient")
def test_one_holds_a_folder_and_others_are_told_who(tmp_path):
    folder = tmp_path / "new" / "experiment"
    first, second = FolderLock(), FolderLock()
    first.check(folder)
    assert not folder.exists()
    first.acquire(folder)
    first.acquire(folder)
    first.check(folder)
    for refused in (second.acquire, second.check):
        with pytest.raises(
            RuntimeError,
            match=rf"tuner_name .*{folder}.*process {os.getpid()} on {socket.gethostname()}, which is this one",
        ):
            refused(folder)
    with first:
        pass
    second.check(folder)
    second.acquire(folder)
    second.release()
    second.release()


def test_a_lock_that_an_earlier_version_has_stored_holds_nothing():
    lock = FolderLock.__new__(FolderLock)
    lock.__setstate__({"_lock": None, "_folder": None})
    with lock:
        assert not lock.is_held


def test_looking_does_not_lock(tmp_path):
    (tmp_path / TUNER_LOCK_FILENAME).touch()
    looking, other = FolderLock(), FolderLock()
    looking.check(tmp_path)
    other.acquire(tmp_path)
    assert other.__getstate__() == {"_lock": None, "_folder": None, "_depth": 0, "_is_own_free": False}
    other.release()


@pytest.mark.usefixtures("impatient")
def test_the_outermost_of_several_blocks_frees_it(tmp_path):
    lock = FolderLock()
    lock.acquire(tmp_path)
    with lock:
        with lock:
            pass
        with pytest.raises(RuntimeError, match="tuner_name"):
            FolderLock().check(tmp_path)
    FolderLock().check(tmp_path)
    assert not lock.is_held


@pytest.mark.usefixtures("impatient")
def test_another_folder_frees_the_first_one(tmp_path):
    first, second = FolderLock(), FolderLock()
    first.acquire(tmp_path / "a")
    first.acquire(tmp_path / "b")
    second.acquire(tmp_path / "a")
    with pytest.raises(RuntimeError, match="tuner_name"):
        second.check(tmp_path / "b")


@pytest.mark.usefixtures("impatient")
def test_a_copy_holds_nothing(tmp_path):
    lock = FolderLock()
    lock.acquire(tmp_path)
    copy = dill.loads(dill.dumps(lock))
    with pytest.raises(RuntimeError, match="tuner_name"):
        copy.acquire(tmp_path)
    lock.release()
    copy.acquire(tmp_path)


@pytest.mark.usefixtures("impatient")
def test_a_killed_tuner_blocks_nobody(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(RuntimeError, match=f"process {process.pid} on"):
        FolderLock().check(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    FolderLock().acquire(tmp_path)


def test_without_locks_or_rights_the_tuning_goes_on(tmp_path, monkeypatch):
    (tmp_path / TUNER_LOCK_FILENAME).mkdir()  # cannot be opened for writing
    FolderLock().check(tmp_path)
    FolderLock().acquire(tmp_path)
    (tmp_path / "file").touch()
    FolderLock().acquire(tmp_path / "file" / "experiment")  # cannot be made

    def no_locks(self, shared=False):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    FolderLock().acquire(tmp_path / "nfs")
    FolderLock().acquire(tmp_path / "nfs")


def _tuner(tmp_path, kind):
    options = {"num_devices": 1, "device_type": "cpu", "share_devices": True}
    if kind == "function":
        backend = ElasticPythonBackend(_train, SPACE, **options)
    else:
        (tmp_path / "train.py").write_text(SCRIPT)
        backend = ElasticLocalBackend(tmp_path / "train.py", **options)
    return Tuner(
        backend, RandomSearch(SPACE, metrics=["loss"], random_seed=0), StoppingCriterion(max_num_trials_finished=1),
        n_workers=1, sleep_time=0.01, tuner_name="one-name", suffix_tuner_name=False,
    )  # fmt: skip


def _train(x):
    from syne_tune import Reporter

    Reporter()(loss=x)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["local", "function"])
def test_a_second_tuner_under_the_name_of_one_that_runs_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    first, late = _tuner(tmp_path, kind), _tuner(tmp_path, kind)
    first.trial_backend.start_trial({"x": 0.5})
    before = sorted(path.name for path in first.tuner_path.iterdir())
    with pytest.raises(RuntimeError, match="tuner_name must be that of no experiment that still runs"):
        _tuner(tmp_path, kind)
    with pytest.raises(RuntimeError, match="tuner_name must be that of no experiment that still runs"):
        late.trial_backend.start_trial({"x": 0.5})
    with pytest.raises(RuntimeError, match="tuner_name must be that of no experiment that still runs"):
        late.trial_backend.set_deadline(600.0, 10.0)
    assert sorted(path.name for path in first.tuner_path.iterdir()) == before
    first.trial_backend.stop_all()
    again = _tuner(tmp_path, kind)
    again.run()
    assert again.tuning_status.num_trials_finished >= 1


class Meanwhile(TunerCallback):
    """Runs another tuner of the same name at a moment of the first one's run."""

    def __init__(self, other, moment):
        self.other, self.files = other, None
        setattr(self, moment, self._run_other)

    def _run_other(self, *args, **kwargs):
        if self.files is None:
            self.files = self._stored()
            with pytest.raises(RuntimeError, match="still runs"):
                self.other.run()
            assert self._stored() == self.files

    def _stored(self):
        """The inode of each file that a tuner stores."""
        folder = self.other.tuner_path
        return {name: (folder / name).stat().st_ino for name in ("tuner.dill", "results.csv.zip", "journal")
                if (folder / name).exists()}  # fmt: skip

    def on_loop_start(self):
        if self.files is not None:
            assert _whose(self.other.tuner_path) == "first"


def _whose(folder):
    return json.loads((folder / "metadata.json").read_text())["whose"]


class StopsTheOther(ElasticLocalBackend):
    """Runs another tuner of the same name while it ends its own trials, when all is stored."""

    meanwhile = None

    def stop_all(self):
        with self._folder_lock:
            if self.meanwhile is not None:
                self.meanwhile._run_other()
            super().stop_all()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("callbacks", "moment"),
    [
        pytest.param(callbacks, moment, marks=[pytest.mark.slow] if callbacks and moment != "on_trial_result" else [])
        for callbacks in (None, Journal, WaitForReports, LiveProgress)
        for moment in ("on_trial_result", "on_tuning_end", "stop_all")
    ],
)
def test_a_tuner_that_began_at_the_same_moment_leaves_nothing_in_the_folder_of_the_first(
    tmp_path, monkeypatch, moment, callbacks
):
    """Nor may it replace what is there: its empty table of results, itself, a journal that would be resumed."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    first, second = _tuner(tmp_path, "local"), _tuner(tmp_path, "local")
    first.metadata["whose"], second.metadata["whose"] = "first", "second"
    if callbacks is not None:
        second.callbacks = [StoreResultsCallback(), callbacks()]
    meanwhile = Meanwhile(second, moment)
    if moment == "stop_all":
        first.trial_backend.__class__ = StopsTheOther
        first.trial_backend.meanwhile = meanwhile
    else:
        first.callbacks.append(meanwhile)
    first.run()
    assert meanwhile.files is not None
    assert _whose(first.tuner_path) == "first"
    assert not (first.tuner_path / "journal").exists()
    assert dill.loads((first.tuner_path / "tuner.dill").read_bytes()).metadata["whose"] == "first"
    assert set(load_experiment(first.name).results["loss"]) == {1.0}


def test_a_journal_that_is_not_to_be_overwritten_protects_the_rest_of_its_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    first, second = _tuner(tmp_path, "local"), _tuner(tmp_path, "local")
    first.callbacks, second.callbacks = [Journal()], [StoreResultsCallback(), Journal()]
    first.run()
    before = {path: path.stat().st_mtime_ns for path in first.tuner_path.rglob("*") if path.name != TUNER_LOCK_FILENAME}
    with pytest.raises(ValueError, match="has a journal already"):
        second.run()
    after = {path: path.stat().st_mtime_ns for path in first.tuner_path.rglob("*") if path.name != TUNER_LOCK_FILENAME}
    assert after.keys() == before.keys()
    assert {path.name for path in after if path.is_file() and after[path] != before[path]} <= {"lock"}


def _simulated():
    scheduler = ASHA(SIMULATED_SPACE, "loss", "epoch", max_t=9, random_seed=0)
    backend = ElasticSimulatorBackend(Curves(), Curves.elapsed_time_attr, num_devices=2)
    return Tuner(
        backend, scheduler, StoppingCriterion(max_num_trials_started=3), n_workers=2, sleep_time=0,
        tuner_name="simulated", suffix_tuner_name=False,
    )  # fmt: skip


@pytest.mark.usefixtures("impatient")
def test_a_refused_tuner_can_be_run_when_the_other_one_has_ended(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    tuner, other = _tuner(tmp_path, "local"), FolderLock()
    other.acquire(tuner.tuner_path)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="still runs"):
            tuner.run()
    assert not (tuner.tuner_path / "tuner.dill").exists()
    other.release()
    tuner.run()
    assert (tuner.tuner_path / "tuner.dill").exists()
    assert len(read_csv(tuner.tuner_path / "results.csv.zip")) > 0


@pytest.mark.usefixtures("impatient")
def test_a_simulation_under_the_name_of_a_tuner_that_runs_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    late = _simulated()
    late.metadata["whose"] = "second"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "simulated")], stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"held\n"
        for refused in (late.run, _simulated, lambda: late.trial_backend.set_deadline(600.0, 10.0)):
            with pytest.raises(RuntimeError, match=f"still runs, but the one in .*process {process.pid} on"):
                refused()
        assert not {path.name for path in late.tuner_path.iterdir()} - {TUNER_LOCK_FILENAME, "metadata.json"}
        process.kill()
    first = _simulated()
    first.metadata["whose"] = "first"
    first.callbacks.append(Overwrites())
    first.run()
    assert _whose(first.tuner_path) == "first"
    assert (first.tuner_path / TUNER_LOCK_FILENAME).read_text().startswith(f"process {os.getpid()} ")


class Overwrites(TunerCallback):
    """Does what Syne Tune's tuner does before it is refused."""

    def on_tuning_start(self, tuner):
        self.path = tuner.tuner_path / "metadata.json"

    def on_trial_result(self, trial, status, result, decision):
        self.path.write_text(json.dumps({"whose": "second"}))


def test_a_simulation_that_was_left_in_this_process_holds_no_name(tmp_path, monkeypatch):
    """As in a notebook that keeps the tuner, if a callback has raised an exception at its end."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    left = _simulated()
    left.trial_backend.hold_folder()
    again = _simulated()
    again.run()
    assert again.tuning_status.num_trials_started >= 3
    assert left.trial_backend._folder_lock.is_held
    assert not dill.loads(dill.dumps(left.trial_backend))._folder_lock.is_held


class Adds(TunerCallback):
    """A user's callback that adds to the metadata at the end."""

    def on_tuning_start(self, tuner):
        self.path = tuner.tuner_path / "metadata.json"

    def on_tuning_end(self):
        self.path.write_text(json.dumps(json.loads(self.path.read_text()) | {"note": "by the user"}))


def test_what_a_user_adds_to_the_metadata_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    tuner = _tuner(tmp_path, "local")
    tuner.callbacks.append(Adds())
    tuner.run()
    assert json.loads((tuner.tuner_path / "metadata.json").read_text())["note"] == "by the user"
    assert [type(callback).__name__ for callback in tuner.callbacks].count("_KeepMetadata") == 1
