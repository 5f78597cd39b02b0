"""The page in a browser: headless Chromium, as Debian has it."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syne_hypersched.experiments.page import PageServer, RunReader, write_page
from tests.experiments.clusters import ClusterRun, large_run
from tests.experiments.page.opened import OpenPage, Tab
from tests.experiments.page.runs import WrittenRun, write_cluster, write_example
from tests.experiments.test_hostile_texts import write
from tests.installed import skip_without

skip_without("plotly")
skip_without("playwright", "axe_playwright_python")


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(browser, tmp_path_factory) -> Iterator[Tab]:
    tab = Tab(browser.new_page(), tmp_path_factory.mktemp("opened") / "page.html")
    yield tab
    tab.leave()


@pytest.fixture
def open_page(tab) -> Iterator[Any]:
    yield tab.open
    tab.leave()


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run")
    write_example(path)
    return write_page(path)


@pytest.fixture(scope="module")
def shared() -> dict[str, OpenPage]:
    """One page of a file for the tests that leave it as it was, since Chromium takes a second to open it."""
    return {}


@pytest.fixture
def opened(tab, file, shared) -> Iterator[OpenPage]:
    if not tab.shows(shared.get("page")):
        shared["page"] = tab.open(file)
    opened = shared["page"]
    yield opened
    for field in ("#filter", "#decisions-filter"):
        opened.page.fill(field, "")
    opened.page.select_option("#devices-rows", "device")
    opened.page.select_option("#metric-x", "time")


def test_a_file_shows_the_run_and_asks_for_nothing(opened):
    assert opened.requests == [opened.address]
    assert "Best accuracy 0.8: trial 0 at epoch 4" in opened.text("#headline")
    assert opened.page.locator("#trials-table tbody tr").count() == 4
    assert "grows from 1 to 3 devices: rank 1 of 1" in opened.text("#decisions-table")
    opened.page.click("#failures-list summary")
    assert "RuntimeError" in opened.text("#failures-list pre")
    for chart in ("metric", "devices", "rungs", "launches", "parallel"):
        assert opened.page.locator(f"#{chart}-chart .main-svg").count(), f"{chart} is drawn"


def test_texts_of_a_run_take_no_page_over(opened):
    assert "<img src=x" in opened.hover("metric-chart", ".scatterlayer .points path[d]")
    assert "<img src=x" in opened.text("#trials-table")
    assert "</script>" in opened.text("#failures-list summary")
    assert opened.page.locator("img").count() == 0
    assert opened.page.title() != "taken over"


def test_hover_says_who_held_a_device_and_why_it_changed(opened):
    text = opened.hover("devices-chart", ".barlayer .trace .point path")
    assert "trial 0 ×1" in text
    assert "node0/gpu0" in text
    assert "ended: drained, resize" in text
    assert "grows from 1 to 3 devices" in text


def test_hover_on_a_curve_says_which_trial_it_is(opened):
    assert re.search(r"trial \d at epoch \d", opened.hover("metric-chart", ".scatterlayer .points path"))


def test_a_chart_out_of_sight_is_drawn_anew_once_it_is_seen(opened):
    opened.page.locator("#best").scroll_into_view_if_needed()
    opened.page.select_option("#devices-rows", "trial")
    opened.page.locator("#devices-chart").scroll_into_view_if_needed()
    opened.shows("#devices-chart", "trial 3")


def test_filters_choose_trials(opened):
    for words, ids in (
        ("act=relu", ["1", "2"]), ("act=relu lr<0.005", ["2"]), ("status:paused", ["1"]), ("best>=0.8", ["0"]),
        ("nothing-like-it", []), ("devices>1", ["0"]), ("gelu", ["3"]), ("width!=8 act:RELU", ["1", "2"]),
    ):  # fmt: skip
        opened.page.fill("#filter", words)
        assert opened.page.locator("#trials-table tbody button").all_inner_texts() == ids, words
    opened.page.fill("#decisions-filter", "rung")
    assert opened.page.locator("#decisions-table tbody tr").count() == 1


def test_the_filter_chooses_curves_too(opened):
    curves = "document.querySelectorAll('#metric-chart .scatterlayer .trace').length"
    before = opened.page.evaluate(curves)
    opened.page.fill("#filter", "trial=1")
    opened.page.locator("#metric-chart").scroll_into_view_if_needed()
    opened.page.wait_for_function(f"() => {curves} < {before}")


def test_rows_can_be_trials(opened):
    opened.page.locator("#devices-chart").scroll_into_view_if_needed()
    opened.page.select_option("#devices-rows", "trial")
    opened.shows("#devices-chart", "trial 3")
    opened.page.locator("#metric-chart").scroll_into_view_if_needed()
    opened.page.select_option("#metric-x", "level")
    opened.shows("#metric-chart", "epoch")


def test_the_table_can_be_sorted_with_the_keyboard(opened):
    header = opened.page.locator("#trials-table th button", has_text="width")
    header.focus()
    header.press("Enter")
    assert opened.page.locator("#trials-table tbody button").all_inner_texts() == ["3", "2", "0", "1"]
    assert opened.page.locator("#trials-table th[aria-sort=ascending]").inner_text().startswith("width")


def test_light_and_dark_can_be_chosen(opened):
    theme = "document.documentElement.dataset.theme"
    for chosen in ("dark", "light"):
        opened.page.click("#theme")
        assert opened.page.evaluate(theme) == chosen


@pytest.mark.parametrize("chart", ["metric", pytest.param("rungs", marks=pytest.mark.slow)])
def test_the_title_of_an_axis_does_not_lie_on_its_ticks(opened, chart):
    opened.page.locator(f"#{chart}-chart").scroll_into_view_if_needed()
    opened.page.wait_for_selector(f"#{chart}-chart .ytitle")
    distance = """(chart) => {
        const title = document.querySelector(`#${chart} .ytitle`).getBoundingClientRect();
        const ticks = [...document.querySelectorAll(`#${chart} .ytick text`)];
        return Math.min(...ticks.map((tick) => tick.getBoundingClientRect().left)) - title.right;
    }"""
    assert opened.page.evaluate(distance, f"{chart}-chart") >= 5


def test_a_filter_that_is_half_written_says_so_and_hides_nothing(opened):
    count = opened.page.locator("#trials-table tbody tr").count()
    assert count > 1
    for text, message in (
        ("lr<", "“lr<” is not complete"),
        ("lr < 0.1", "“<” is not complete"),
        ("lr<fast", "“lr<fast” must compare with a number"),
        ("rate>0", "There is no column “rate”"),
    ):
        opened.page.fill("#filter", text)
        opened.shows("#filter-help", message)
        if " " not in text:
            assert opened.page.locator("#trials-table tbody tr").count() == count
    opened.page.fill("#filter", "")
    opened.shows("#filter-help", "Words that must all hold")


@pytest.mark.parametrize(
    "width, theme",
    [
        (390, "dark"),
        pytest.param(1600, "light", marks=pytest.mark.slow),
        pytest.param(390, "light", marks=pytest.mark.slow),
        pytest.param(1600, "dark", marks=pytest.mark.slow),
    ],
)
def test_it_can_be_read_by_everybody(open_page, file, width, theme):
    opened = open_page(file, width=width, theme=theme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is cut off at the side"
    assert opened.page.evaluate("document.documentElement.dataset.theme") == theme
    words = "[...document.querySelectorAll('p, td, th, dd, label')]"
    sizes = f"{words}.map((one) => parseFloat(getComputedStyle(one).fontSize))"
    assert min(opened.page.evaluate(sizes)) >= 12
    assert opened.serious_faults() == []


def test_a_live_page_follows_the_run_and_asks_this_machine_alone(open_page, tmp_path):
    run = write_example(tmp_path)
    server = PageServer(RunReader(tmp_path))
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        opened = open_page(server.address)
        opened.shows("#headline", "accuracy 0.8")
        run.report(3, 1, 0.95, is_first=True)
        opened.shows("#headline", "Best accuracy 0.95: trial 3 at epoch 1")
        opened.shows("#best-text", "Trial 3 reported accuracy 0.95")
        run.start(4, act="new")
        run.decide("resize", 3, "a reason that has just come")
        opened.shows("#decisions-table", "a reason that has just come")
        assert opened.page.locator("#trials-table tbody tr").count() == 5
        assert all(request.startswith(server.address) for request in opened.requests)
    finally:
        server.close()
        thread.join()
    opened.shows("#freshness", "no longer live")
    opened.errors = [error for error in opened.errors if "ERR_CONNECTION" not in error]


def test_a_run_without_reports_says_what_it_waits_for(open_page, tmp_path):
    run = WrittenRun(tmp_path)
    run.start(0, lr=0.1)
    opened = open_page(write_page(tmp_path))
    assert "import" in opened.text("#metric-chart")
    assert "No trial has reported" in opened.text("#headline")


@pytest.mark.slow
def test_a_run_that_has_ended_without_a_report_does_not_wait_for_one(open_page, tmp_path):
    run = WrittenRun(tmp_path, begun=0.0)
    run.start(0, lr=0.1)
    run.event("exit", 0, run.held[0], 0, how="failed", exit_code=1)
    run.event("fail", 0, (), 0)
    opened = open_page(write_page(tmp_path))
    assert opened.text("#metric-chart") == "No report: the run has ended without one, see the failures below."
    assert opened.text("#headline") == "No trial has reported a finite accuracy"
    assert opened.text("#decisions-note") == "Nothing was decided: no trial has reported."
    entry = {"call": "result", "time_s": 1.0, "trial_id": 0, "report": {"step": 1, "acc": 0.5}, "decision": "CONTINUE"}
    with run.journal.open("a") as file:
        file.write(json.dumps(entry) + "\n")
    opened = open_page(write_page(tmp_path))
    sentence = "the script reports step, acc; the metric is accuracy"
    assert opened.text("#metric-chart") == f"Nothing to show: {sentence}."
    assert opened.text("#problems") == sentence


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1600])
def test_names_of_axes_do_not_run_into_each_other(open_page, tmp_path, width):
    run = WrittenRun(tmp_path, num_devices=1)
    for trial_id in range(4):
        names = ("learning_rate", "weight_decay_of_all", "num_hidden_layers", "dropout_probability")
        run.start(trial_id, **{f"{name}": 10.0 ** -(trial_id + index) for index, name in enumerate(names)})
        run.report(trial_id, 1, 0.123456 * (trial_id + 1))
        run.event("exit", trial_id, run.held[trial_id], 0)
    opened = open_page(write_page(tmp_path), width=width)
    opened.page.locator("#parallel-chart").scroll_into_view_if_needed()
    opened.page.wait_for_selector("#parallel-chart .annotation")
    boxes = opened.page.eval_on_selector_all(
        "#parallel-chart .annotation",
        "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.right, box.top, box.bottom])",
    )
    assert len(boxes) == 5 * 3  # a name and two ends of each axis
    for (left, right, top, bottom), other in itertools.combinations(boxes, 2):
        assert min(right, other[1]) - max(left, other[0]) <= 1 or min(bottom, other[3]) - max(top, other[2]) <= 1
    assert min(box[0] for box in boxes) >= 0
    assert max(box[1] for box in boxes) <= width


def cluster_run() -> ClusterRun:
    """Nine nodes with four devices each, one of which is lost."""
    run = ClusterRun(9, 4)
    run.at(1.0).launch(0, 4)
    run.at(2.0).report(0)
    run.at(10.0).lose("node2", "its link is cut")
    run.at(12.0).launch(0, 4)
    run.at(40.0).report(0)
    return run


@pytest.mark.parametrize(
    "text", [pytest.param("דיוק", marks=pytest.mark.slow), "\u202eafter an override\nand two\nlines\x1b[2J"]
)
def test_names_turn_nothing_round(open_page, tmp_path, text):
    write(tmp_path / "run", text)
    opened = open_page(write_page(tmp_path / "run"))
    left_of = """([selector, word]) => {
      const node = document.querySelector(selector).firstChild, at = node.textContent.indexOf(word);
      const range = document.createRange();
      range.setStart(node, at); range.setEnd(node, at + word.length);
      return range.getBoundingClientRect().left;
    }"""
    words = ("Best", "acc", "0.7", "trial", "ep", " 2")
    places = [opened.page.evaluate(left_of, ["#headline", word]) for word in words]
    assert places == sorted(places), "the words of the page stay in their order"
    for part in ("#headline", "#trials-table", "#decisions-table", "#best-text", "#failures-list"):
        assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", opened.text(part))


@pytest.mark.slow
def test_what_a_hover_says_is_not_cut_off_on_a_narrow_screen(open_page, file):
    opened = open_page(file, width=390)
    for chart, selector in (
        ("metric-chart", ".scatterlayer .point"),
        ("devices-chart", ".barlayer .trace .point path"),
    ):
        opened.hover(chart, selector)
        box = opened.page.locator(f"#{chart} .hoverlayer .hovertext").first.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


def test_nodes_are_rows_that_can_be_opened(open_page, tmp_path):
    opened = open_page(write_page(write_cluster(tmp_path, cluster_run())))
    chart = opened.page.locator("#devices-chart")
    assert "36 on 9 nodes" in opened.text("#tiles")
    assert opened.page.input_value("#devices-rows") == "node"
    assert "node9" in chart.inner_text()
    assert "node9/3" not in chart.inner_text()
    assert "lost at 10 s: its link is cut" in opened.text("#nodes-table")
    text = opened.hover("devices-chart", ".barlayer .trace .point path")
    assert "node2 (4): lost" in text
    assert "node node2 is lost: its link is cut" in text
    button = opened.page.locator("#nodes-table button[data-node=node9]")
    button.focus()
    button.press("Enter")
    opened.shows("#devices-chart", "node9/3")
    assert button.get_attribute("aria-expanded") == "true"
    assert button.evaluate("(one) => document.activeElement === one"), "the keyboard stays where it was"


@pytest.mark.slow
@pytest.mark.parametrize("width, theme", [(390, "dark"), (1600, "light")])
def test_32_nodes_can_be_read_by_everybody(open_page, tmp_path, width, theme):
    opened = open_page(write_page(write_cluster(tmp_path, large_run())), width=width, theme=theme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is cut off at the side"
    names = opened.page.locator("#devices-chart .ytick text").all_text_contents()
    assert names == [f"node{index}" for index in range(1, 33)]
    heights = "[...document.querySelectorAll('#devices-chart .ytick text')].map((one) => one.getBoundingClientRect())"
    places = opened.page.evaluate(f"{heights}.map((box) => [box.top, box.bottom]).sort((a, b) => a[0] - b[0])")
    assert all(above[1] <= below[0] + 1 for above, below in itertools.pairwise(places)), "no name is on another one"
    assert opened.serious_faults() == []
