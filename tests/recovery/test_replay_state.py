from __future__ import annotations

import pytest

from syne_hypersched.recovery._replay_state import ReplayState


def suggest(what, trial_id=None, config=None, time_s=0.0):
    return {"call": "suggest", "time_s": time_s, "what": what, "from_trial_id": trial_id, "config": config}


def add(trial_id, **entries):
    entry = {"call": "add", "time_s": 0.0, "trial_id": trial_id, "config": {"x": trial_id}}
    return {**entry, "created": "2026-01-02T03:04:05", **entries}


def result(trial_id, epoch, decision="CONTINUE", status="InProgress", **entries):
    entry = {"call": "result", "time_s": float(epoch), "trial_id": trial_id, "report": {"epoch": epoch}}
    return entry | {"decision": decision, "status": status} | entries


def about(call, trial_id, **entries):
    return {"call": call, "time_s": 9.0, "trial_id": trial_id, **entries}


def after(*entries, **options) -> ReplayState:
    state = ReplayState(**options)
    for entry in entries:
        if entry["call"] == "add":
            state.add(entry)
        state.look_at(entry)
        state.apply(entry)
    return state


def test_a_trial_is_suggested_added_and_runs():
    state = after(suggest("start", config={"x": 0}))
    assert state.pending.config == {"x": 0}
    assert state.running == ()
    state = after(suggest("start", config={"x": 0}), add(0), add(1), num_devices_per_trial=2)
    assert state.pending is None
    assert state.running == (0, 1)
    assert state.num_devices == {0: 2, 1: 2}
    assert state.trials[0].config == {"x": 0}
    assert state.trials[0].creation_time.year == 2026
    assert state.trials[0].num_devices == 2, "the state is the trials' backend"
    assert not state.exhausted
    assert after(suggest("nothing")).exhausted


def test_with_whose_checkpoint_a_trial_begins_is_known():
    config = {"x": 0}
    begun = (suggest("start", config=config), add(0), suggest("start", trial_id=0, config=config), add(1))
    assert after(*begun, result(0, 1, "PAUSE"), suggest("resume", trial_id=0)).sources == {1: 0}


def test_the_time_is_that_of_the_latest_entry():
    assert after(suggest("nothing", time_s=5.0), suggest("nothing", time_s=3.0)).time_s == 5.0


@pytest.mark.parametrize(
    ("decision", "status", "left", "stopped"),
    [
        ("STOP", "InProgress", "Stopped", [0]), ("STOP", "Completed", "Completed", [0]),
        ("PAUSE", "InProgress", "Paused", []),
    ],
)  # fmt: skip
def test_a_trial_is_stopped_or_paused_until_its_removal_is_told(decision, status, left, stopped):
    entries = (add(0), add(1), result(0, 1, decision, status))
    state = after(*entries)
    assert state.trials[0].status == left
    assert state.running == (1,)
    assert (state.stopped_by_scheduler, state.unremoved) == (stopped, 0)
    assert after(*entries, about("remove", 0)).unremoved is None


def test_a_resumed_trial_runs_on_as_many_devices_as_trials_start_with():
    pause = result(0, 1, "PAUSE")
    state = after(add(0), result(0, 1, num_devices=3), pause, suggest("resume", 0))
    assert state.num_devices == {0: 1}
    assert state.trials[0].status == "InProgress"
    assert state.trials[0].config == {"x": 0}
    assert after(add(0), pause, suggest("resume", 0, {"x": 7})).trials[0].config == {"x": 7}


def test_a_report_is_kept_as_it_was_and_with_what_the_scheduler_has_added():
    state = after(add(0), result(0, 1, added={"open": True}), result(0, 2, num_devices=4))
    assert [told.report for told in state.told] == state.delivered[0] == [{"epoch": 1}, {"epoch": 2}]
    assert [told.result for told in state.told] == [{"epoch": 1, "open": True}, {"epoch": 2}]
    assert [(told.trial_id, told.status, told.decision, told.time_s) for told in state.told] == [
        (0, "InProgress", "CONTINUE", 1.0), (0, "InProgress", "CONTINUE", 2.0),
    ]  # fmt: skip
    assert state.last_result == {0: {"epoch": 2}}
    assert state.num_devices == {0: 4}


def test_a_trial_ends_by_itself():
    state = after(add(0), add(1), about("complete", 0), about("error", 1, status="Failed"))
    assert [trial.status for trial in state.trials.values()] == ["Completed", "Failed"]
    assert state.running == ()
    assert state.stopped_by_scheduler == []


def test_a_call_at_which_the_scheduler_has_raised_is_left_out():
    raised = result(0, 1, raised="ValueError: x", num_devices=2)
    del raised["decision"]
    state = after(add(0), raised)
    assert state.left_out == [("result", 0, "ValueError: x")]
    assert state.have_raised == {0}
    assert state.delivered == {0: [{"epoch": 1}]}
    assert state.told == []
    assert state.num_devices == {0: 2}, "the wish came before the error"
    del raised["num_devices"]
    assert after(add(0), raised).num_devices == {0: 1}
    # Once more, and the trial was stopped: the scheduler's decision is known.
    state = after(add(0), result(0, 1, "STOP", raised="ValueError: x"))
    assert state.left_out == []
    assert state.have_raised == {0}
    assert state.trials[0].status == "Stopped"
    state = after(add(0, raised="ValueError: y"))
    assert state.trials[0].status == "Failed"
    assert state.left_out == [("add", 0, "ValueError: y")]
    assert state.running == ()


def test_what_the_backend_had_said():
    state = after(
        add(0, situation=[4, 60.0], devices=[1, None]), result(0, 1, devices=[3, 2]), result(0, 2, devices=[2, 2])
    )
    assert (state.situation.num_devices, state.situation.deadline_s) == (4, 60.0)
    assert state.situation.takes_plan
    assert (state.wished_devices(0), state.max_num_devices(0)) == (2, 2)
    assert (state.wished_devices(5), state.max_num_devices(5)) == (0, None)
    state = after(add(0), result(0, 1, "STOP"), about("remove", 0, devices=[0, 1]))
    assert state.running == (), "a trial that has ended holds nothing, whatever it had"
    assert state.max_num_devices(0) == 1


def test_a_later_deadline_starts_all_again():
    state = after(
        add(0), result(0, 1, num_devices=4), suggest("nothing"), {"call": "extend", "time_s": 5.0},
        num_devices_per_trial=1,
    )  # fmt: skip
    assert state.num_devices == {0: 1}
    assert not state.exhausted


def test_what_a_replayed_scheduler_asks_for_is_taken_as_done():
    state = after(add(0))
    state.trials[0].resize(3)
    assert state.num_devices == {0: 3}
    report = {"epoch": 1}
    state.publish(0, report)
    report["epoch"] = 2
    assert state.incumbent == (0, {"epoch": 1})
    state.follow("epoch")
    state.note(0, "resize", "why", {})
    assert state.num_devices == {0: 3}
