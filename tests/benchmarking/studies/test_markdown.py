from __future__ import annotations

from benchmarking.studies.markdown import header, row


def test_a_table_has_as_many_columns_in_every_line():
    lines = [*header("name", ["1x", "2x"]), row("a", ["0.1", "0.2"])]
    assert lines == ["| name | 1x | 2x |", "| --- | ---: | ---: |", "| a | 0.1 | 0.2 |"]
