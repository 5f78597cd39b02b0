"""Files that are logs and not parts of a checkpoint."""

from __future__ import annotations

import pytest

from syne_hypersched.checkpoints._open_logs import OpenLogs


@pytest.mark.parametrize("name", ["events.out.tfevents.17", "train.log", "run-1.wandb"])
def test_some_names_are_those_of_logs(name):
    assert f"/trial/checkpoints/{name}" in OpenLogs()


@pytest.mark.parametrize("name", ["model.pt", "logits", "train.log.pt"])
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
    logs.look(3.0)
    assert "/a" in logs
    assert "/b" not in logs
    logs.close("/a")
    logs.look(9.0)
    assert "/a" not in logs


def test_a_file_that_goes_on_growing_is_no_log():
    logs = OpenLogs()
    for report in range(9):
        logs.report(["/a"])
        logs.write("/a", report + 0.9)
        logs.look(report + 1.0)
    assert "/a" not in logs
