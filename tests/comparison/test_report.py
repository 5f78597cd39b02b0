from __future__ import annotations

import pandas as pd
import pytest

from syne_hypersched.comparison.report import write_report
from syne_hypersched.comparison.runner import run_study
from syne_hypersched.comparison.tables import results_table


def test_the_same_settings_write_the_same_bytes(small_study, tmp_path):
    for name in ("first", "second"):
        write_report(run_study(small_study()), tmp_path / name)
    for name in ("results.csv", "comparison.csv", "summary.csv", "comparison.txt", "summary.txt"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_the_files_have_what_the_tables_have(small_study, tmp_path):
    results = run_study(small_study())
    written = write_report(results, tmp_path)
    assert all(path.is_file() for path in written)
    expected = results_table(results)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "results.csv"), expected, check_dtype=False)
    pytest.importorskip("pyarrow")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "results.parquet"), expected, check_dtype=False)
