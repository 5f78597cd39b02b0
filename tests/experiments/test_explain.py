from __future__ import annotations

from dataclasses import replace

import pytest

from syne_hypersched.experiments import Event, Report, Run, load_run
from syne_hypersched.experiments.explain import explain_run, explain_trial, print_explanation

DECISIONS = (
    Event(1.0, "setup", devices=("cpu0", "cpu1"), details={"deadline_s": 30.0}),
    Event(1.0, "start", 0, reason=""),
    Event(1.1, "launch", 0, ("cpu0",), 0),
    Event(4.0, "decision", 0, ("cpu0",), 0, "rank 3 of 3 at the rung of level 2", {"what": "pause"}),
    Event(4.0, "pause", 0, ("cpu0",), 0),
    Event(4.1, "exit", 0, ("cpu0",), 0, "pause", {"how": "drained", "exit_code": -15}),
    Event(5.0, "retry", 1, (), 0, "exit code 1", {"exit_code": 1, "backoff_s": 1.0}),
    Event(9.0, "decision", 1, ("cpu1",), 0, "too little time", {"what": "close"}),
    Event(9.5, "fail", 1, (), 0, "no report in 3 launches", {"exit_code": 1}),
)
REPORTS = (
    Report(0, 2.0, 1, 0.5, 1, 0, worker_time_s=1.0),
    Report(1, 2.0, 1, 0.7, 1, 0, worker_time_s=1.0),
    Report(0, 4.0, 2, 0.4, 1, 0, worker_time_s=2.0, decision="PAUSE"),
)


def make_run(reports=REPORTS, events=DECISIONS):
    return Run("loss", True, "epoch", tuple(reports), tuple(events), {0: {"lr": 0.1}, 1: {"lr": 0.25}})


def test_a_run_is_explained_with_the_reasons_that_were_given():
    text = explain_run(make_run())
    assert "2 trials: 1 failed, 1 paused" in text
    assert "admission closed at 9.0 s: too little time" in text
    assert "4.0 s  pause trial 0: rank 3 of 3 at the rung of level 2" in text
    assert "failed launches: 2, of trial 1\n" in text


def test_the_story_of_a_trial_is_its_own():
    text = explain_trial(make_run(), 0)
    assert text.startswith("trial 0: paused, best loss 0.4000, epoch 2, rank 1 of 2")
    assert "configuration: lr=0.1" in text
    told = [line.split(" s  ")[1] for line in text.splitlines() if " s  " in line]
    assert told == [
        "is started",
        "launch 0 on cpu0",
        "pause trial 0: rank 3 of 3 at the rung of level 2",
        "launch 0 drained: pause",
    ]
    failed = explain_trial(make_run(), 1)
    assert "is launched again after a failure: exit code 1 (exit_code 1, backoff_s 1)" in failed
    assert "has failed: no report in 3 launches" in failed
    assert "close" not in failed


def test_without_reasons_ranks_are_computed():
    reports = [Report(i, float(i), 1, value, decision="STOP" if i == 2 else "") for i, value in enumerate([3, 1, 2])]
    text = explain_run(make_run(reports, ()))
    assert "stop trial 2: loss 2.0000 was rank 2 of 3 values at epoch 1 until then" in text
    assert "records no reasons" in text
    assert "has no admission" in text


def test_only_the_last_decisions_are_told():
    events = [Event(float(i), "decision", 0, (), 0, f"reason {i}", {"what": "pause"}) for i in range(30)]
    text = explain_run(make_run(events=events), num_decisions=3)
    assert "... 27 decisions before" in text
    assert next(line for line in text.splitlines() if "reason" in line).endswith("reason 27")
    with pytest.raises(ValueError, match="num_decisions"):
        explain_run(make_run(), num_decisions=0)


def test_a_run_in_which_nothing_has_happened_yet():
    text = explain_run(make_run((), ()))
    assert "no trial has started yet" in text
    assert "nothing has been decided yet" in text
    assert explain_run(replace(make_run((), ()), is_over=True)).endswith("nothing was decided")


def test_an_unknown_trial_is_an_error_that_says_which_there_are(simulate, capsys):
    path = simulate()
    trials = {report.trial_id for report in load_run(path).reports}
    assert print_explanation(path, 999, 20, None) == 2
    assert f"from 0 to {max(trials)}, but got 999" in capsys.readouterr().err
    for trial_id in trials:
        assert print_explanation(path, trial_id, 20, None) == 0
        assert f"trial {trial_id}: " in capsys.readouterr().out
    assert print_explanation("nowhere", None, 20, None) == 2
    assert "cannot explain nowhere" in capsys.readouterr().err


def test_devices_on_many_nodes_are_counted_by_node():
    devices = tuple(f"node{node}/{index}" for node in (1, 2) for index in range(3))
    events = (Event(0.0, "setup", devices=devices), Event(1.0, "launch", 0, devices, 0))
    run = Run("loss", True, "epoch", (Report(0, 2.0, 1.0, 0.5, 6, 0),), events)
    assert "on 6 devices on 2 nodes: node1 ×3, node2 ×3" in explain_trial(run, 0)


def test_nothing_false_is_said_of_a_scheduler_if_all_trials_have_failed():
    text = explain_run(make_run((), [event for event in DECISIONS if event.event != "decision"]))
    assert "no trial has reported, so that nothing was compared" in text
    assert "no admission" not in text
    assert "records no reasons" not in text


def test_a_scheduler_that_has_not_decided_yet_is_not_said_to_keep_its_reasons_back():
    text = explain_run(make_run(REPORTS[:2], DECISIONS[:3]))
    assert "nothing has been decided yet" in text
    assert "records no reasons" not in text


def test_a_trial_without_a_finite_value_has_no_rank():
    reports = (*REPORTS, Report(2, 5.0, 1, float("nan"), 1, 0, worker_time_s=1.0))
    run = make_run(reports, (*DECISIONS, Event(5.0, "start", 3, reason="")))
    assert explain_trial(run, 1).startswith(
        "trial 1: failed, best loss 0.7000, epoch 1, rank 2 of 2 by its best value\n"
    )
    assert explain_trial(run, 2).splitlines()[0].endswith(", it has reported no finite value, epoch 1")
    assert explain_trial(run, 3).splitlines()[0].endswith(", it has reported no finite value, epoch 0")


def test_a_trial_that_ended_without_a_report_has_failed_for_that_reason():
    run = make_run((), (Event(1.0, "start", 0), Event(2.0, "fail", 0, (), 0, "", {"exit_code": 0})))
    assert "has failed: it has ended by itself without a report (exit_code 0)" in explain_trial(run, 0)
    assert "without a report" not in explain_trial(make_run(), 1)


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ({"level": 2.0, "first": 1, "before": 2.0}, "reports level 2 again, which may be what its checkpoint holds"),
        ({"level": 1, "first": 1, "before": 5}, "repeats work: its first report has level 1, and 5 was reached before"),
        ({}, "repeats work"),
    ],
)
def test_what_is_reported_again_need_not_be_work_done_again(details, told):
    events = (*DECISIONS[:6], Event(6.0, "redo", 0, ("cpu0",), 1, "", details))
    assert explain_trial(make_run(events=events), 0).endswith(f"6.0 s  {told}")
