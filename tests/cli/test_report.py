from __future__ import annotations

import pytest

from syne_hypersched.cli import main


def test_the_summary_has_as_many_trials_as_asked_for(make_run, tmp_path, capsys, monkeypatch):
    run = make_run("run")
    seen = []
    monkeypatch.setattr("syne_hypersched.experiments.report.plot_run", lambda *given, **options: seen.append(given))
    lengths = []
    for number in (1, 3):
        assert main(["report", str(run), "--num-trials", str(number), "--figure", str(tmp_path / "run.png")]) == 0
        lengths.append(len(capsys.readouterr().out.splitlines()))
    assert lengths[1] - lengths[0] == 2
    assert str(tmp_path / "run.png") in str(seen)


@pytest.mark.parametrize("file", [None, "page.html"])
def test_a_page_is_written_instead_of_a_summary(make_run, tmp_path, capsys, file):
    pytest.importorskip("plotly")
    run = make_run("run")
    page = run / "run.html" if file is None else tmp_path / file
    arguments = [] if file is None else [str(page)]
    assert main(["report", "run", *arguments, "--html"]) == 0
    assert capsys.readouterr().out == f"page: {page}\n"
    assert page.is_file()
    assert not (run / "run.png").exists()


def test_a_file_without_a_page_is_an_error(make_run, tmp_path, capsys):
    make_run("run")
    assert main(["report", "run", str(tmp_path / "page.html")]) == 2
    captured = capsys.readouterr()
    assert "hypersched: a file can be given with --html only, but got" in captured.err
    assert captured.out == ""
    assert not (tmp_path / "page.html").exists()
