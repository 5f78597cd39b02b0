from __future__ import annotations

import sys

import pytest

from syne_hypersched.comparison.progress import study_progress


def test_elsewhere_than_on_a_terminal_there_is_a_line_for_each_tenth(capsys):
    with study_progress() as on_progress:
        for done in range(101):
            on_progress(done, 100, "a run")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "0 of 100 runs are finished"
    assert lines[-1] == "100 of 100 runs are finished"
    assert len(lines) == 11


def test_a_study_without_runs_is_finished(capsys):
    with study_progress() as on_progress:
        on_progress(0, 0, "")
    assert capsys.readouterr().err == "0 of 0 runs are finished\n"


@pytest.mark.parametrize("has_rich", [True, False])
def test_on_a_terminal_there_is_a_bar_where_rich_is_installed(capsys, monkeypatch, has_rich):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    if not has_rich:
        monkeypatch.setitem(sys.modules, "rich.progress", None)
    with study_progress() as on_progress:
        on_progress(1, 2, "the title of a run")
        on_progress(2, 2, "the last run")
    assert ("2 of 2 runs are finished" in capsys.readouterr().err) == (not has_rich)
