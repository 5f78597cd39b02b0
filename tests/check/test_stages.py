"""Which launches a check makes, of a script that is written down here instead of run."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from syne_hypersched.check._stages import Plan, clean
from syne_hypersched.check._trace import LaunchTrace
from syne_hypersched.checkpoints import Change

#: Seconds of an epoch.
EPOCH_S = 10.0
#: What a save changes.
IN_PLACE = [Change("written", "model"), Change("closed", "model")]
BY_MOVING = [Change(kind, "new") for kind in ("created", "written", "closed", "moved away")] + [
    Change("moved", "model")
]


@dataclass
class Script:
    """How a script behaves."""

    num_epochs: int = 9
    saves: bool = True
    in_place: bool = False
    """Whether it writes over the file, instead of moving a new one into its place."""
    exits_at_once: int | None = None
    """Exit code of a script that fails at the beginning."""
    lacks_reports: int = 0
    """How often SIGTERM ends it in a save."""
    is_killed: bool = False
    """Whether it is still there after the grace period."""
    reports_on_sigterm: bool = False
    late_copies: int = 0
    """How many reports it makes before it stands still for a copy."""
    begins_to_save: bool = False
    """Whether it stands still in the save after a report."""
    early_reports: int = 0
    """Reports that come before the middle of an epoch."""
    late_kills: int = 0
    """How often it has reported before a kill comes that was to come in the save."""

    @property
    def save(self):
        """What a save changes."""
        return [] if not self.saves else IN_PLACE if self.in_place else BY_MOVING


class Launch:
    """A launch whose script reports, or saves, whenever somebody waits."""

    def __init__(self, stage, trial, num_devices):
        self.stage, self.trial, self.num_devices, self.script = stage, trial, num_devices, stage.script
        self.folder = stage.checkpoints(trial)
        if self.folder.is_dir():
            self.epoch = int((self.folder / "model").read_text() or 0)  # a torn file is of no use
        else:
            self.epoch = 0
        self.begin = self.epoch
        self.reports, self.report_times, self.changes = [], [], []
        self.has_ended = self.script.exits_at_once is not None
        self.trace = LaunchTrace(num_devices, exit_code=self.script.exits_at_once)

    def wait(self, until, timeout_s):
        while True:
            if until():
                return True
            if timeout_s < EPOCH_S:
                self.stage.short_waits_s.append(timeout_s)
                if self.script.early_reports == 0:
                    return False  # in the middle of an epoch nothing happens
                self.script.early_reports -= 1
            if self.has_ended:
                return False
            if self.epoch == self.script.num_epochs:
                self.end(exit_code=0)
            else:
                self.report()

    def report(self):
        self.epoch += 1
        if self.script.saves:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "model").write_text(str(self.epoch))
            self.changes += self.script.save
        self.reports.append({"epoch": self.epoch})
        self.report_times.append(EPOCH_S * len(self.reports))

    def num_saves(self):
        return len(self.changes)

    def num_saves_since_report(self):
        return int(self.script.begins_to_save)

    def end(self, **how):
        self.has_ended = True
        self.trace = replace(self.trace, **how)

    def send(self, signum):
        if signum == signal.SIGKILL and not self.has_ended:
            if self.script.late_kills:
                self.script.late_kills -= 1
            else:  # the last change was not made, nor the report
                self.reports.pop()
                self.changes.pop()
                (self.folder / "model").write_text("" if self.script.in_place else str(self.epoch - 1))
            self.stage.done.append((self.trial, "killed in a save", len(self.reports)))
            self.end(exit_code=-9, num_before_signal=len(self.reports))

    def copy_checkpoints(self, folder, target):
        for _ in range(self.script.late_copies):
            self.report()
        target.mkdir()
        if folder.is_dir():
            shutil.copytree(folder, target, dirs_exist_ok=True)

    def terminate(self, grace_s, timeout_s):
        self.stage.done.append((self.trial, "terminated", len(self.reports)))
        before = len(self.reports)
        if self.script.saves:
            (self.folder / "inside-an-epoch").touch()
        if self.script.reports_on_sigterm:
            self.report()
        self.end(exit_code=75, num_before_signal=before, was_killed=self.script.is_killed)
        if self.script.lacks_reports:
            self.script.lacks_reports -= 1
            self.end(exit_code=-15)
            self.changes += [Change("written", "model")]

    def kill(self):
        self.stage.done.append((self.trial, "ended", len(self.reports)))
        self.end(exit_code=None)

    def give_up(self):
        self.stage.done.append((self.trial, "silent", len(self.reports)))
        self.end(is_silent=True)

    def finish(self, num_devices):
        assert num_devices == self.num_devices
        assert self.has_ended
        num_changes = len(self.script.save)
        places = tuple((num_changes * n, num_changes * n) for n in range(1, len(self.reports) + 1))
        return replace(self.trace, reports=tuple(self.reports), places=places, changes=tuple(self.changes))


class Stage:
    """Where launches take place."""

    def __init__(self, folder: Path, script: Script, num_devices=2):
        self.folder, self.script, self.num_devices = folder, script, num_devices
        self.started = []
        self.short_waits_s = []
        self.done = []

    def checkpoints(self, trial):
        return self.folder / trial / "checkpoints"

    def start(self, trial, num_devices):
        launch = Launch(self, trial, num_devices)
        self.started.append((trial, num_devices, launch.begin))
        return launch


def check(folder, num_reports=4, num_devices=2, **behaviour):
    stage = Stage(folder, Script(**behaviour), num_devices)
    told = []
    seen = Plan(stage, num_reports, grace_s=5.0, timeout_s=60.0, tell=told.append).run()
    return stage, seen, told


def test_a_script_that_does_all_right(tmp_path):
    stage, seen, told = check(tmp_path)
    assert stage.started == [
        ("alone", 1, 0), ("terminated-0", 1, 0), ("resumed", 1, 2), ("terminated-0", 2, 2), ("killed-0", 1, 0),
        ("killed-0", 1, 2),
    ]  # fmt: skip
    assert stage.done == [
        ("alone", "ended", 4), ("terminated-0", "terminated", 2), ("resumed", "ended", 3), ("terminated-0", "ended", 3),
        ("killed-0", "killed in a save", 2), ("killed-0", "ended", 3),
    ]  # fmt: skip
    assert (seen.num_before, seen.num_resumed, seen.num_devices) == (2, 2, 2)
    assert (tmp_path / "resumed/checkpoints/inside-an-epoch").exists(), "from what was left at SIGTERM"
    assert stage.short_waits_s == [EPOCH_S / 2], "half an epoch after the second report"
    assert sorted(path.name for path in tmp_path.glob("after-report-*")) == [
        "after-report-1", "after-report-2", "after-report-3",
    ]  # fmt: skip
    assert len(seen.alone.reports) == 4
    assert (seen.resized.num_devices, seen.restarted.num_devices) == (2, 1)
    assert seen.torn == [], "the file is moved into its place"
    assert told == [
        "undisturbed on 1 device", "SIGTERM in the middle of an epoch, after 2 reports", "launched again on 1 device",
        "launched again on 2 devices", "killed while it saves", "launched again",
    ]  # fmt: skip


@pytest.mark.parametrize("behaviour", [{"num_epochs": 1}, {"exits_at_once": 1}])
def test_of_a_script_that_does_not_train_nothing_more_is_tried(tmp_path, behaviour):
    stage, seen, _ = check(tmp_path, **behaviour)
    assert [trial for trial, *_ in stage.started] == ["alone"]
    assert seen.terminated is seen.killed is seen.resumed is None


def test_a_short_script_is_terminated_after_its_first_report(tmp_path):
    stage, seen, _ = check(tmp_path, num_epochs=2)
    assert seen.num_before == 1
    assert ("terminated-0", "terminated", 1) in stage.done


@pytest.mark.parametrize(("lacks_reports", "num_tries"), [(1, 2), (2, 3), (9, 3)])
def test_a_sigterm_that_came_in_a_save_is_sent_again_to_another_trial(tmp_path, lacks_reports, num_tries):
    stage, seen, _ = check(tmp_path, lacks_reports=lacks_reports)
    tries = [trial for trial, what, _ in stage.done if what == "terminated"]
    assert tries == [f"terminated-{number}" for number in range(num_tries)]
    assert stage.started[-3][:2] == (tries[-1], 2), "the last one goes on on several devices"
    assert seen.num_resumed == 2


@pytest.mark.parametrize(("late_kills", "num_tries"), [(1, 2), (9, 3)])
def test_a_kill_that_came_too_late_is_tried_again(tmp_path, late_kills, num_tries):
    stage, seen, _ = check(tmp_path, late_kills=late_kills)
    tries = [trial for trial, what, _ in stage.done if what == "killed in a save"]
    assert tries == [f"killed-{number}" for number in range(num_tries)]
    assert stage.started[-1] == (tries[-1], 1, 3 if late_kills == 9 else 2), "the last one is launched again"
    assert seen.killed.is_in_save(seen.alone) is (late_kills == 1)


@pytest.mark.parametrize(("early_reports", "after"), [(1, 3), (9, 5)])
def test_a_report_that_comes_early_is_waited_for_as_long_as_an_epoch_is_left(tmp_path, early_reports, after):
    stage, _, _ = check(tmp_path, num_reports=6, early_reports=early_reports)
    assert ("terminated-0", "terminated", after) in stage.done


@pytest.mark.parametrize("behaviour", [{"is_killed": True}, {"reports_on_sigterm": True}])
def test_what_was_ended_badly_is_not_what_a_launch_is_resumed_from(tmp_path, behaviour):
    stage, seen, _ = check(tmp_path, **behaviour)
    assert (tmp_path / "after-report-2" / "model").read_text() == "2"
    assert ("resumed", 1, 2) in stage.started
    assert not (tmp_path / "resumed/checkpoints/inside-an-epoch").exists()
    assert seen.num_resumed == 2


@pytest.mark.parametrize("late_copies", [0, 1, 2])
def test_a_copy_is_judged_by_the_reports_that_were_made_when_it_was_copied(tmp_path, late_copies):
    stage, seen, _ = check(tmp_path, num_epochs=12, num_reports=9, is_killed=True, late_copies=late_copies)
    begins = {trial: begin for trial, _, begin in stage.started}
    assert seen.num_resumed == begins["resumed"] > 0


def test_a_copy_with_a_part_of_the_next_save_is_not_judged(tmp_path):
    _, seen, _ = check(tmp_path, is_killed=True, begins_to_save=True)
    assert seen.resumed is not None
    assert seen.num_resumed == 0


def test_no_torn_state_is_made_from_copies_that_are_several_reports_apart(tmp_path):
    _, seen, _ = check(tmp_path, num_epochs=12, num_reports=9, in_place=True, late_copies=2)
    assert seen.torn == []


def test_a_script_without_checkpoints_is_neither_resumed_nor_killed_in_a_save(tmp_path):
    stage, seen, told = check(tmp_path, saves=False)
    assert seen.resumed is seen.restarted is None
    assert seen.killed.num_before_signal is None
    assert told.count("killed while it saves") == 2, "it may have been bad luck"
    assert "launched again" not in told
    assert [begin for *_, begin in stage.started] == [0] * len(stage.started)


def test_a_script_that_writes_over_its_checkpoint_is_launched_from_a_torn_one(tmp_path):
    stage, seen, told = check(tmp_path, in_place=True)
    ((what, trace),) = seen.torn
    assert what == "model half written"
    assert told[-1] == "launched from a torn save: model half written"
    assert stage.started[-1] == ("torn-0", 1, 0)
    assert len(trace.reports) == 2


def test_one_device(tmp_path):
    _, seen, told = check(tmp_path, num_devices=1)
    assert "launched again on 1 device" in told
    assert seen.resized.num_devices == 1


def test_a_folder_is_removed(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    clean(tmp_path / "a")
    clean(tmp_path / "a")
    assert not list(tmp_path.iterdir())
