"""Logs of an earlier run are kept under other names."""

from __future__ import annotations

import pytest

from syne_hypersched._file_lock import FileLock
from syne_hypersched.backends.local._old_logs import OldLogs


def test_logs_of_all_ranks_are_set_aside_and_all_are_kept(tmp_path, caplog):
    old = OldLogs()
    for run in (1, 2):
        for name in ("std.out", "std.err", "std.rank1.out"):
            (tmp_path / name).write_text(f"{name} of run {run}")
        old.set_aside(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        f"{name}.{run}": f"{name} of run {run}" for name in ("std.out", "std.err", "std.rank1.out") for run in (1, 2)
    }
    (record,) = caplog.records
    assert "std.err.1, std.out.1, std.rank1.out.1" in record.getMessage()


@pytest.mark.parametrize("files", [(), ("config.json", "my.std.out", "std.out.bak"), None])
def test_what_is_no_log_stays(tmp_path, caplog, files):
    folder = tmp_path / "0"
    if files is not None:
        folder.mkdir()
        for name in files:
            (folder / name).touch()
    OldLogs().set_aside(folder)
    assert folder.exists() == (files is not None)
    assert sorted(path.name for path in tmp_path.glob("0/*")) == sorted(files or ())
    assert not caplog.records


def journal_in(folder, number):
    (folder / "journal").mkdir()
    (folder / "journal" / "000000.jsonl").write_text(f"run {number}")
    return FileLock(folder / "journal" / "lock")


def test_a_journal_that_nobody_writes_is_set_aside(tmp_path, caplog):
    for run in (1, 2):
        journal_in(tmp_path, run).close()
        OldLogs().set_aside_journal(tmp_path)
        assert not (tmp_path / "journal").exists()
        assert (tmp_path / f"journal.{run}" / "000000.jsonl").read_text() == f"run {run}"
    assert ["journal.1" in caplog.messages[0], "journal.2" in caplog.messages[1]] == [True, True]


def test_the_journal_of_the_run_itself_stays(tmp_path, caplog):
    lock = journal_in(tmp_path, 1)
    assert lock.acquire()
    old = OldLogs()
    old.set_aside_journal(tmp_path)
    lock.close()  # from here on it is that of this run
    old.set_aside_journal(tmp_path)
    OldLogs().set_aside_journal(tmp_path / "none")
    assert (tmp_path / "journal").exists()
    assert not caplog.records
