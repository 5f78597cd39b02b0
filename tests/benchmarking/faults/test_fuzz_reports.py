"""A short version of the program, which uses a million inputs."""

from __future__ import annotations

import contextlib
import os
import random
import time

import pytest

from benchmarking.faults import fuzz_reports
from benchmarking.faults.fuzz_reports import TAG, Audit, fuzz_configurations, fuzz_log


@pytest.fixture(scope="module")
def audit():
    return Audit()


def test_hostile_logs(tmp_path, audit):
    counts = fuzz_log(5_000, random.Random(0), tmp_path, audit, patience_s=60)
    assert counts["hostile lines"] == 5_000
    assert counts["honest reports"] > 50
    assert counts["hostile lines that are reports"] > 100


@pytest.mark.usefixtures("no_process_left")
def test_hostile_configurations(tmp_path, audit):
    counts = fuzz_configurations(2_500, random.Random(0), tmp_path, audit, patience_s=60)
    assert counts["values"] == 2_500


def test_a_parser_that_evaluates_reports_is_caught(tmp_path, monkeypatch):
    honest_read = fuzz_reports.read

    def read(tail):
        for line in tail.path.read_text(errors="replace").splitlines():
            with contextlib.suppress(Exception):
                eval(line.partition(TAG)[2])
        return honest_read(tail)

    monkeypatch.setattr(fuzz_reports, "read", read)
    with pytest.raises(AssertionError, match="executed"):
        fuzz_log(500, random.Random(0), tmp_path, Audit(), patience_s=60)


def test_a_parser_that_loses_a_report_is_caught(tmp_path, monkeypatch, audit):
    read = fuzz_reports.read
    monkeypatch.setattr(fuzz_reports, "read", lambda tail: read(tail)[:-1])
    with pytest.raises(AssertionError, match="honest reports"):
        fuzz_log(5_000, random.Random(0), tmp_path, audit, patience_s=60)


def test_a_parser_that_hangs_is_caught(tmp_path, monkeypatch, audit):
    monkeypatch.setattr(fuzz_reports, "read", lambda tail: time.sleep(60))
    with pytest.raises(TimeoutError):
        fuzz_log(500, random.Random(0), tmp_path, audit, patience_s=0.05)


def test_a_shell_on_the_way_is_caught(tmp_path, monkeypatch, audit):
    def through_a_shell(backend, config, patience_s):
        for value in config.values():
            os.system(f"true {value} 2> /dev/null > /dev/null")
        return config | {"x": False}

    monkeypatch.setattr(fuzz_reports, "_pass", through_a_shell)
    with pytest.raises(AssertionError, match="a payload was executed"):
        fuzz_configurations(100, random.Random(0), tmp_path, audit, patience_s=60)


def test_values_that_are_taken_for_options_are_caught(tmp_path, monkeypatch, audit):
    def as_pairs(self, config, config_json, checkpoint_path):
        return (
            *(part for name, value in config.items() for part in (f"--{name}", str(value))),
            "--st_checkpoint_dir",
            "",
        )

    monkeypatch.setattr("syne_hypersched.backends.local._command.ScriptArguments.of", as_pairs)
    with pytest.raises(AssertionError, match="expected one argument"):
        fuzz_configurations(100, random.Random(0), tmp_path, audit, patience_s=60)
