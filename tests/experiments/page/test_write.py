from __future__ import annotations

import errno
import os
import stat

import pytest

from syne_hypersched.experiments.page import print_page, write_page
from tests.experiments.page.runs import write_example
from tests.installed import skip_without

skip_without("plotly")


@pytest.mark.parametrize("name, written", [("page.html", "page.html"), ("page", "page.html"), ("a.b.htm", "a.b.htm")])
def test_the_file_can_be_chosen(tmp_path, name, written):
    write_example(tmp_path / "run")
    assert write_page(tmp_path / "run", tmp_path / name) == tmp_path / written
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["run", written])


def test_only_the_user_can_read_it(tmp_path):
    write_example(tmp_path)
    assert stat.S_IMODE(write_page(tmp_path).stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_is_an_error(tmp_path):
    write_example(tmp_path / "run")
    with pytest.raises(OSError, match=r"Not a directory: '.*/metadata\.json/page\.html'$"):
        write_page(tmp_path / "run", tmp_path / "run" / "metadata.json" / "page.html")


def test_a_folder_that_is_not_there_is_named_before_the_run_is_read(tmp_path):
    with pytest.raises(ValueError, match=r"output must be in an existing folder, but '.*/missing' does not exist$"):
        write_page(tmp_path / "no run", tmp_path / "missing" / "page.html")


def test_a_page_is_written_and_its_path_printed(simulate, capsys, tmp_path):
    path = simulate()
    assert print_page(path) == 0
    assert capsys.readouterr().out == f"page: {path / 'run.html'}\n"
    assert print_page(path, tmp_path / "other.html") == 0
    assert (tmp_path / "other.html").is_file()


def test_a_page_that_cannot_be_made_is_an_error(simulate, capsys, tmp_path):
    assert print_page(tmp_path) == 2
    assert "metadata.json" in capsys.readouterr().err
    assert print_page(simulate(), tmp_path / "missing" / "page.html") == 2
    assert "missing" in capsys.readouterr().err


def test_a_file_that_cannot_be_replaced_is_still_whole_and_nothing_is_left_beside_it(tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError(errno.EACCES, "Permission denied", str(source))

    write_example(tmp_path / "run")
    (tmp_path / "page.html").write_text("before")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError) as raised:
        write_page(tmp_path / "run", tmp_path / "page.html")
    assert raised.value.filename == str(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "run"]


@pytest.mark.parametrize("name", ["folder", ".."])
def test_a_page_is_not_written_beside_a_folder_that_was_named_for_it(tmp_path, name):
    write_example(tmp_path / "run")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=r"output must be a file to be written, but .* is a folder"):
        write_page(tmp_path / "run", tmp_path / "folder" / ".." / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "run"]


def test_a_page_goes_elsewhere_if_nothing_can_be_written_beside_the_run(tmp_path, monkeypatch):
    write_example(tmp_path / "run")
    (tmp_path / "run" / "run.html").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    page = write_page(tmp_path / "run")
    assert page.name == "run.html"
    assert page.parent.parent == tmp_path / "temporary"
    assert page.read_text(encoding="utf-8").startswith("<!")
