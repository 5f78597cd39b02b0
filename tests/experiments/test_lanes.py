from __future__ import annotations

from itertools import pairwise

from syne_hypersched.experiments import draw_run
from syne_hypersched.experiments._lanes import lanes_height_of
from syne_hypersched.experiments._nodes import in_order
from tests.experiments.clusters import devices_of, large_run, small_run
from tests.installed import skip_without

skip_without("matplotlib")


def test_lanes_of_a_node_are_together_and_a_line_is_between_nodes() -> None:
    _, panel = draw_run(small_run().run).axes
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert names == [*devices_of("node1", 4), *devices_of("node2", 4)]
    level = {line.get_ydata()[0] for line in panel.get_lines() if len(set(line.get_ydata())) == 1}
    assert 3.5 in level
    spans = [path.get_extents() for bars in panel.collections for path in bars.get_paths()]
    assert not [span for span in spans if span.y0 < 3.5 < span.y1], "no bar reaches over two nodes"


def test_times_when_a_node_was_not_there_are_hatched_and_named() -> None:
    _, panel = draw_run(large_run().run).axes
    devices = in_order(large_run().run.devices)
    hatched = {
        (devices[round(span.y0 + 0.5)], span.x0, span.x1)
        for bars in panel.collections if bars.get_hatch() for span in [bars.get_paths()[0].get_extents()]
    }  # fmt: skip
    assert hatched == {
        ("node7/0", 25.0, 55.0), ("node12/0", 40.0, 100.0), ("node21/0", 50.0, 100.0), ("node30/0", 0.0, 20.0),
    }  # fmt: skip
    texts = [text.get_text() for text in panel.texts]
    assert {"lost", "drained", "not there yet"} <= set(texts)
    assert "239" not in texts, "a bar of two pixels has no number"


def test_names_of_32_nodes_stand_apart_at_the_lanes() -> None:
    figure = draw_run(large_run().run)
    _, panel = figure.axes
    figure.draw_without_rendering()
    labels = panel.get_yticklabels()
    assert [label.get_text() for label in labels] == [f"node{index}" for index in range(1, 33)]
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))


def test_the_panel_has_a_greatest_height() -> None:
    many = [f"node{node}/{index}" for node in range(1000) for index in range(8)]
    assert lanes_height_of(many) == 7.0
    assert lanes_height_of(["cpu0"]) == 1.1
