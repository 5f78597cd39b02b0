from __future__ import annotations

import pytest

from syne_hypersched.experiments import Event, Run
from syne_hypersched.experiments._invariants import check_run
from syne_hypersched.experiments._node_table import describe_nodes, summarise_nodes
from syne_hypersched.experiments.report import describe_run
from syne_hypersched.experiments.verify import verdict
from tests.experiments.clusters import ClusterRun, large_run, small_run


def test_what_happened_to_each_node_and_how_much_it_was_held() -> None:
    first, second = summarise_nodes(small_run().run)
    assert (first.name, first.num_devices, first.num_trials, first.changes) == ("node1", 4, 3, ())
    # Trials 4 and 5 until the end, trial 0 on two devices from 10.5 s to 30 s.
    assert first.held == pytest.approx((2 * 55.5 + 2 * 19.5) / (4 * 56.0))
    # 25 s of it were lost.
    assert second.held == pytest.approx((4 * 29.5 - 0.5) / (4 * 31.0))
    assert second.changes == ("lost at 30 s: no answer for 10 s", "back at 55 s")


def test_a_large_cluster_has_a_row_for_each_node_to_which_something_happened() -> None:
    text = describe_nodes(large_run().run)
    assert text.startswith("256 devices on 32 nodes")
    assert len(text.splitlines()) == 2 + 16 + 1
    for line in (
        "lost at 25 s: its link is cut; back at 55 s", "lost at 40 s: no answer for 10 s", "drained at 50 s",
        "joined at 20 s", "... and 16 nodes with 128 devices to which nothing happened",
    ):  # fmt: skip
        assert line in text
    assert text in describe_run(large_run().run)


def test_what_happens_to_a_node_again_and_again_is_cut() -> None:
    run = ClusterRun(2, 1)
    for moment_s in range(10, 110, 10):
        run.at(moment_s).lose("node1")
        run.at(moment_s + 5).join("node1")
    (_, _, line, _) = describe_nodes(run.run).splitlines()
    assert line.endswith(
        "...; lost at 90 s: no answer for 10 s; back at 95 s; lost at 100 s: no answer for 10 s; back at 105 s"
    )


def test_a_node_that_dies_after_it_was_drained_is_not_back_between() -> None:
    run = ClusterRun(2, 2)
    run.at(5.0).drain("node2")
    run.at(9.0).lose("node2", "it is down")
    assert summarise_nodes(run.run)[1].changes == ("drained at 5 s", "lost at 9 s: it is down")


def test_one_machine_and_one_node_have_no_table() -> None:
    assert describe_nodes(Run("loss", True, "epoch", events=(Event(0.0, "setup", devices=("cpu0", "cpu1")),))) == ""
    assert describe_nodes(ClusterRun(1, 4).run) == ""


def test_the_verdict_names_nodes_that_came_or_went() -> None:
    run = large_run().run
    text = verdict(run, check_run(run))
    assert "256 devices on 32 nodes, 240 trials" in text
    assert "note  node node7: lost at 25 s: its link is cut; back at 55 s" in text
    assert "and 40 more: the run goes on or was cut off" in text
    assert max(map(len, text.splitlines())) < 200


def test_a_violation_on_a_large_cluster_can_be_read() -> None:
    made = large_run()
    made.at(90.0).events.append(Event(90.0, "launch", 999, ("node99/0", "node12/0"), 0))
    messages = [violation.message for violation in check_run(made.run) if violation.trial_id == 999]
    assert messages == [
        "at 90.000 s trial 999 was given node99/0, which is none of node1 to node32",
        "at 90.000 s trial 999 was given node12/0, which had been given back, or is lost",
    ]
