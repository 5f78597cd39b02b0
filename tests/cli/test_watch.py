from __future__ import annotations

import pytest

from syne_hypersched.cli import main


def test_a_page_is_written_by_name_and_by_path(make_run, tmp_path, capsys):
    pytest.importorskip("plotly")
    path = make_run("digits")
    assert main(["report", "digits", "--html"]) == 0
    assert capsys.readouterr().out == f"page: {path / 'run.html'}\n"
    assert main(["report", str(path), "--html", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").stat().st_size > 1_000_000


@pytest.mark.parametrize("arguments", [["missing"], ["missing", "--port", "1"], ["digits", "--port", "70000"]])
def test_what_cannot_be_watched_is_an_error(arguments, make_run, capsys):
    make_run("digits")
    assert main(["watch", *arguments]) == 2
    assert "cannot watch" in capsys.readouterr().err
