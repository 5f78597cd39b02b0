from __future__ import annotations

from pathlib import Path

import pytest

from syne_hypersched.comparison.presets import make_study
from syne_hypersched.comparison.settings import Study, TableFile
from tests.comparison.learning_curves import write_learning_curves


@pytest.fixture(scope="session")
def table_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of learning curves."""
    return write_learning_curves(tmp_path_factory.mktemp("table") / "curves.csv")


@pytest.fixture
def small_study(table_path: Path):
    """Makes small studies on the table."""

    def make(**changes: object) -> Study:
        table = TableFile(str(table_path), "error", True, elapsed_time_attr="seconds")
        base = {
            "benchmarks": ("table",),
            "table": table,
            "schedulers": ("hypersched", "asha", "random"),
            "deadlines": ("0.5x", "1x"),
            "num_devices": (4,),
            "seeds": (0, 1),
        }
        return make_study(**(base | changes))

    return make
