"""The reporter of the tests' scripts prints what that of Syne Tune prints."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
import syne_tune

from tests import reporter

TAG = "[tune-metric]: "


def reported(capsys: pytest.CaptureFixture[str], kind: Any) -> list[str]:
    report = kind()
    report(epoch=1, loss=0.5)
    report(epoch=2, loss=math.nan, name="ü", nested={"a": [1, 2]})
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(TAG) for line in lines)
    return [line.removeprefix(TAG) for line in lines]


def test_both_print_the_same_lines(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = reported(capsys, reporter.Reporter), reported(capsys, syne_tune.Reporter)
    clocks = {"st_worker_timestamp": 0, "st_worker_time": 0}
    for our, their in zip(ours, theirs, strict=True):
        assert list(json.loads(our)) == list(json.loads(their))
        assert json.dumps(json.loads(our) | clocks) == json.dumps(json.loads(their) | clocks)


def test_it_imports_nothing_heavy() -> None:
    code = "import sys, tests.reporter; print({'pandas', 'numpy', 'syne_tune'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
