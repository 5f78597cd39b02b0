from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarking.speed.gpu_check import CHECKS, Row, Setting, losses, main, run_checks, table_of
from benchmarking.speed.gpu_memory import used_megabytes

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def setting(tmp_path):
    return Setting(device="cpu", folder=tmp_path, repeats=1, pack_s=0.1, megabytes=1, compile=False)


def test_memory_is_read_from_what_nvidia_smi_prints():
    assert used_megabytes("0\n1024\n") == [0, 1024]
    assert used_megabytes("[N/A]\n") == []
    assert used_megabytes("") == []


def test_losses_are_read_from_reports():
    line = "[tune-metric]: " + json.dumps({"epoch": 1, "train_loss": 0.5})
    assert losses(f"noise\n{line}\nmore noise\n{line}\n") == [0.5, 0.5]
    assert losses("") == []


def test_a_check_that_fails_is_a_row_and_the_others_go_on(setting, monkeypatch):
    def breaks(_):
        raise TimeoutError("nothing happened\nat all")

    monkeypatch.setitem(CHECKS, "launches", breaks)
    monkeypatch.setitem(CHECKS, "drain", lambda _: [Row("a", "ok", "1 s")])
    rows = run_checks(setting, ["launches", "drain"])
    assert rows == [Row("launches", "FAILED", "TimeoutError: nothing happened at all"), Row("a", "ok", "1 s")]


def test_the_table_is_markdown():
    lines = table_of([Row("a long name", "ok", "1"), Row("b", "FAILED", "2")]).splitlines()
    assert lines[0].startswith("| check ")
    assert len({line.index("|", 2) for line in lines}) == 1
    assert lines[-1].endswith("| FAILED  | 2 |")


@pytest.mark.slow
def test_the_elastic_script_goes_on_as_if_it_was_not_interrupted(setting):
    (row,) = [row for row in CHECKS["elastic"](setting) if row.verdict != "skipped"]
    assert (row.check, row.verdict) == ("ElasticRun with AMP", "ok"), row.figure


@pytest.mark.slow
def test_launches_see_no_gpu_in_their_ancestors(setting):
    rows = {row.check: row for row in CHECKS["launches"](setting)}
    assert rows["no CUDA in the server"].verdict == "ok"


@pytest.mark.slow
def test_without_a_gpu_the_script_says_so(capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main([]) == 2
    assert "sees no GPU" in capsys.readouterr().err


@pytest.mark.slow
def test_everything_that_needs_no_gpu_is_tried():
    command = [sys.executable, "benchmarking/speed/gpu_check.py", "--device", "cpu", "--quick"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert "| resize from 1 to 2 devices and back " in ended.stdout, ended.stderr
    assert "Error" not in ended.stdout
