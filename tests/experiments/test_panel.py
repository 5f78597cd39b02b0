from __future__ import annotations

import io

import pytest

pytest.importorskip("rich")

from rich.console import Console

from syne_hypersched.experiments import Event, Report
from syne_hypersched.experiments._panel import render_panel, render_result
from syne_hypersched.experiments._progress import Progress
from tests.experiments.clusters import large_run


def shown(renderable: object, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(renderable)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("num_devices", [1, 8, 32, 256])
@pytest.mark.parametrize("width, height", [(80, 24), (40, 24), (120, 12)])
def test_it_fits_the_terminal(num_devices: int, width: int, height: int) -> None:
    progress = Progress("a_metric_with_a_long_name", True, "epoch", deadline_s=100.0)
    devices = tuple(f"node{index // 8}/gpu{index % 8}" for index in range(num_devices))
    progress.add_event(Event(0.0, "setup", devices=devices))
    for index, device in enumerate(devices):
        progress.add_event(Event(0.1, "launch", index, (device,), 0))
        progress.add_report(Report(index, 1.0, 1.0, 0.5, launch=0, admission_open=True))
    progress.add_event(Event(2.0, "decision", 0, reason="a reason " * 30, details={"what": "pause"}))
    lines = shown(render_panel(progress, 10.0, height), width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "trial 0" in text
    assert ("more trials on" in text) == (num_devices > 8 or (num_devices > 3 and height == 12))


@pytest.mark.parametrize("width, height", [(80, 24), (100, 50), (40, 12)])
def test_a_node_is_a_row_with_counts_and_what_happened_to_it(width: int, height: int) -> None:
    progress = Progress("loss", True, "epoch", deadline_s=100.0)
    for event in large_run().run.events:
        progress.add_event(event)
    lines = shown(render_panel(progress, 71.0, height), width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "trial 0" in text, "long names of devices take no room from the other columns"
    if height > 12:
        assert "node12  0 of 8     -     8  lost at 40 s: no answer for 10 s" in text
        assert "more nodes, devices: " in text
    else:
        assert "32 nodes, devices: 216 held" in text


def test_the_end_has_the_result() -> None:
    lines = shown(render_result(["best loss 0.2500: trial 4", "[bold]not markup[/bold]"]), 80, 24)
    assert "best loss 0.2500: trial 4" in lines[1]
    assert "[bold]not markup[/bold]" in lines[2]
