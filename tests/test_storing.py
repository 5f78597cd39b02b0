"""A disk without room for a tuner or its results: nothing is torn, nothing is lost, and the tuning goes on."""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.results_callback import StoreResultsCallback
from syne_tune.tuner_callback import TunerCallback

from syne_hypersched import ASHA, ElasticSimulatorBackend, WaitForReports, _storing
from syne_hypersched._storing import store_elsewhere, store_or_warn, store_safely_to_the_end, store_table
from syne_hypersched._tables import read_csv
from syne_hypersched.experiments import LiveProgress, QuietTunerLogger
from tests.schedulers.families import SPACE, Curves

TABLE = pd.DataFrame({"loss": [1.0, 2.0]})


def no_room(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def small_files():
    """No file of this process may have more than 100 bytes, as on a disk that is nearly full."""
    import resource
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


def test_a_table_without_room_leaves_the_one_before(tmp_path, small_files):
    path = tmp_path / "results.csv.zip"
    path.write_bytes(b"before")
    with pytest.raises(OSError, match="File too large"):
        store_table(TABLE, path)
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == [path.name]


def test_there_is_one_warning_until_a_table_has_been_stored_again(tmp_path, monkeypatch, caplog):
    path = tmp_path / "results.csv.zip"
    with monkeypatch.context() as patch:
        patch.setattr(_storing.os, "replace", no_room)
        first = store_or_warn(TABLE, path, None, "It is tried again.")
        second = store_or_warn(TABLE, path, first, "It is tried again.")
    assert first.errno == second.errno == errno.ENOSPC
    assert [record.getMessage() for record in caplog.records] == [
        f"The results cannot be stored in {path} (No space left on device). It is tried again."
    ]
    assert store_or_warn(TABLE, path, second, "") is None
    assert read_csv(path).equals(TABLE)
    monkeypatch.setattr(_storing.os, "replace", no_room)
    store_or_warn(TABLE, path, None, "")
    assert len(caplog.records) == 2


def test_a_table_is_stored_in_a_temporary_folder(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store_elsewhere(TABLE, Path("/runs/name/results.csv.zip"), OSError(errno.ENOSPC, "No space left on device"))
    (found,) = tmp_path.glob("name-*/results.csv.zip")
    assert read_csv(found).equals(TABLE)
    assert f"The results are in {found}, since /runs/name/results.csv.zip cannot be written" in caplog.text


def test_there_may_be_no_room_anywhere(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tempfile, "mkdtemp", no_room)
    store_elsewhere(TABLE, tmp_path / "results.csv.zip", OSError(errno.ENOSPC, "No space left on device"))
    assert "The results are stored neither in" in caplog.text


def make_tuner(tmp_path, monkeypatch, callbacks=None):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    scheduler = ASHA(SPACE, "loss", "epoch", max_t=9, random_seed=0)
    return Tuner(
        ElasticSimulatorBackend(Curves(), "elapsed_s", 2),
        scheduler,
        StoppingCriterion(max_num_trials_started=6),
        n_workers=2,
        sleep_time=0,
        tuner_name="stored",
        suffix_tuner_name=False,
        results_update_interval=-1,  # at every chance
        callbacks=callbacks or [WaitForReports()],
        output_logger=QuietTunerLogger(),
    )


@pytest.mark.parametrize(
    "callbacks", [[WaitForReports], [StoreResultsCallback, LiveProgress], [LiveProgress, StoreResultsCallback]]
)
def test_a_tuner_goes_on_where_nothing_can_be_stored(tmp_path, monkeypatch, caplog, callbacks):
    tuner = make_tuner(tmp_path, monkeypatch, [callback() for callback in callbacks])
    replace, full = os.replace, {"results.csv.zip", "tuner.dill"}

    def replace_unless_full(source, target):
        if Path(target).name in full and "temporary" not in str(target):
            no_room()
        replace(source, target)

    monkeypatch.setattr(_storing.os, "replace", replace_unless_full)
    tuner.run()
    assert tuner.tuning_status.num_trials_started >= 6
    assert caplog.text.count("The results cannot be stored in") == 1
    assert "The tuner cannot be stored in" in caplog.text
    (found,) = (tmp_path / "temporary").glob("stored-*/results.csv.zip")
    assert len(read_csv(found)) == tuner.tuning_status.overall_metric_statistics.count
    assert not {".storing", "results.csv.zip.new", "tuner.dill"} & set(os.listdir(tuner.tuner_path))


class Unpicklable(TunerCallback):
    def __init__(self) -> None:
        self.epochs = (epoch for epoch in range(3))


@pytest.mark.parametrize("callbacks", [[WaitForReports], [StoreResultsCallback, LiveProgress]])
def test_a_tuner_goes_on_where_a_callback_cannot_be_pickled(tmp_path, monkeypatch, caplog, callbacks):
    tuner = make_tuner(tmp_path, monkeypatch, [Unpicklable(), *(callback() for callback in callbacks)])
    tuner.run()
    assert tuner.tuning_status.num_trials_started >= 6
    assert "cannot pickle 'generator' object). The tuning goes on." in caplog.text
    assert len(read_csv(tuner.tuner_path / "results.csv.zip")) == tuner.tuning_status.overall_metric_statistics.count
    assert not {".storing", "tuner.dill"} & set(os.listdir(tuner.tuner_path))


@pytest.mark.parametrize("callbacks", [[WaitForReports], [StoreResultsCallback, LiveProgress]])
def test_what_could_not_be_stored_at_first_is_stored_later(tmp_path, monkeypatch, caplog, callbacks):
    tuner = make_tuner(tmp_path, monkeypatch, [callback() for callback in callbacks])
    replace, failures = os.replace, {"results.csv.zip": 2, "tuner.dill": 2}

    def replace_later(source, target):
        if failures.get(Path(target).name):
            failures[Path(target).name] -= 1
            no_room()
        replace(source, target)

    monkeypatch.setattr(_storing.os, "replace", replace_later)
    tuner.run()
    assert caplog.text.count("cannot be stored in") == 2
    assert not list((tmp_path / "temporary").iterdir())
    assert len(read_csv(tuner.tuner_path / "results.csv.zip")) == tuner.tuning_status.overall_metric_statistics.count
    assert Tuner.load(tuner.tuner_path).tuning_status.num_trials_started >= 6
    assert tuner.save_tuner


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_stored_tuner_keeps_the_metadata_of_the_folder_that_it_has_when_it_is_loaded(tmp_path, is_moved):
    """Also one that a version stored whose callback knew the tuner alone."""
    names = ("first", "second") if is_moved else ("first", "first")
    for name in set(names):
        (tmp_path / name).mkdir()
    tuner = SimpleNamespace(
        tuner_path=tmp_path / names[0], metadata={"st_tuner_creation_timestamp": 1.0}, callbacks=[], save_tuner=False
    )
    store_safely_to_the_end(tuner)
    keeper = tuner.callbacks[-1]
    loaded = pickle.loads(pickle.dumps(keeper))
    loaded.__dict__ = {"_tuner": loaded._tuner}
    loaded._tuner.tuner_path = tmp_path / names[1]
    metadata = tmp_path / names[1] / "metadata.json"
    metadata.write_text('{"st_tuner_creation_timestamp": 2.0}')
    loaded.on_loop_end()
    assert json.loads(metadata.read_text()) == tuner.metadata
