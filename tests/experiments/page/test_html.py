from __future__ import annotations

import json
import re

from syne_hypersched.experiments.page import write_page
from syne_hypersched.experiments.page._html import render
from tests.experiments.page.runs import HOSTILE, write_example
from tests.installed import skip_without

skip_without("plotly")


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


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    (tmp_path / "metadata.json").write_text(
        json.dumps({"metric_names": ["loss"], "metric_mode": "min", "scheduler_kwargs": {"time_attr": "epoch"}})
    )
    page = write_page(tmp_path).read_text(encoding="utf-8")
    assert json.loads(SCRIPT.search(page)["text"])["trials"] == []
