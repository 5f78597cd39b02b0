"""How the processes of trials are started and ended, without processes."""

from __future__ import annotations

import pytest

from syne_hypersched._resize_desk import JOINS, RESIZE_DIR
from syne_hypersched.backends.local._crew_control import CrewControl
from syne_hypersched.backends.local._failures import FailurePolicy
from syne_hypersched.backends.local._shares import GpuShares
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.backends.shared.reconcile import Phase
from tests.backends.local.fleets import (
    COMPLETED,
    FAILED,
    FIRST,
    NoProcesses,
    make_spec,
    make_state,
    make_trial,
    read_events,
)

NEW = FIRST + 1


class Control:
    """A trial that is to run on two of four devices."""

    def __init__(self, folder, resize_mode="auto", **options):
        self.launcher = NoProcesses()
        self.state = make_state(folder, self.launcher, **options)
        self.crews = CrewControl(self.state, make_spec, resize_mode)
        self.trial = make_trial(folder)
        self.state.trials[0] = self.trial
        self.trial.start(2, order=1)

    def launch(self, nodes=None):
        self.crews.launch(self.trial, 2, nodes or {})
        self.state.trials.place(self.trial)
        return self.trial.crew

    def grow(self):
        """Launches a third process, which gets ready."""
        crew = self.launch()
        self.trial.resize(3, order=2)
        change = crew.next_change(3)
        crew.desk.order(change)
        crew.begin(change)
        self.trial.begin_change(3)
        self.crews.launch_newcomers(self.trial, crew, crew.desk, change)
        return crew


@pytest.fixture
def control(tmp_path):
    return Control(tmp_path)


def test_a_launch_has_a_process_for_each_device_and_knows_its_desk(control, tmp_path):
    crew = control.launch()
    (spec,) = control.launcher.specs
    assert [rank.env["DEVICE"] for rank in spec.ranks] == ["cpu0", "cpu1"]
    assert {rank.env[RESIZE_DIR] for rank in spec.ranks} == {str(tmp_path / "resizes")}
    assert spec.checkpoints.launch == 0
    assert crew.devices == control.state.pool.held_by(0) == ("cpu0", "cpu1")
    assert (control.trial.phase, control.trial.handle) == (Phase.RUNNING, FIRST)
    assert not control.trial.waits_for_server
    control.state.check()


@pytest.mark.parametrize("why", ["the user wants it", "the folder cannot be made"])
def test_a_launch_without_a_desk_is_launched_again_for_each_resize(tmp_path, caplog, why):
    control = Control(tmp_path, "relaunch" if why == "the user wants it" else "auto")
    if control.crews.resize_mode == "auto":
        (tmp_path / "resizes").write_text("a file")
    assert control.launch().desk is None
    assert RESIZE_DIR not in control.launcher.specs[0].ranks[0].env
    assert ("is relaunched for each resize" in caplog.text) == (why == "the folder cannot be made")


@pytest.mark.parametrize(("shares", "num_nodes"), [(1, 2), (2, 1)])
def test_gpus_that_are_shared_are_of_one_machine(tmp_path, monkeypatch, shares, num_nodes):
    pool = DevicePool(["a:0", "b:0"], ["a", "b"])
    control, seen = Control(tmp_path, pool=pool, shares=GpuShares(shares)), []
    monkeypatch.setattr(control.trial, "begin_launch", lambda *numbers: seen.append(numbers))
    monkeypatch.setattr(control.trial, "take_handle", lambda handle: None)
    control.launch({"a": 1, "b": 1})
    assert seen == [(2, num_nodes)]


def test_new_processes_are_launched_on_free_devices_and_told_what_they_join(control):
    crew = control.grow()
    (rank,) = control.launcher.specs[-1].ranks
    assert (rank.env["DEVICE"], rank.env[JOINS]) == ("cpu2", "0:2")
    assert (crew.newcomer, crew.new_devices) == (NEW, ("cpu2",))
    assert control.launcher.specs[-1].checkpoints is None
    control.state.check()


