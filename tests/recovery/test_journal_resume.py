"""A resume by the journal: what it needs, what it does without, and what it refuses."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest

from syne_hypersched import resume_experiment
from syne_hypersched._disk import Disk
from syne_hypersched._moments import Moment
from syne_hypersched.experiments import check_run, load_run, read_events
from syne_hypersched.records.segments import Segments
from syne_hypersched.recovery import _resume
from syne_hypersched.recovery._replay import replay
from syne_hypersched.recovery._resume import elapsed_s as seconds_that_count
from tests.recovery.tuners import PatientJournal, read_segments_of

pytestmark = pytest.mark.usefixtures("no_process_left")


def num_results(experiments):
    return len(experiments.results("test"))


def test_an_experiment_goes_on_with_another_stop_criterion_and_json_alone(finished, make, experiments):
    before = num_results(experiments)
    (finished.tuner_path / "journal" / "setup.dill").unlink()
    (finished.tuner_path / "journal" / "snapshot").unlink(missing_ok=True)
    tuner = make(num_trials=5)
    assert resume_experiment("test", tuner) is tuner
    table = experiments.results("test")
    assert len(table) > before
    # Syne Tune stops when there are more than that.
    assert len(table[table.epoch == 9]) == 6
    assert not table.duplicated(["trial_id", "epoch"]).any()
    # From now on it is this tuner that is stored.
    assert resume_experiment("test").stop_criterion.max_num_trials_finished == 5


def test_an_event_that_a_crash_has_torn_spoils_no_other(finished, make):
    """A last line without its end is cut off, so that the next event begins a line."""
    path = finished.tuner_path / "events.jsonl"
    num_whole = len(read_events(path))
    with open(path, "ab") as file:
        file.write(b'{"time_s": 1.5, "event": "la')
    resume_experiment("test", make(num_trials=4))
    assert len(read_events(path)) > num_whole  # which raises at a line that is no event


def test_what_was_read_is_synced_before_anything_is_built_on_it(finished, monkeypatch):
    """A tuner that was killed may have written lines that it did not sync; the next one goes on from them."""

    class WatchedDisk(Disk):
        def sync_file(self, path):
            synced.append(path)
            super().sync_file(path)

    synced = []
    monkeypatch.setattr(_resume, "Disk", WatchedDisk)
    resume_experiment("test")
    assert synced[0] == str(finished.tuner_path / "journal" / "000000.jsonl")


def test_what_a_trial_has_left_that_the_journal_does_not_name_is_removed(finished):
    """Its tuner was killed between the launch and the line. Another trial gets its number."""
    unrecorded, somebodys = finished.tuner_path / "7", finished.tuner_path / "8"
    (unrecorded / "checkpoints").mkdir(parents=True)
    (unrecorded / "config.json").write_text("{}")
    somebodys.mkdir()
    resume_experiment("test")
    assert not unrecorded.exists()
    assert somebodys.exists()
    assert (finished.tuner_path / "2" / "config.json").exists()


def test_without_a_stored_tuner_one_must_be_given(finished):
    (finished.tuner_path / "journal" / "setup.dill").unlink()
    with pytest.raises(FileNotFoundError, match="give resume_experiment a tuner made as the first one was"):
        resume_experiment("test")


@pytest.mark.parametrize(("time_passes", "elapsed_s"), [("always", 1000.0), ("running", 170.0)])
def test_time_between_death_and_resume(monkeypatch, time_passes, elapsed_s):
    """A tuner ran for 100 s; after 400 s another one began, whose last entry is at 160 s and which lived for 70 s."""
    segments = Segments(headers=({"timestamp": 5000.0, "time_s": 0.0}, {"timestamp": 5400.0, "time_s": 100.0}))
    monkeypatch.setattr(time, "time", lambda: 6000.0)
    lock = SimpleNamespace(last_alive=Moment(5470.0))
    assert seconds_that_count(segments, 160.0, lock.last_alive, time_passes) == elapsed_s


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
@pytest.mark.parametrize(("time_passes", "elapsed_s"), [("always", 1000.0), ("running", 170.0)])
def test_setting_the_clock_changes_no_time_between_death_and_resume(monkeypatch, time_passes, elapsed_s, step_s):
    """The same, on one machine whose wall clock is set repeatedly."""

    def moment(boot_s, num_steps):
        return Moment(5000.0 + boot_s + num_steps * step_s, boot_s, "this start")

    headers = ({**moment(0.0, 0).entries, "time_s": 0.0}, {**moment(400.0, 1).entries, "time_s": 100.0})
    monkeypatch.setattr(Moment, "now", lambda: moment(1000.0, 3))
    lock = SimpleNamespace(last_alive=moment(470.0, 2))
    assert seconds_that_count(Segments(headers=headers), 160.0, lock.last_alive, time_passes) == elapsed_s


def test_a_torn_tuner_file_is_named_and_a_tuner_can_be_passed_instead(finished, make):
    path = finished.tuner_path / "journal" / "setup.dill"
    for content in (b"", path.read_bytes()[:100], b"no pickle"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"setup\.dill cannot be loaded .* give resume_experiment a tuner made as"):
            resume_experiment("test")
    resume_experiment("test", make())


def test_lines_that_are_no_events_do_not_keep_an_experiment_from_going_on(finished, caplog):
    events = finished.tuner_path / "events.jsonl"
    content = events.read_bytes()
    events.write_bytes(b"\0\0\n" + content + b'{"time_s": 3, "eve')
    resume_experiment("test")
    assert f"1 line of {events} left out: no event" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name_or_path": 3}, TypeError, "name_or_path must be the name or the folder of an experiment, but got 3"),
        ({"strict": "no"}, TypeError, "strict must be True or False, but got 'no'"),
        ({"tuner": "x"}, TypeError, r"tuner must be a syne_tune\.Tuner or None, but got 'x'"),
        ({"time_passes": None}, ValueError, 'time_passes must be "always" or "running", but got None'),
    ],
)
def test_arguments_of_a_resume(arguments, error, message):
    with pytest.raises(error, match=message):
        resume_experiment(**{"name_or_path": "test", **arguments})


def test_a_resume_by_path_from_elsewhere(finished, experiments, monkeypatch):
    path = finished.tuner_path
    moved = path.rename(path.with_name("moved"))
    monkeypatch.setenv("SYNETUNE_FOLDER", "/nowhere")
    tuner = resume_experiment(moved)
    assert tuner.tuner_path == moved
    assert len(read_segments_of(moved).headers) == 2
    assert not path.exists()


def test_a_stored_tuner_that_others_can_write_to_is_not_loaded(finished):
    (finished.tuner_path / "journal" / "setup.dill").chmod(0o666)
    with pytest.raises(PermissionError, match="writable by nobody else, because loading it executes code"):
        resume_experiment("test")


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [("nothing", FileNotFoundError, "nor .* has a folder 'journal'"), ("test", ValueError, "time_passes must be")],
)
def test_bad_arguments(finished, name, error, match):
    with pytest.raises(error, match=match):
        resume_experiment(name, time_passes="never" if name == "test" else "always")


def test_a_tuner_without_a_journal_is_refused(finished, make):
    with pytest.raises(ValueError, match="tuner must have a Journal among its callbacks"):
        resume_experiment("test", make(callbacks=[]))


def test_a_tuner_with_another_seed_is_refused_before_anything_is_written(finished, make):
    with pytest.raises(ValueError, match="the scheduler must decide as the journal says, but at entry 0"):
        resume_experiment("test", make(random_seed=2))
    assert len(read_segments_of(finished.tuner_path).headers) == 1
    resume_experiment("test")  # and nothing is locked


def test_a_resume_replays_only_what_came_after_the_snapshot(make, monkeypatch, caplog):
    make(callbacks=[PatientJournal()]).run()
    known = []
    monkeypatch.setattr(_resume, "replay", lambda *arguments: known.append(arguments[4]) or replay(*arguments))
    tuner = resume_experiment("test")
    assert known[0] > 10
    assert "replayed" not in caplog.text
    assert tuner.scheduler.incumbent.resource == 9
    # With a tuner of other arguments the snapshot is of no use.
    other = make()
    other.scheduler.max_t = 10
    resume_experiment("test", other)
    assert known[1] == 0
    assert "the snapshot is of a scheduler with other arguments" in caplog.text


def test_a_tuner_that_died_before_its_first_trial_is_gone_on_with(finished, experiments):
    path = finished.tuner_path
    header, *_ = (path / "journal" / "000000.jsonl").read_bytes().splitlines(keepends=True)
    (path / "journal" / "000000.jsonl").write_bytes(header)
    (path / "events.jsonl").unlink()
    resume_experiment("test")
    assert check_run(load_run(path, time_attr="epoch")) == ()
    table = experiments.results("test")
    assert len(table[table.epoch == 9]) == 4


@pytest.mark.parametrize("torn", ["", '{"st_tuner_creation_timestamp": 17', "[]", None])
def test_metadata_torn_by_a_kill_are_written_again(finished, make, torn):
    path = finished.tuner_path / "metadata.json"
    whole = json.loads(path.read_text())
    path.unlink()
    if torn is not None:
        path.write_text(torn)
    resume_experiment("test", make())
    again = json.loads(path.read_text())
    assert again["scheduler_name"] == whole["scheduler_name"]
    # When it was made is known from the journal, which was begun soon after.
    assert again["st_tuner_creation_timestamp"] == read_segments_of(finished.tuner_path).headers[0]["timestamp"]


def test_a_broken_snapshot_is_done_without(finished, caplog):
    (finished.tuner_path / "journal" / "snapshot").write_text(json.dumps({"format": 7}) + "\n")
    resume_experiment("test")
    assert "The whole journal is replayed: the snapshot must be of format 1" in caplog.text
