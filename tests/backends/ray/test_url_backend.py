"""Checkpoints behind a URL: on a real cluster of two nodes with separate folders, and with places that fail."""

from __future__ import annotations

import json
import os
import shutil
import signal
from types import SimpleNamespace

import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.trial_status import Status
from syne_tune.config_space import uniform

from syne_hypersched import ASHA
from syne_hypersched.backends.ray import _url_backend
from syne_hypersched.backends.ray._url_backend import AutoscalingBackend, UrlBackend
from syne_hypersched.backends.ray._url_store import UrlStore
from syne_hypersched.checkpoints import GenerationStore
from syne_hypersched.filenames import BEST_DIRNAME
from tests.backends.ray.test_backend import Polls, started
from tests.backends.ray.test_streamed import agent_of, are_all, begun, make, script
from tests.checkpoints.test_moving import take, write

fsspec = pytest.importorskip("fsspec")
__all__ = ["make", "script"]

LocalFileSystem = pytest.importorskip("fsspec.implementations.local").LocalFileSystem


class Picky(LocalFileSystem):
    """Refuses what belongs to trial 1, with an error of its own kind."""

    protocol = "picky"

    def _open(self, path, mode="rb", **options):
        if "/1/" in path:
            raise RuntimeError("access denied")
        return super()._open(path, mode, **options)

    def pipe_file(self, path, value, **options):
        if "/1/" in path:
            raise RuntimeError("access denied")
        super().pipe_file(path, value, **options)


@pytest.fixture
def picky():
    fsspec.register_implementation("picky", Picky, clobber=True)
    return "picky://"


def fetched(url, trial, folder):
    """The checkpoint that a trial has behind a URL."""
    UrlStore(url, "run").get(trial, folder / trial / "checkpoints", folder / trial / "aside")
    return json.loads((folder / trial / "checkpoints" / "epoch.json").read_text())["epoch"]


@pytest.mark.slow
class TestTrials:
    def test_all_checkpoints_are_behind_the_url_and_a_lost_node_loses_none(self, make, wait_for, tmp_path):
        url = f"file://{tmp_path}/bucket"
        backend = make(checkpoint_path=url, lease_s=5.0)
        started(backend)
        polls = Polls(backend, wait_for)
        polls.until(lambda reports: len(reports) >= 10)
        wait_for(lambda: UrlStore(url, "run").get("0", tmp_path / "x" / "checkpoints", tmp_path / "x" / "in"))
        os.kill(agent_of(begun(backend)[0][1]), signal.SIGKILL)
        polls.until(lambda reports: sum(report["st_launch"] == 1 for report in reports) >= 5)
        backend.pause_trial(0)
        polls.until(lambda _: not backend.busy_trial_ids())
        backend.stop_all()
        assert are_all(polls.reports)
        assert begun(backend)[1][0] > 0
        last = json.loads((backend.checkpoint_trial_path(0) / "epoch.json").read_text())["epoch"]
        assert fetched(url, "0", tmp_path / "elsewhere") == last

    def test_best_is_on_the_tuners_disk(self, make, tmp_path):
        url = f"file://{tmp_path}/bucket"
        backend = make(checkpoint_path=url)
        scheduler = ASHA({"x": uniform(0, 1), "epochs": 9}, "loss", "epoch", max_t=9, random_seed=0)
        criterion = StoppingCriterion(max_num_trials_started=4)
        tuner = Tuner(backend, scheduler, criterion, n_workers=4, save_tuner=False, sleep_time=0.1)
        tuner.run()
        assert (tuner.tuner_path / BEST_DIRNAME / "checkpoint" / "epoch.json").exists()
        experiment = tuner.tuner_path.name
        for trial in "0123":
            folder = tmp_path / "elsewhere" / trial
            UrlStore(url, experiment).get(trial, folder / "checkpoints", folder / "aside")
            last = (backend.checkpoint_trial_path(int(trial)) / "epoch.json").read_text()
            assert (folder / "checkpoints" / "epoch.json").read_text() == last

    def test_a_trial_whose_checkpoints_are_refused_goes_on(self, make, wait_for, tmp_path, picky, caplog):
        url = f"{picky}{tmp_path}/bucket"
        backend = make(checkpoint_path=url)
        for _ in range(2):
            started(backend, epochs=30)
        polls = Polls(backend, wait_for)
        polls.until(lambda _: {status for _, status in polls.statuses.values()} == {Status.completed})
        backend.stop_all()
        assert len(polls.reports) == 60
        assert fetched(url, "0", tmp_path / "elsewhere") == 30
        assert "The checkpoints of trial 1 were not written to" in caplog.text
        assert "access denied" in caplog.text
        assert "trial 0" not in caplog.text
        assert json.loads((backend.checkpoint_trial_path(1) / "epoch.json").read_text())["epoch"] == 30

    def test_the_name_is_free_when_the_last_checkpoint_is_there(self, make, wait_for, tmp_path, monkeypatch):
        backend, held = make(checkpoint_path=f"file://{tmp_path}/bucket"), []
        close = _url_backend.UrlMirror.close

        def look(mirror):
            close(mirror)
            held.append(backend._folder_lock.is_held)

        monkeypatch.setattr(_url_backend.UrlMirror, "close", look)
        started(backend, epochs=5)
        Polls(backend, wait_for).until(lambda reports: len(reports) == 5)
        backend.stop_all()
        assert held == [True]
        assert not backend._folder_lock.is_held

    def test_what_is_removed_here_is_removed_there(self, make, wait_for, tmp_path):
        url = f"file://{tmp_path}/bucket"
        backend = make(checkpoint_path=url, delete_checkpoints=True)
        started(backend, epochs=5)
        polls = Polls(backend, wait_for)
        polls.until(lambda _: {status for _, status in polls.statuses.values()} == {Status.completed})
        backend.stop_all()
        assert UrlStore(url, "run")._find("0") == set()
        assert not backend.checkpoint_trial_path(0).exists()

    def test_a_place_to_which_nothing_can_be_written_is_refused(self, make, tmp_path):
        (tmp_path / "file").touch()
        backend = make(checkpoint_path=f"file://{tmp_path}/file")
        with pytest.raises(ValueError, match="checkpoint_path must be a URL that the tuner can write to, but"):
            started(backend)


