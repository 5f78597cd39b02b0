"""Whether the time of an experiment is over, without any change of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import dill
import pytest

from syne_hypersched._moments import Moment
from syne_hypersched.recovery import spent_time
from syne_hypersched.recovery._lock import ExperimentLock

DEADLINE_S = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that was begun 100 s ago, whose tuner died after 20 s."""
    now = Moment.now()
    begun = Moment(now.timestamp - 100.0, None if now.boot_s is None else now.boot_s - 100.0, now.boot_id)
    journal = tmp_path / "run" / "journal"
    journal.mkdir(parents=True)
    header = {"format": 1, "num_before": 0, "time_s": 0.0, **begun.entries}
    (journal / "000000.jsonl").write_text(json.dumps(header) + "\n")
    criterion = SimpleNamespace(deadline_s=DEADLINE_S, drain_s=2.0)
    (journal / "setup.dill").write_bytes(dill.dumps(SimpleNamespace(stop_criterion=criterion)))
    boot = "" if now.boot_s is None else f"{now.boot_s - 80.0:020.6f} {now.boot_id}\n"
    (journal / "lock").write_text(f"process 1 on host\n{boot}")
    os.utime(journal / "lock", (now.timestamp - 80.0,) * 2)
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_a_passed_deadline_is_found_and_nothing_is_changed(folder: Path) -> None:
    before = contents(folder)
    spent = spent_time(folder)
    assert spent is not None
    assert contents(folder) == before
    assert (spent.deadline_s, spent.path) == (DEADLINE_S, folder)
    assert spent.elapsed_s >= 100.0
    assert spent.tuned_s == pytest.approx(20.0, abs=0.1)  # what it is computed from was rounded
    assert spent.has_time_left


def test_there_is_time_left_if_only_that_of_a_tuner_counts(folder: Path) -> None:
    assert spent_time(folder, time_passes="running") is None


def test_a_later_deadline_of_a_new_tuner_counts(folder: Path) -> None:
    def tuner(deadline_s: float | None, of_scheduler: float | None = None) -> object:
        criterion = SimpleNamespace(deadline_s=deadline_s, drain_s=2.0)
        return SimpleNamespace(stop_criterion=criterion, scheduler=SimpleNamespace(deadline_s=of_scheduler))

    assert spent_time(folder, tuner(1000.0)) is None  # type: ignore[arg-type]
    assert spent_time(folder, tuner(50.0)) is not None  # type: ignore[arg-type]
    # It takes the deadline of the scheduler.
    assert spent_time(folder, tuner(None, 50.0)) is not None  # type: ignore[arg-type]
    assert spent_time(folder, tuner(None)) is None  # type: ignore[arg-type]


def test_a_run_whose_tuner_lives_is_not_over(folder: Path) -> None:
    lock = ExperimentLock(folder / "journal" / "lock")
    try:
        assert spent_time(folder) is None
    finally:
        lock.release()
