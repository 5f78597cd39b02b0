"""The states of a trial: the effect of each transition, refused transitions, and their messages."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syne_tune.backend.trial_status import Status

import syne_hypersched.backends.local
from syne_hypersched.backends.local._states import LEGAL, IllegalStateError, ProcessState, StateMachine
from syne_hypersched.backends.shared.reconcile import Phase, TrialState

#: The orders and events by which each state is reached from the first one.
PATHS = {
    ProcessState.NEW: (),
    ProcessState.WAITING: ("start",),
    ProcessState.RUNNING: ("start", "launch"),
    ProcessState.CHANGING: ("start", "launch", "change"),
    ProcessState.DRAINING: ("start", "launch", "drain"),
    ProcessState.RETURNING: ("start", "launch", "drain", "exit"),
    ProcessState.PAUSED: ("start", "halt"),
    ProcessState.ENDED: ("start", "launch", "exit", "finish"),
}


def take(trial, transition):
    """Makes one transition, as the fleet does."""
    if transition == "start":
        trial.start(2, order=1)
    elif transition == "resize":
        trial.resize(1, order=2)
    elif transition == "halt":
        trial.halt(Status.paused, "pause", order=3)
    elif transition == "launch":
        trial.begin_launch(trial.wants)
        trial.take_handle(0)
    elif transition == "change":
        trial.begin_change(trial.wants)
    elif transition == "settle":
        trial.settle()
    elif transition == "drain":
        trial.begin_drain()
    elif transition == "exit":
        trial.exit()
    else:
        trial.finish(Status.completed, order=4)


def reach(state):
    trial = StateMachine(7)
    for transition in PATHS[state]:
        take(trial, transition)
    assert trial.state is state
    return trial


@pytest.mark.parametrize("state", ProcessState)
@pytest.mark.parametrize("transition", LEGAL)
def test_a_transition_is_refused_where_it_makes_no_sense(state, transition):
    trial = reach(state)
    before = {name: value for name, value in vars(trial).items() if name != "_story"}
    # What is drained in order to go on is running already, as far as the tuner knows.
    if state in LEGAL[transition] and not (transition == "start" and state is ProcessState.DRAINING):
        take(trial, transition)
        return
    with pytest.raises(IllegalStateError, match=f"trial 7 is {state.value} .* and cannot {transition}"):
        take(trial, transition)
    assert {name: value for name, value in vars(trial).items() if name != "_story"} == before


def test_the_refusal_has_the_story_of_the_trial():
    trial = reach(ProcessState.RETURNING)
    with pytest.raises(IllegalStateError) as error:
        trial.begin_drain()
    lines = str(error.value).splitlines()
    assert lines[0].startswith(
        "trial 7 is returning (wants 2, status InProgress, launch 0) and cannot drain without a handle. This is a fault"
    )
    assert [line.split(" s  ")[1] for line in lines[1:]] == [
        "start: new -> waiting, wants 2, launch -1",
        "launch: waiting -> running, wants 2, launch 0",
        "drain: running -> draining, wants 2, launch 0",
        "exit: draining -> returning, wants 2, launch 0",
    ]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (Status.in_progress, ProcessState.NEW),
        (Status.paused, ProcessState.PAUSED),
        (Status.stopped, ProcessState.ENDED),
        (Status.completed, ProcessState.ENDED),
        (Status.failed, ProcessState.ENDED),
    ],
)
def test_a_trial_that_is_taken_over_goes_on_from_its_status(status, state):
    trial = StateMachine(7, status, launch=3)
    assert (trial.state, trial.status, trial.launch, trial.is_at_rest) == (state, status, 3, True)


def test_a_trial_may_be_resumed_while_it_is_drained_for_a_pause():
    trial = reach(ProcessState.RUNNING)
    trial.halt(Status.paused, "pause", order=2)
    trial.begin_drain()
    assert trial.drain_reason == "pause"
    trial.start(2, order=3)
    assert (trial.state, trial.status) == (ProcessState.DRAINING, Status.in_progress)
    trial.exit()
    assert trial.as_value(holds=0) == TrialState(7, wants=2, holds=0, phase=Phase.IDLE, resized=True, order=3)


def test_a_trial_is_paused_at_the_last_report_of_a_script_that_has_ended():
    trial = reach(ProcessState.ENDED)
    trial.halt(Status.paused, "pause", order=5)
    assert (trial.state, trial.status) == (ProcessState.PAUSED, Status.paused)
    trial.halt(Status.stopped, "stop", order=6)
    assert (trial.state, trial.status) == (ProcessState.ENDED, Status.stopped)


@pytest.mark.parametrize(
    ("path", "reason"), [(("drain",), "resize"), (("halt", "drain"), "pause"), (("stall",), "stall")]
)
def test_why_a_launch_is_drained(path, reason):
    trial = reach(ProcessState.RUNNING)
    for transition in path:
        if transition == "stall":
            trial.begin_drain(stalled=True)
        else:
            take(trial, transition)
    assert (trial.drain_reason, trial.stalled) == (reason, reason == "stall")
    trial.exit()
    assert (trial.drain_reason, trial.stalled, trial.handle) == ("", False, None)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda trial: trial.begin_launch(3),
        lambda trial: trial.begin_launch(0),
        lambda trial: trial.resize(0, order=2),
        lambda trial: trial.halt(Status.in_progress, "stop", order=2),
        lambda trial: trial.take_handle(0),
        lambda trial: trial.begin_change(2),
    ],
)
def test_numbers_that_make_no_sense_are_refused(wrong):
    with pytest.raises(IllegalStateError, match=r"is waiting .* (cannot|takes handle 0)"):
        wrong(reach(ProcessState.WAITING))


@pytest.mark.parametrize("status", ["nonsense", Status.completed, Status.failed, Status.in_progress])
@pytest.mark.parametrize("state", ProcessState)
def test_the_tuner_only_pauses_and_stops(state, status):
    with pytest.raises(IllegalStateError, match=f"cannot halt with status {status}"):
        reach(state).halt(status, "stop", order=9)


@pytest.mark.parametrize("state", ProcessState)
def test_a_copy_has_no_processes(state):
    trial = reach(state)
    trial.lose_processes()
    assert trial.is_at_rest
    assert trial.state is (state if state in (ProcessState.PAUSED, ProcessState.ENDED) else ProcessState.NEW)
    trial.check(holds=0)


@given(st.lists(st.sampled_from(sorted(LEGAL)), max_size=30))
def test_whatever_happens_a_trial_contradicts_itself_never(transitions):
    trial, holds = StateMachine(7), 0
    for transition in transitions:
        wants = trial.wants
        try:
            take(trial, transition)
        except IllegalStateError:
            continue
        holds = {"launch": wants, "exit": 0}.get(transition, holds)
        if trial.state is ProcessState.RUNNING and trial.wants < holds:
            trial.begin_drain()  # as reconciliation has it
        trial.check(holds)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("wants", 0, "it wants devices while the tuner has it run"),
        ("handle", None, "it has a handle while it has processes"),
        ("phase", Phase.IDLE, "phase is that of its state"),
        ("launch", -1, "it has been launched"),
        ("status", Status.paused, "it wants devices while the tuner has it run"),
        ("becomes", 2, "it becomes something while it changes"),
    ],
)
def test_what_contradicts_itself_is_found(name, value, rule):
    trial = reach(ProcessState.RUNNING)
    trial.check(holds=2)
    setattr(trial, name, value)
    with pytest.raises(IllegalStateError, match=f"trial 7 is running .* breaks a rule: {rule}"):
        trial.check(holds=2)


def test_devices_without_processes_are_found():
    with pytest.raises(IllegalStateError, match="it holds devices while it has processes, not 1"):
        reach(ProcessState.WAITING).check(holds=1)
    with pytest.raises(IllegalStateError, match="it is drained if it holds more, here 3"):
        reach(ProcessState.RUNNING).check(holds=3)
    ended = reach(ProcessState.ENDED)
    ended.stalled = True
    with pytest.raises(IllegalStateError, match="only a launch can have stalled"):
        ended.check(holds=0)


def test_the_diagram_in_the_documents_is_what_the_transitions_do():
    document = (Path(__file__).parents[3] / "docs" / "trial-states.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^    (\w+) --> (\w+): (\w+)$", document, re.MULTILINE))
    done = set()
    for state, transition, status in itertools.product(ProcessState, LEGAL, (Status.paused, Status.stopped)):
        trial = reach(state)
        if transition == "exit" or (transition, state) == ("start", ProcessState.DRAINING):
            trial.halt(status, "stop", order=5)
        for is_halted in (True, False) if transition == "exit" else (True,):
            trial = trial if is_halted else reach(state)
            try:
                trial.halt(status, "stop", order=6) if transition == "halt" else take(trial, transition)
            except IllegalStateError:
                continue
            done.add((state.value, trial.state.value, transition))
    # Orders that leave the state as it is are no arrows, but for the resume of a trial that is being drained.
    changes = {arrow for arrow in done if arrow[0] != arrow[1]} | {("draining", "draining", "start")}
    assert drawn == changes - {
        ("new", "paused", "halt"),
        ("new", "ended", "halt"),
    }  # a trial that was not started is never halted


def test_only_transitions_change_the_state():
    guarded = {name for name in vars(StateMachine(0)) if name not in ("trial_id", "status")}
    folder = Path(syne_hypersched.backends.local.__file__).parent
    written = [
        f"{path.name}:{node.lineno} {node.attr}"
        for path in folder.glob("*.py")
        if path.name != "_states.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in guarded
    ]
    assert not written
