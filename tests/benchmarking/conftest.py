from __future__ import annotations

from pathlib import Path

import pytest

from tests.comparison.learning_curves import write_learning_curves


@pytest.fixture(scope="session")
def table_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of learning curves."""
    return write_learning_curves(tmp_path_factory.mktemp("table") / "curves.csv")
