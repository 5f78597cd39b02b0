from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from syne_hypersched.comparison.repository import repository

ROOT = Path(__file__).resolve().parents[2]


def test_in_a_repository_it_is_the_root():
    assert repository() == ROOT


def test_a_copy_without_examples_has_none(tmp_path):
    package = tmp_path / "syne_hypersched"
    (package / "comparison").mkdir(parents=True)
    for name in (
        "__init__.py",
        "_lazy.py",
        "_version.py",
        "_view.py",
        "comparison/__init__.py",
        "comparison/repository.py",
    ):
        (package / name).write_bytes((ROOT / "syne_hypersched" / name).read_bytes())
    code = "from syne_hypersched.comparison.repository import __file__, repository; print(__file__, repository())"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(package / "comparison" / "repository.py"), "None"]
