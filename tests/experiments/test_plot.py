from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from syne_hypersched.experiments import Event, Report, Run, draw_run, holdings, load_run, plot_run
from tests.installed import skip_without

skip_without("matplotlib")


def test_picture_is_saved(simulate: Callable[..., Path], tmp_path: Path) -> None:
    path = plot_run(load_run(simulate()), tmp_path / "run.png", dpi=50)
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, _ = struct.unpack(">II", header[16:24])
    assert width == 500


def test_two_panels_with_every_report_and_every_holding(simulate: Callable[..., Path]) -> None:
    run = load_run(simulate(num_devices=3, deadline_s=25.0, seed=2))
    metric, devices = draw_run(run).axes
    drawn = {(x, y) for line in metric.get_lines() for x, y in line.get_xydata().tolist()}
    assert {(report.time_s, report.value) for report in run.reports} <= drawn

    spans = [path.get_extents() for bars in devices.collections for path in bars.get_paths()]
    for holding in holdings(run.events):
        same = [
            span
            for span in spans
            if span.x0 == pytest.approx(holding.start_s) and span.x1 == pytest.approx(holding.end_s)
        ]
        lanes = {run.devices.index(device) for device in holding.devices}
        covered = {lane for lane in range(3) for span in same if span.y0 < lane < span.y1}
        assert lanes <= covered
    assert [label.get_text() for label in devices.get_yticklabels()] == ["cpu0", "cpu1", "cpu2"]


def test_deadline_and_closing_of_admission_are_marked_in_both_panels(simulate: Callable[..., Path]) -> None:
    run = load_run(simulate())
    for panel in draw_run(run).axes:
        upright = {line.get_xdata()[0] for line in panel.get_lines() if len(set(line.get_xdata())) == 1}
        assert {run.deadline_s, run.admission_closed_s} <= upright
    texts = {text.get_text() for text in draw_run(run).axes[0].texts}
    assert {"deadline", "admission closes"} <= texts


def test_a_trial_has_one_colour_in_both_panels(simulate: Callable[..., Path]) -> None:
    run = load_run(simulate(num_devices=2, deadline_s=40.0, seed=1))
    metric, devices = draw_run(run).axes
    grown = {holding.trial_id for holding in holdings(run.events) if holding.num_devices == 2}
    named = {text.get_text(): text.get_color() for text in metric.texts}
    assert {str(trial_id) for trial_id in grown} <= named.keys()
    bars = {tuple(bar.get_facecolor()[0]) for bar in devices.collections}
    from matplotlib.colors import to_rgba

    assert {to_rgba(named[str(trial_id)]) for trial_id in grown} <= bars


def test_run_without_events_has_one_panel(simulate: Callable[..., Path]) -> None:
    run = replace(load_run(simulate()), events=())
    (metric,) = draw_run(run, title="stock").axes
    assert metric.get_xlabel() == "seconds since the tuning started"


def test_nan_and_outliers_are_drawn_around(simulate: Callable[..., Path]) -> None:
    run = load_run(simulate())
    values = [float("nan"), float("inf"), 1e9]
    reports = [replace(report, value=value) for report, value in zip(run.reports, values, strict=False)]
    figure = draw_run(replace(run, reports=(*reports, *run.reports[3:]), do_minimize=True))
    low, high = figure.axes[0].get_ylim()
    assert -10 < low < high < 10


def test_run_without_reports_has_no_picture() -> None:
    with pytest.raises(ValueError, match="the run must have reports"):
        draw_run(Run("loss", True, "epoch"))


def test_thousands_of_trials_are_a_few_things_to_draw():
    events = [Event(0.0, "setup", devices=("cpu0", "cpu1"), details={"deadline_s": 3000.0})]
    reports = []
    for trial in range(1000):
        device = f"cpu{trial % 2}"
        events.append(Event(trial, "launch", trial, (device,), 0))
        reports += [Report(trial, trial + 0.2, 1, 0.5, 1, 0), Report(trial, trial + 0.4, 2, 0.6, 1, 0)]
        events.append(Event(trial + 1.0, "exit", trial, (device,), 0, "stop", {"how": "drained"}))
    figure = draw_run(Run("accuracy", False, "epoch", tuple(reports), tuple(events)))
    artists = sum(len(panel.lines) + len(panel.collections) + len(panel.texts) for panel in figure.axes)
    assert artists < 100
