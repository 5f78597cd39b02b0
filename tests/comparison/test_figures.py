from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from syne_hypersched.comparison.figures import (
    best_so_far,
    comparison_figure,
    draw_study,
    growth_figure,
    overview_figure,
)
from syne_hypersched.comparison.runner import run_study
from tests.installed import skip_without

skip_without("matplotlib")


def test_the_best_so_far_is_a_step_at_each_improvement():
    moments_s = np.array([0.0, 1.0, 1.5, 2.0, 9.0])
    assert_array_equal(best_so_far((1.0, 2.0), (0.5, 0.25), moments_s), [math.nan, 0.5, 0.5, 0.25, 0.25])
    assert_array_equal(best_so_far((), (), moments_s), [math.nan] * 5)


def test_a_line_ends_at_the_mean_regret_and_has_its_name_beside_it(small_study):
    results = run_study(small_study())
    scenario = results.study.scenarios[0]
    figure = comparison_figure(results, scenario)
    top, bottom = figure.axes[:2], figure.axes[2:4]
    assert top[0].get_ylim() == top[1].get_ylim(), "only the first panel has numbers"
    for panel, deadline in zip(top, ("0.5x", "1x"), strict=True):
        assert panel.get_title(loc="left").startswith(f"deadline {deadline}")
        lines = {line.get_label(): line for line in panel.lines if not line.get_label().startswith("_")}
        assert set(lines) == set(scenario.schedulers)
        assert {text.get_text() for text in panel.texts} == set(scenario.schedulers)
        for scheduler, line in lines.items():
            readings = [
                reading
                for run, outcome in results
                for reading in outcome.readings
                if run.scheduler == scheduler and reading.deadline == deadline
            ]
            assert line.get_ydata()[-1] == pytest.approx(np.mean([reading.regret for reading in readings]))
            assert line.get_xdata()[-1] == pytest.approx(readings[0].deadline_s)
        assert not panel.collections or all(type(part).__name__ == "LineCollection" for part in panel.collections), (
            "intervals are bars, not bands that hide each other"
        )
    figure.draw_without_rendering()
    assert top[0].get_position().height > bottom[0].get_position().height
    names = [text.get_window_extent() for text in top[0].texts]
    assert not any(one.overlaps(other) for i, one in enumerate(names) for other in names[:i])


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        pytest.param({}, ["table-4dev-resnet50-1pct.png"], marks=pytest.mark.slow),
        ({"num_devices": (2, 4)}, ["overview.png", "table-2dev-resnet50-1pct.png", "table-4dev-resnet50-1pct.png"]),
        ({"preset": "scale", "num_devices": (2, 4)}, ["growth.png"]),
    ],
)
def test_pictures_are_drawn(small_study, tmp_path, changes, names):
    paths = draw_study(run_study(small_study(seeds=(0, 1), **changes)), tmp_path)
    assert [path.name for path in paths] == names
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_overview_and_the_growth_have_every_scheduler(small_study):
    results = run_study(small_study(num_devices=(2, 4), seeds=(0,)))
    labels = [label.get_text() for label in overview_figure(results).axes[0].get_yticklabels()]
    assert labels == ["hypersched", "asha", "random", "4 devices   hypersched", "asha", "random"]
    legend = growth_figure(results).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["hypersched", "asha", "random"]


def test_without_matplotlib_the_extra_is_named(small_study, monkeypatch):
    study = small_study(schedulers=("asha",), reference="asha", deadlines=("10s",), seeds=(0,))
    results = run_study(study)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (growth_figure, overview_figure, lambda results: comparison_figure(results, study.scenarios[0])):
        with pytest.raises(ModuleNotFoundError, match=r"syne-hypersched\[plots\]"):
            draw(results)
