from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.examples._scripts import Scripts


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    """Starts training scripts, which share one server that has imported PyTorch."""
    started = Scripts(tmp_path_factory.mktemp("scripts"))
    yield started
    started.close()
