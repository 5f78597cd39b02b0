"""Files that are logs and not parts of a checkpoint."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._open_logs import OpenLogs


@pytest.mark.parametrize("name", ["events.out.tfevents.17", "train.log", "a.wandb", ".lock", "LOCK", "a.lock", "a.pid"])
def test_some_names_are_those_of_logs(name):
    assert f"/trial/checkpoints/{name}" in OpenLogs()


@pytest.mark.parametrize("name", ["model.pt", "logits", "train.log.pt", "block", "pid.pt"])
def test_others_are_not(name):
    assert f"/trial/checkpoints/{name}" not in OpenLogs()


def test_what_is_open_at_three_reports_and_idle_is_a_log_until_it_is_closed():
    logs = OpenLogs()
    for report in range(3):
        assert "/a" not in logs
        logs.report(["/a"])
        logs.write("/a", float(report))
        logs.look(float(report))
    assert "/a" not in logs  # it was written to just now
    logs.look(2.2)
    assert "/a" not in logs
    logs.look(3.0)
    assert "/a" in logs
    assert "/b" not in logs
    logs.close("/a")
    logs.look(9.0)
    assert "/a" not in logs


def test_a_file_that_is_closed_between_the_reports_is_no_log():
    logs = OpenLogs()
    for report in range(9):
        logs.report(["/a"])
        logs.look(float(report))
        logs.close("/a")
        logs.look(report + 0.5)
    assert "/a" not in logs


def test_a_file_that_grows_in_one_long_write_is_no_log(tmp_path):
    path = tmp_path / "model"
    logs = OpenLogs()
    for report in range(9):
        path.write_text("x" * report)
        logs.report([str(path)])
        logs.look(float(report))
    assert str(path) not in logs
    logs.look(9.0)
    assert str(path) in logs


def test_a_file_that_goes_on_growing_is_no_log():
    logs = OpenLogs()
    for report in range(9):
        logs.report(["/a"])
        logs.write("/a", report + 0.9)
        logs.look(report + 1.0)
    assert "/a" not in logs


def test_who_keeps_a_file_open_is_waited_for_only_while_it_changes(tmp_path):
    path = tmp_path / "state.db"
    path.write_text("x")
    logs, name = OpenLogs(), str(path)
    for report in range(3):
        assert logs.complaint(str(tmp_path)) == ""
        assert logs.awaited([name], report + 0.9) == {name}  # it will be closed
        logs.hear("written", name, float(report))
        logs.report([name])
    assert logs.awaited([name], 2.01) == {name}  # it was written to just now
    assert logs.awaited([name], 2.2) == set()
    path.write_text("xx")
    assert logs.awaited([name], 2.3) == {name}  # it grows
    assert logs.awaited([name], 2.4) == set()
    assert logs.complaint(str(tmp_path)).startswith("state.db in the checkpoint folder stays open")
    logs.hear("closed", name, 2.5)
    assert logs.awaited([name], 3.0) == {name}


def test_a_log_is_no_reason_to_complain():
    logs = OpenLogs()
    for report in range(3):
        logs.report(["/a", "/b.log"])
        logs.look(float(report))
    logs.look(9.0)
    assert logs.complaint("/") == ""
