"""The callback under the stock tuner."""

from __future__ import annotations

import errno
import json
import os
import pickle
from pathlib import Path

import pandas as pd
import pytest
from syne_tune.backend import LocalBackend

from syne_hypersched import ASHA, Journal, resume_experiment
from syne_hypersched._disk import Disk
from syne_hypersched._moments import Moment
from syne_hypersched.records.segments import read_segments
from syne_hypersched.recovery._lock import ExperimentLock
from syne_hypersched.recovery._snapshot import read_snapshot
from tests.recovery.tuners import PatientJournal, read_segments_of

pytestmark = pytest.mark.usefixtures("no_process_left")


def test_files_are_for_the_user_alone(finished):
    folder = finished.tuner_path / "journal"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "setup.dill").stat().st_mode & 0o777 == 0o600


def test_the_tuner_has_its_scheduler_back(make):
    tuner = make()
    tuner.run()
    assert type(tuner.scheduler) is ASHA


class WatchedJournal(PatientJournal):
    """Inspects itself at the end of a loop."""

    def on_tuning_start(self, tuner):
        super().on_tuning_start(tuner)
        self.num_synced, self.num_loops, self.snapshots, self.folder = 0, 0, [], tuner.tuner_path / "journal"
        self._disk.sync_file = self._sync_file

    def on_loop_end(self):
        super().on_loop_end()
        self.num_loops += 1
        # One line more than there are entries: the header.
        assert self.num_synced == self._num_entries + 1 or not self.num_loops
        snapshot = read_snapshot(str(self.folder), Disk())
        if snapshot is not None:
            self.snapshots.append(snapshot.num_entries)

    def _sync_file(self, path):
        Disk().sync_file(path)
        with open(path, "rb") as file:
            self.num_synced = file.read().count(b"\n")


def test_every_loop_is_synced_and_snapshots_are_taken(make):
    journal = WatchedJournal()
    make(callbacks=[journal]).run()
    # A trial starts after the loop that receives the end of the one before.
    assert journal.num_loops > 3
    assert len(set(journal.snapshots)) >= 3
    assert journal.snapshots == sorted(journal.snapshots)


def test_the_lock_says_until_when_a_tuner_has_lived(finished):
    """Not when it began: the time until its death counts for deadlines."""
    folder = finished.tuner_path / "journal"
    segments = read_segments(str(folder), Disk())
    lock = ExperimentLock(folder / "lock")
    lock.release()
    lived_s = Moment.of(segments.headers[0]).seconds_until(lock.last_alive)
    assert lived_s >= segments.entries[len(segments.entries) // 2]["time_s"]


def test_a_disk_that_fills_while_results_are_stored_leaves_the_table_before(make, monkeypatch, caplog):
    tuner = make()
    tuner.run()
    journal, path = tuner.callbacks[0], tuner.tuner_path / "results.csv.zip"
    before = path.read_bytes()

    def write_half(self, file, **options):
        Path(file).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pd.DataFrame, "to_csv", write_half)
    journal.store_results()
    assert "cannot be stored" in caplog.text
    assert path.read_bytes() == before
    assert [name for name in os.listdir(tuner.tuner_path) if name.startswith("results")] == [path.name]


def test_a_tuner_that_cannot_be_stored_runs_with_a_warning(make, caplog):
    tuner = make()
    tuner.metadata["stream"] = (number for number in range(3))
    tuner.save_tuner = False
    tuner._save_metadata = lambda: None
    tuner.run()
    assert "give resume_experiment a tuner: this one cannot be stored" in caplog.text
    assert not (tuner.tuner_path / "journal" / "setup.dill").exists()


def test_a_new_experiment_does_not_write_over_an_old_one(finished, make):
    with pytest.raises(ValueError, match="has a journal already: continue it with resume_experiment"):
        make().run()
    assert len(read_segments_of(finished.tuner_path).headers) == 1


def test_reading_the_journal_executes_nothing(finished, make, monkeypatch):
    def load(*_, **__):
        raise AssertionError("something was unpickled")

    monkeypatch.setattr("dill.load", load)
    monkeypatch.setattr(pickle, "load", load)
    resume_experiment("test", make())


def test_when_an_experiment_was_made_stays(finished, make):
    path = finished.tuner_path / "metadata.json"
    created = json.loads(path.read_text())["st_tuner_creation_timestamp"]
    resume_experiment("test", make())
    assert json.loads(path.read_text())["st_tuner_creation_timestamp"] == created


def test_other_backends_are_refused(make, experiments):
    with pytest.raises(ValueError, match=r"ElasticLocalBackend or ElasticPythonBackend .* but got LocalBackend"):
        make(backend=LocalBackend(str(experiments.script))).run()


def test_a_second_journal_is_refused(make):
    with pytest.raises((ValueError, RuntimeError), match=r"one Journal|still runs"):
        make(callbacks=[Journal(), Journal()]).run()


@pytest.mark.parametrize(
    "options", [{"snapshot_interval_s": 0}, {"snapshot_interval_s": float("inf")}, {"drain_s": -1}]
)
def test_bad_options(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} must be .* but got"):
        Journal(**options)


@pytest.mark.parametrize("options", [{"snapshot_interval_s": "60"}, {"snapshot_interval_s": None}, {"drain_s": "5"}])
def test_options_of_another_type(options):
    (name,) = options
    with pytest.raises(TypeError, match=f"{name} must be .* but got"):
        Journal(**options)
