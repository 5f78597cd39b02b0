from __future__ import annotations

import os
from pathlib import Path

import pytest

PATH = Path(__file__).parent / "path"


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    monkeypatch.setenv("PYTHONPATH", str(PATH), prepend=os.pathsep)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
