from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forked import PRELOADED, ForkedPython
from tests.installed import skip_without

PATH = Path(__file__).parent / "path"


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    monkeypatch.setenv("PYTHONPATH", str(PATH), prepend=os.pathsep)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def forked(*modules: str) -> ForkedPython:
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PATH), os.environ.get("PYTHONPATH"))))
    return ForkedPython((*PRELOADED, "torch._dynamo", *modules), env)


@pytest.fixture(scope="session")
def forked_transformers() -> Iterator[ForkedPython]:
    """Runs Python programs that need not import transformers anew, which takes a minute on a busy machine."""
    skip_without("transformers", "accelerate")
    python = forked("transformers.trainer", "accelerate")
    yield python
    python.close()


@pytest.fixture(scope="session")
def forked_lightning() -> Iterator[ForkedPython]:
    """Runs Python programs that need not import Lightning anew."""
    skip_without("lightning")
    python = forked("lightning")
    yield python
    python.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests here import libraries that take a minute on a busy machine; they wait for the end of processes."""
    for item in items:
        if item.path.parent == PATH.parent and item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(1800))
