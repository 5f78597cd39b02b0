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


def test_the_page_has_the_file_that_is_named_however_it_is_spelled(make_run, tmp_path, capsys):
    pytest.importorskip("plotly")
    make_run("digits")
    file = tmp_path / "page.html"
    for arguments in (
        ["digits", f"--html={file}"],
        [f"--html={file}", "digits"],
        ["digits", "--html", str(file)],
        ["--html", "digits", str(file)],
    ):
        assert main(["report", *arguments]) == 0
        assert capsys.readouterr().out == f"page: {file}\n"
        assert b"digits" in file.read_bytes()
        file.unlink()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["digits", "a.html", "--html=b.html"], ["a.html", "b.html"]),
        (["digits", "a.html"], ["--html", "a.html"]),
        (["--html=a.html"], ["RUN"]),
        (["digits", "--html="], ["--html"]),
    ],
)
def test_what_names_no_file_or_two_is_refused(arguments, words, make_run, capsys):
    make_run("digits")
    assert main(["report", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("hypersched: ")
    assert all(word in printed.err for word in words)
    assert printed.err.endswith("Try: hypersched report --help\n")


def test_the_help_of_report_says_how_the_page_gets_another_file(capsys):
    assert main(["report", "--help"]) == 0
    printed = capsys.readouterr().out
    assert "--html=FILE" in printed
    assert "The same as --html=FILE" in " ".join(printed.split())


@pytest.mark.parametrize("arguments", [["missing"], ["missing", "--port", "1"], ["digits", "--port", "70000"]])
def test_what_cannot_be_watched_is_an_error(arguments, make_run, capsys):
    make_run("digits")
    assert main(["watch", *arguments]) == 2
    assert "cannot watch" in capsys.readouterr().err
