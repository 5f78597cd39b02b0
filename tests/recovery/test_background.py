"""Snapshots that are taken by forks."""

from __future__ import annotations

import errno
import os
import signal
import time

import pytest
from syne_tune.config_space import uniform

from syne_hypersched import ASHA
from syne_hypersched._disk import Disk
from syne_hypersched.recovery._background import BackgroundSnapshots
from syne_hypersched.recovery._snapshot import Snapshot, read_snapshot


@pytest.mark.usefixtures("no_process_left")
def test_a_snapshot_is_taken_in_the_background(tmp_path, wait_for):
    scheduler = ASHA({"x": uniform(0, 1)}, "loss", "epoch", 27, random_seed=0)
    snapshots = BackgroundSnapshots(str(tmp_path), 1e-6, Disk())
    wait_for(lambda: snapshots.is_due)
    snapshots.take(3, scheduler)
    wait_for(snapshots.has_ended)
    assert read_snapshot(str(tmp_path), Disk()).num_entries == 3


class _Slow:
    """Signals when it is pickled, and pickles slowly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        self.path.touch()
        time.sleep(0.3)
        return (dict, ())


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_of_the_tuner_is_not_meant_for_a_snapshot(tmp_path, wait_for, caplog, signal_):
    snapshots, begun = BackgroundSnapshots(str(tmp_path), 1e-6, Disk()), tmp_path / "begun"
    snapshots.take(3, _Slow(begun))
    wait_for(begun.exists)
    os.kill(snapshots._pid, signal_)
    wait_for(snapshots.has_ended)
    assert read_snapshot(str(tmp_path), Disk()) == Snapshot(3, {})
    assert caplog.records == []


in_fork: list[signal.Signals] = []
"""Signals that come while the next fork is made; what a handler raises then, Python ignores."""
os.register_at_fork(after_in_parent=lambda: [signal.raise_signal(in_fork.pop()) for _ in tuple(in_fork)])


def _end(*_):
    raise SystemExit(143)


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize(("signal_", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_to_the_tuner_during_the_fork_is_not_lost(tmp_path, wait_for, signal_, error):
    snapshots, before = BackgroundSnapshots(str(tmp_path), 1e-6, Disk()), signal.signal(signal.SIGTERM, _end)
    in_fork.append(signal_)
    try:
        with pytest.raises(error):
            snapshots.take(3, {})
        assert signal.getsignal(signal.SIGTERM) is _end
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
    wait_for(snapshots.has_ended)
    assert read_snapshot(str(tmp_path), Disk()) == Snapshot(3, {})


@pytest.mark.usefixtures("no_process_left")
def test_a_scheduler_that_cannot_be_pickled_is_warned_of_once(tmp_path, wait_for, caplog):
    snapshots = BackgroundSnapshots(str(tmp_path), 1e-6, Disk())
    snapshots.take(3, lambda: None)
    wait_for(lambda: not snapshots.has_ended() and not snapshots.is_due)
    assert len(caplog.records) == 1
    assert "the scheduler or its searcher cannot be pickled. A resume replays the whole journal" in caplog.text
    assert read_snapshot(str(tmp_path), Disk()) is None


class _Full(Disk):
    def create(self, path):
        raise OSError(errno.ENOSPC, path)


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize("is_removed", [True, False])
def test_a_folder_that_cannot_be_written_to_is_named_with_the_reason(tmp_path, wait_for, caplog, is_removed):
    folder = tmp_path / "journal"
    if not is_removed:
        folder.mkdir()
    snapshots = BackgroundSnapshots(str(folder), 1e-6, Disk() if is_removed else _Full())
    snapshots.take(3, {})
    wait_for(lambda: not snapshots.has_ended() and not snapshots.is_due)
    (record,) = caplog.records
    why = "is there no longer, and the journal with it" if is_removed else "cannot be written to (No space left"
    assert f"because the folder {folder} {why}" in record.getMessage()
    assert "pickled" not in record.getMessage()


@pytest.mark.usefixtures("no_process_left")
def test_one_that_has_not_ended_when_the_next_is_due_is_killed(tmp_path, wait_for, caplog):
    snapshots, begun = BackgroundSnapshots(str(tmp_path), 1e-6, Disk()), tmp_path / "begun"
    snapshots.take(1, _Slow(begun))
    wait_for(begun.exists)
    first = snapshots._pid
    snapshots.take(2, {})
    assert snapshots._pid != first
    wait_for(snapshots.has_ended)
    assert read_snapshot(str(tmp_path), Disk()) == Snapshot(2, {})
    assert not caplog.records


@pytest.mark.usefixtures("no_process_left")
def test_what_a_fork_must_not_hold_is_given_back_first(tmp_path, wait_for):
    reader, writer = os.pipe()
    snapshots = BackgroundSnapshots(str(tmp_path), 1000.0, Disk())
    assert not snapshots.is_due, "the first one is due after the interval"
    snapshots.take(1, {}, in_fork=lambda: os.write(writer, b"x") and None)
    wait_for(snapshots.has_ended)
    assert os.read(reader, 9) == b"x", "once, and not in this process"
    os.close(reader)
    os.close(writer)
