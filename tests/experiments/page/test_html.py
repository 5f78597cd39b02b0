from __future__ import annotations

import json
import re
import stat

import pytest

from syne_hypersched.experiments.page import print_page, write_page
from syne_hypersched.experiments.page._html import render
from tests.experiments.page.runs import HOSTILE, write_example

pytest.importorskip("plotly")


SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<text>.*?)</script", re.DOTALL)


def test_a_page_of_one_file_names_no_other(tmp_path):
    write_example(tmp_path / "run")
    page = write_page(tmp_path / "run").read_text(encoding="utf-8")
    assert (tmp_path / "run" / "run.html").read_text(encoding="utf-8") == page
    outside = SCRIPT.sub("", page)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", outside)
    assert "connect-src 'none'" in page
    assert "unsafe-inline'; img" in page  # of styles
    assert not re.search(r"script-src[^;]*unsafe", page)


def test_texts_of_a_run_are_data_and_nothing_else(tmp_path):
    write_example(tmp_path)
    page = write_page(tmp_path).read_text(encoding="utf-8")
    scripts = list(SCRIPT.finditer(page))
    assert [one["attributes"] for one in scripts] == [' type="application/json" id="run-data"', "", ""]
    data = json.loads(scripts[0]["text"])
    assert HOSTILE in data["trials"][0]["config"]
    assert HOSTILE in data["decisions"][0][3]
    assert HOSTILE in data["failures"][0]["lines"][-1]
    assert HOSTILE not in page


def test_a_title_is_a_text_and_marks_in_it_stay():
    page = render("<b>@SCRIPT@ & more</b>", None)
    assert "<title>&lt;b&gt;@SCRIPT@ &amp; more&lt;/b&gt;</title>" in page


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
    with pytest.raises(OSError):
        write_page(tmp_path / "run", tmp_path / "missing" / "page.html")


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    (tmp_path / "metadata.json").write_text(
        json.dumps({"metric_names": ["loss"], "metric_mode": "min", "scheduler_kwargs": {"time_attr": "epoch"}})
    )
    page = write_page(tmp_path).read_text(encoding="utf-8")
    assert json.loads(SCRIPT.search(page)["text"])["trials"] == []


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
