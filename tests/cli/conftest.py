from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.comparison.learning_curves import write_learning_curves
from tests.experiments.conftest import SimulatedRun


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes a finished run of some name among the experiments of Syne Tune, which are in a folder of this test."""
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))

    def make(name: str) -> Path:
        path = tmp_path / "experiments" / name
        path.mkdir(parents=True)
        SimulatedRun(path, num_devices=2, deadline_s=20.0, seed=0).run()
        return path

    return make


@pytest.fixture(scope="session")
def table_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of learning curves."""
    return write_learning_curves(tmp_path_factory.mktemp("table") / "curves.csv")
