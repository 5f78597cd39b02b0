"""The measurement of disk space runs, and its counts are right."""

from __future__ import annotations

import json

import pytest

from benchmarking.speed.checkpoint_disk import main, megabytes_at


@pytest.mark.slow
def test_a_short_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    output = tmp_path / "disk.json"
    main(["--seconds", "4", "--schedulers", "ASHA, stopping", "--output", str(output)])
    kept, removed = json.loads(output.read_text())
    assert kept["megabytes_freed"] == 0 < removed["megabytes_freed"]
    assert kept["samples"][-1]["num_with_checkpoints"] > removed["samples"][-1]["num_with_checkpoints"] > 0
    for run in (kept, removed):
        for sample in run["samples"]:
            # A trial has one checkpoint, and another one while it is written.
            assert sample["megabytes"] <= 2.001 * sample["num_with_checkpoints"]
    assert capsys.readouterr().out.count("ASHA, stopping, removed") == 2


def test_the_last_sample_counts():
    samples = [{"time_s": 1.0, "megabytes": 2.0}, {"time_s": 3.0, "megabytes": 5.0}]
    assert [megabytes_at(samples, time_s) for time_s in (0.5, 1.0, 2.9, 4.0)] == [0.0, 2.0, 2.0, 5.0]