def test_a_drain_gives_processes_time_and_kills_those_that_only_get_ready(control, tmp_path):
    control.grow()
    control.trial.halt("Stopped", "stop", order=3)
    control.crews.drain(control.trial)
    assert (control.launcher.drained, control.launcher.grace_s) == ([FIRST, NEW], [5.0, 0.0])
    assert control.trial.phase is Phase.DRAINING
    (drain,) = read_events(tmp_path, "drain")
    assert (drain["reason"], drain["grace_s"]) == ("stop", 5.0)


def test_new_processes_that_may_train_already_leave_as_the_others_do(control):
    crew = control.grow()
    assert crew.desk.take(crew.change)
    control.crews.drain(control.trial)
    assert control.launcher.grace_s == [5.0, 5.0]


@pytest.mark.parametrize(("leave", "reason", "grace_s"), [("retire", "pool", 5.0), ("lose", "pool", 0.0)])
def test_a_drain_says_that_a_device_goes_and_kills_if_it_is_gone(control, tmp_path, leave, reason, grace_s):
    control.launch()
    getattr(control.state.pool, leave)("cpu1")
    control.crews.drain(control.trial)
    (drain,) = read_events(tmp_path, "drain")
    assert (drain["reason"], drain["grace_s"], control.launcher.grace_s) == (reason, grace_s, [grace_s])


def test_nothing_is_drained_without_a_launcher(control):
    control.crews.drain(control.trial)
    control.launch()
    control.state.launches.take_launcher()
    control.crews.drain(control.trial)
    control.crews.signal(control.trial, 0.0)
    assert control.trial.phase is Phase.RUNNING
    assert control.launcher.drained == []


@pytest.mark.parametrize("is_over", [False, True])
def test_a_trial_that_is_silent_for_too_long_is_drained(tmp_path, caplog, is_over):
    control = Control(tmp_path, policy=FailurePolicy(2, 1.0, 10.0, 0.0))
    control.launch()
    control.crews.drain_if_stalled(control.trial)
    assert control.launcher.drained == [], "it has not begun"
    control.trial.clock.hear()
    control.trial.clock.heard_at -= 11.0 if is_over else 5.0
    control.crews.drain_if_stalled(control.trial)
    assert control.launcher.drained == ([FIRST] if is_over else [])
    assert control.trial.stalled == is_over
    assert ("has not reported for" in caplog.text) == is_over


@pytest.mark.parametrize(("exit_", "drained"), [(FAILED, [FIRST, NEW]), (COMPLETED, [NEW])])
def test_when_a_part_has_ended_the_others_do_so_too(control, exit_, drained):
    crew = control.grow()
    crew.exits[100] = exit_
    control.crews.end_others(control.trial, crew)
    assert control.launcher.drained == drained
    assert control.launcher.grace_s[-1] == 0.0
    assert crew.is_ending


def test_of_processes_that_are_gone_only_the_names_of_their_logs_are_kept(control):
    crew = control.grow()
    crew.exits[NEW] = COMPLETED
    control.crews.forget_launch(crew, NEW)
    assert control.state.launches.trial_ids == {FIRST: 0}
    assert NEW not in crew.exits
    control.crews.forget(control.trial)
    assert control.state.launches.trial_ids == {}
    assert control.trial.crew is None
    assert control.trial.logs == (0, 1)


def test_a_user_who_wants_resizes_in_place_is_told_once_why_there_is_none(tmp_path, caplog):
    control = Control(tmp_path, "in_place")
    for launch in range(2):
        control.launch().desk.decline("its model is sharded")
        control.crews.drain(control.trial)
        control.crews.forget(control.trial)
        control.state.pool.release(0)
        control.trial.exit()
        assert [event["not_in_place"] for event in read_events(tmp_path, "drain")][launch] == "its model is sharded"
    assert caplog.text.count("although resize is 'in_place'") == 1
    assert control.crews.has_told
