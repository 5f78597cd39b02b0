"""Nodes and absences as a page gets them."""

from __future__ import annotations

import json

from syne_hypersched.experiments import Event
from syne_hypersched.experiments._run import RunGoal
from syne_hypersched.experiments.page._data import PageData
from syne_hypersched.experiments.page._nodes import absences_of, nodes_of
from syne_hypersched.experiments.page._reader import RunReader
from syne_hypersched.experiments.page._state import PageState
from tests.experiments.clusters import small_run
from tests.experiments.page.runs import state_of, write_cluster


def state_at_the_end() -> PageState:
    run = small_run().run
    return state_of(RunGoal("loss", True, "epoch", {}), run.events, run.reports)


def test_indices_of_a_node_are_in_the_order_of_its_names() -> None:
    state = state_at_the_end()
    first, second = nodes_of(state)
    names = list(state.devices)
    assert [names[index] for index in first["indices"]] == [f"node1/{index}" for index in range(4)]
    assert first["indices"] == [4, 5, 6, 7], "they became known after those of node2"
    assert (first["name"], first["held"], first["free"], first["away"], first["trials"]) == ("node1", 2, 2, 0, "4, 5")
    assert second["changes"] == ["lost at 30 s: no answer for 10 s", "back at 55 s"]


def test_absences_have_stretches_of_indices() -> None:
    assert absences_of(state_at_the_end()) == [[[[0, 3]], 30.0, 55.0, "lost", "node node2 is lost: no answer for 10 s"]]


def test_one_machine_is_one_node_without_a_name() -> None:
    state = state_of(RunGoal("loss", True, "epoch", {}), [Event(0.0, "setup", devices=("cpu0", "cpu1"))], [])
    (node,) = nodes_of(state)
    assert (node["name"], node["indices"], node["changes"]) == ("", [0, 1], [])


def test_a_page_that_follows_hears_of_a_node_that_is_lost(tmp_path) -> None:
    write_cluster(tmp_path, small_run())
    reader = RunReader(tmp_path)
    reader.update()
    data = PageData(reader)
    before = data.collect()
    assert [node["away"] for node in before["nodes"]] == [0, 0]
    line = {"time_s": 80, "event": "lose", "trial_id": None, "devices": ["node1/0"], "reason": "its GPU is broken"}
    with (tmp_path / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    reader.update()
    after = data.collect(before["seq"])
    assert after["seq"] > before["seq"], "else the page would draw nothing anew"
    assert after["absences"][-1] == [[[4, 4]], 80.0, None, "lost", "its GPU is broken"]
    assert [node["away"] for node in data.collect()["nodes"]] == [1, 0]