class TestResume:
    """What a tuner that goes on with another one's trials finds on its disk, and what it fetches."""

    @pytest.fixture
    def backend(self, tmp_path, monkeypatch):
        restored = []
        monkeypatch.setattr(AutoscalingBackend, "restore", lambda self, trials, *_: restored.extend(trials))
        backend = UrlBackend.__new__(UrlBackend)
        backend._url = f"file://{tmp_path}/bucket"
        backend.local_path = tmp_path / "run"
        monkeypatch.setattr(
            UrlBackend, "checkpoint_trial_path", lambda self, trial_id: tmp_path / "run" / str(trial_id) / "checkpoints"
        )
        yield backend, restored
        backend._mirror.close()

    def trial(self, status=Status.paused, launch=0):
        return SimpleNamespace(trial=SimpleNamespace(trial_id=0, status=status), launch=launch)

    def saved(self, backend, tmp_path):
        folder = tmp_path / "run" / "0" / "checkpoints"
        write(folder, state="1")
        take(folder, 1)
        UrlStore(backend._url, "run").put("0", folder, folder.with_name("aside"))
        shutil.rmtree(folder.parent)
        return folder

    def test_what_is_missing_comes_from_the_url(self, backend, tmp_path):
        backend, restored = backend
        folder = self.saved(backend, tmp_path)
        backend.restore([self.trial()], 1.0, True)
        assert (folder / "state").read_text() == "1"
        assert GenerationStore(folder).numbers() == [1]
        assert len(restored) == 1

    def test_what_is_on_the_disk_is_newer(self, backend, tmp_path):
        backend, _ = backend
        folder = self.saved(backend, tmp_path)
        write(folder, state="2")
        backend.restore([self.trial()], 1.0, True)
        assert (folder / "state").read_text() == "2"

    @pytest.mark.parametrize(("status", "launch"), [(Status.completed, 0), (Status.paused, -1)])
    def test_what_is_not_needed_is_not_fetched(self, backend, tmp_path, status, launch):
        backend, _ = backend
        folder = self.saved(backend, tmp_path)
        backend.restore([self.trial(status, launch)], 1.0, True)
        assert not folder.exists()

    def test_a_place_that_cannot_be_read_costs_one_trial_its_checkpoint(self, backend, caplog, monkeypatch):
        backend, restored = backend

        def refuse(*_):
            raise OSError("access denied")

        monkeypatch.setattr(_url_backend.UrlMirror, "fetch", refuse)
        backend.restore([self.trial()], 1.0, True)
        assert "cannot be read from" in caplog.text
        assert "access denied. It starts from the beginning" in caplog.text
        assert len(restored) == 1
