"""Every planted fault is found and named."""

from __future__ import annotations

import ast

import pytest

from benchmarking.faults.check_faults import FAULTS, MAIN, RIGHT, check_with

#: Those that are planted in every test run.
FAST = ("does_not_load",)


def found(fault, tmp_path):
    return {row.name for row in check_with(fault, tmp_path).failures}


def test_every_fault_can_be_planted():
    text = RIGHT.read_text(encoding="utf-8")
    planted = {name: fault.plant(text) for name, fault in FAULTS.items()}
    assert len({*planted.values(), text}) == len(FAULTS) + 1
    for script in planted.values():
        ast.parse(script)
    assert len(MAIN) == 12
    assert {*MAIN, *FAST} <= FAULTS.keys()


@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize("fault", FAST)
def test_some_faults(fault, tmp_path):
    assert FAULTS[fault].row in found(fault, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("no_process_left")
@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in FAST])
def test_all_faults(fault, tmp_path):
    assert FAULTS[fault].row in found(fault, tmp_path)
