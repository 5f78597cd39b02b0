from __future__ import annotations

import pytest

from benchmarking.speed.log_throughput import LOGS, main, measure


@pytest.mark.parametrize("name", LOGS)
def test_every_report_of_a_large_log_is_read(tmp_path, name):
    figures = measure(LOGS[name], megabytes=8, folder=tmp_path)
    assert figures["mb_per_s"] > 0
    assert figures["grows_by_mb"] < 100


def test_the_figures_are_written(tmp_path):
    main(["--megabytes", "1", "--output", str(tmp_path / "figures.json")])
    assert "lines without a report" in (tmp_path / "figures.json").read_text()
