"""A short version of the program, which kills a hundred tuners."""

from __future__ import annotations

import json

import pytest

from benchmarking.faults.tuner_kills import Experiment, compare, kill_and_resume


@pytest.mark.slow
def test_nothing_is_lost_or_doubled(tmp_path, monkeypatch):
    kind = "one-by-one"
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    counts, faults = kill_and_resume([kind], num_kills=3, seed=5, folder=tmp_path)
    assert faults == []
    assert counts["kills"] == 3
    assert counts["reports"] > 50

    # The same checks find what is wrong with a journal or with results that were tampered with.
    whole, killed = Experiment(kind, f"whole-{kind}", tmp_path), Experiment(kind, f"{kind}-0", tmp_path)
    assert compare(kind, whole, killed) == []
    row = killed.rows()[0]
    killed.rows = lambda: [(*row[:2], 77.0, row[3]), *killed.__class__.rows(killed)]
    assert compare(kind, whole, killed)
    assert any("reported twice" in fault for fault in killed.faults())
    segment = killed.path / "journal" / "999999.jsonl"
    report = {"epoch": 1, "loss": 77.5}
    segment.write_text(json.dumps({"call": "result", "trial_id": 0, "report": report}) + "\n")
    assert killed.journaled() - killed.curves() == {(0, 1, 77.5)}
