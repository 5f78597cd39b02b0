from __future__ import annotations

import pytest

from syne_hypersched.experiments import Event, Report
from syne_hypersched.experiments._nodes import ranges
from syne_hypersched.experiments._progress import Progress
from syne_hypersched.experiments._rows import fold
from tests.experiments.clusters import large_run, small_run

DEVICES = tuple(f"gpu{index}" for index in range(32))


def progress_of(*trials: tuple[int, tuple[str, ...]]) -> Progress:
    progress = Progress("loss", True, "epoch")
    progress.add_event(Event(0.0, "setup", devices=DEVICES))
    for trial_id, devices in trials:
        progress.add_event(Event(1.0, "launch", trial_id, devices, 0))
    return progress


def test_the_trial_with_most_devices_is_first() -> None:
    folded = fold(progress_of((3, DEVICES[:1]), (5, DEVICES[8:16]), (1, DEVICES[1:2])), 10)
    assert [(row.trial_id, row.num_devices) for row in folded.rows] == [(5, 8), (1, 1), (3, 1)]
    assert folded.rows[0].devices == "gpu8 to gpu15"
    assert folded.rest == ""
    assert folded.free == "22 free: gpu2 to gpu7, gpu16 to gpu31"


@pytest.mark.parametrize("most_rows", [1, 2, 15, 31, 32, 40])
def test_what_has_no_room_is_counted(most_rows: int) -> None:
    folded = fold(progress_of(*((index, (device,)) for index, device in enumerate(DEVICES))), most_rows)
    assert len(folded.rows) + bool(folded.rest) <= most_rows
    left = 32 - len(folded.rows)
    assert folded.rest == (f"and {left} more trials on {left} devices" if left else "")
    assert folded.free == ""


def test_a_launch_imports_until_it_reports_and_drains_when_it_is_asked_to() -> None:
    progress = progress_of((3, DEVICES[:2]))
    assert fold(progress, 5).rows[0].note == "importing"
    progress.add_report(Report(3, 2.0, 1.0, 0.5, launch=0))
    row = fold(progress, 5).rows[0]
    assert (row.note, row.value, row.resource, row.is_best) == ("", "0.5000", "1", True)
    progress.add_event(Event(3.0, "drain", 3, DEVICES[:2], 0, "resize"))
    assert fold(progress, 5).rows[0].note == "draining"


@pytest.mark.parametrize(
    "devices, text",
    [
        ((), ""),
        (("b",), "b"),
        (("b", "a"), "a, b"),
        (("c", "a", "b"), "a to c"),
        (("a", "c", "d"), "a, c, d"),
        (("new", "a"), "a, new"),
    ],
)
def test_ranges(devices: tuple[str, ...], text: str) -> None:
    assert ranges(devices, {"a": 0, "b": 1, "c": 2, "d": 3}) == text


def progress_on(made: object) -> Progress:
    progress = Progress("loss", True, "epoch")
    for event in made.run.events:  # type: ignore[attr-defined]
        progress.add_event(event)
    return progress


@pytest.mark.parametrize("most_rows", [1, 2, 3, 6, 15, 40, 100])
def test_trials_and_nodes_share_the_rows(most_rows: int) -> None:
    progress = progress_on(large_run())
    folded = fold(progress, most_rows)
    header = bool(folded.nodes)
    lines = len(folded.rows) + bool(folded.rest) + header + len(folded.nodes) + bool(folded.other_nodes)
    assert lines <= max(2, most_rows)
    assert sum(node.num_held for node in progress.nodes) == 216
    if most_rows == 100:
        assert (len(folded.rows), len(folded.nodes), folded.rest, folded.other_nodes) == (60, 32, "", "")


def test_nodes_that_are_away_and_those_with_free_devices_have_their_rows_first() -> None:
    folded = fold(progress_on(large_run()), 15)
    assert [node.name for node in folded.nodes] == ["node12", "node21", "node27", "node29", "node31"]
    assert folded.other_nodes == "and 27 more nodes, devices: 216 held"
    assert folded.free == "24 free: node27, node29, node31, 16 away: node12, node21"
    assert folded.rows[0].devices.startswith("10 nodes: node20, node22")


def test_a_few_nodes_have_a_row_each() -> None:
    folded = fold(progress_on(small_run()), 15)
    assert [(node.name, node.num_held, node.trials, node.story) for node in folded.nodes] == [
        ("node1", 2, "4, 5", ""), ("node2", 4, "2 ×4", "back at 55 s"),
    ]  # fmt: skip
    assert (folded.other_nodes, folded.rows[0].devices) == ("", "node2")
