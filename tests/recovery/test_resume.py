"""Real experiments whose tuner is killed, and their results after a resume."""

from __future__ import annotations

import contextlib
import json
import signal
from collections import Counter

import dill
import psutil
import pytest

from syne_hypersched.experiments import check_run, load_run, read_events
from syne_hypersched.launch import is_same
from syne_hypersched.recovery._orphans import open_launches

NUM_POINTS = 6


def curves(table, num_trials=NUM_POINTS):
    return {(row.trial_id, row.epoch, row.loss) for row in table.itertuples() if row.trial_id < num_trials}


def entries(experiments, name):
    return [
        json.loads(line)
        for path in sorted(experiments.path(name).glob("journal/*.jsonl"))
        for line in path.read_bytes().split(b"\n")[:-1]
    ]


def journaled(experiments, name):
    results = [entry for entry in entries(experiments, name) if entry.get("call") == "result"]
    return {(entry["trial_id"], entry["report"]["epoch"], entry["report"]["loss"]) for entry in results}


def reports_of(experiments, name, launch):
    """The reports of a launch that are in the journal."""
    results = [entry for entry in entries(experiments, name) if entry.get("call") == "result"]
    of_trial = [entry["report"] for entry in results if entry["trial_id"] == launch.trial_id]
    return [report for report in of_trial if report["st_launch"] == launch.launch]


def assert_sound(experiments, name):
    assert check_run(load_run(experiments.path(name), time_attr="epoch")) == ()
    assert experiments.left_behind(name) == []


@pytest.mark.parametrize("kind", ["points", pytest.param("function", marks=pytest.mark.slow)])
def test_a_killed_experiment_ends_as_one_that_was_not(experiments, kind):
    process = experiments.start(kind, "killed")
    for num_lines in (10, 40):
        experiments.kill_after(process, "killed", num_lines)
        before = journaled(experiments, "killed")
        process = experiments.resume("killed")
    assert process.wait() == 0, experiments.log()
    assert before <= curves(experiments.results("killed"), num_trials=100)
    # Every point was trained to its end, by any of the tuners.
    expected = {(i, epoch, i / 10 + 1 / epoch) for i in range(NUM_POINTS) for epoch in range(1, 10)}
    assert curves(experiments.results("killed")) == expected
    assert_sound(experiments, "killed")


def test_hypersched_goes_on_with_its_deadline_and_its_devices(experiments):
    process = experiments.start("hypersched", "killed")

    experiments.wait_for(lambda: any(len(launch.devices) == 2 for launch in experiments.events("killed", "launch")))
    experiments.wait_for((experiments.path("killed") / "journal" / "snapshot").is_file)
    process.kill()
    process.wait()
    num_launches = len(experiments.events("killed", "launch"))
    process = experiments.resume("killed", "--time-passes", "running")
    experiments.wait_for(lambda: len(experiments.events("killed", "launch")) > num_launches)
    # It is launched on two devices, not on one and then resized.
    launch = experiments.events("killed", "launch")[num_launches]
    assert len(launch.devices) == 2
    experiments.wait_for(lambda: reports_of(experiments, "killed", launch))
    assert reports_of(experiments, "killed", launch)[0]["st_num_devices"] == 2
    process.kill()
    process.wait()
    before = journaled(experiments, "killed")
    # What happens in the last three seconds depends on the machine.
    experiments.age("killed", 600 - 30 - 3)
    num_entries = len(entries(experiments, "killed"))
    assert experiments.resume("killed", "--time-passes", "running").wait() == 0, experiments.log()
    assert "The experiment is done" in experiments.log()
    assert_sound(experiments, "killed")
    assert before <= curves(experiments.results("killed"), num_trials=100)
    assert all(entry["time_s"] >= 567 for entry in entries(experiments, "killed")[num_entries:] if "call" in entry)
    assert (experiments.path("killed") / "best" / "result.json").is_file()


@pytest.mark.slow
def test_a_trial_that_had_failed_has_as_many_retries_left_as_it_had(experiments):
    process = experiments.start("points", "killed", fault="first", retries=2, retry_backoff_s=1.0)
    experiments.wait_for(lambda: len(experiments.events("killed", "retry")) == 2)
    process.kill()  # in a back-off of two seconds
    process.wait()
    assert experiments.resume("killed").wait() == 0, experiments.log()
    assert [event.trial_id for event in experiments.events("killed", "retry", "fail")] == [0, 0, 0]
    ends = [event for event in experiments.events("killed", "exit") if event.trial_id == 0]
    assert [event.details["how"] for event in ends] == ["failed"] * 3
    assert (experiments.results("killed").trial_id == 0).sum() == 2
    assert_sound(experiments, "killed")


@pytest.mark.slow
def test_a_size_on_which_a_trial_has_failed_stays_refused(experiments):
    process = experiments.start("hypersched", "killed", fault="large", retry_backoff_s=1.0)
    experiments.wait_for(lambda: experiments.events("killed", "retry"))
    process.kill()  # in a back-off, before the scheduler could see that the trial has gone back
    process.wait()
    (failed,) = {event.trial_id for event in experiments.events("killed", "retry")}
    num_launches = len(experiments.events("killed", "launch"))

    def again():
        launches = experiments.events("killed", "launch")[num_launches:]
        return [launch for launch in launches if launch.trial_id == failed]

    process = experiments.resume("killed", "--time-passes", "running")
    experiments.wait_for(lambda: any(len(reports_of(experiments, "killed", launch)) > 10 for launch in again()))
    experiments.enough()
    assert process.wait() == 0, experiments.log()
    assert {len(launch.devices) for launch in again()} == {1}
    # Every trial tries it once at most.
    large = Counter(launch.trial_id for launch in experiments.events("killed", "launch") if len(launch.devices) == 2)
    assert set(large.values()) == {1}
    assert_sound(experiments, "killed")


@pytest.mark.slow
def test_fewer_devices_than_a_trial_had_are_refused(experiments):
    process = experiments.start("hypersched", "killed")
    experiments.wait_for(lambda: any(report.get("num_devices") == 2 for report in entries(experiments, "killed")))
    process.kill()
    process.wait()
    setup = experiments.path("killed") / "journal" / "setup.dill"
    tuner = dill.loads(setup.read_bytes())
    tuner.trial_backend.num_devices = 1
    setup.write_bytes(dill.dumps(tuner))
    assert experiments.resume("killed").wait() == 2
    assert "--num-devices must be at least 2, which a trial has had, but got 1" in experiments.log()


def test_sigterm_drains_and_the_experiment_can_be_resumed(experiments):
    process = experiments.start("hypersched", "terminated")
    best = experiments.path("terminated") / "best" / "checkpoint" / "epoch.json"
    experiments.wait_for(lambda: best.is_file() or len(journaled(experiments, "terminated")) > 30)
    process.terminate()
    assert process.wait() == 128 + signal.SIGTERM, experiments.log()
    assert experiments.left_behind("terminated") == []
    exits = [event for event in read_events(experiments.path("terminated") / "events.jsonl") if event.event == "exit"]
    # A trial that was about to be resized or paused just then exits for that reason.
    assert exits[-1].reason in ("deadline", "resize", "pause")
    assert {event.details["how"] for event in exits} == {"drained"}
    # What had reached the scheduler is stored without a resume, but for a report that was being handled just then.
    before = journaled(experiments, "terminated")
    stored = curves(experiments.results("terminated"), num_trials=100)
    assert stored <= before
    assert len(before - stored) <= 1
    process = experiments.resume("terminated", "--time-passes", "running")
    experiments.wait_for(lambda: before < journaled(experiments, "terminated") and best.is_file())
    experiments.enough()
    assert process.wait() == 0
    assert f"Its best checkpoint is in {experiments.path('terminated') / 'best'}" in experiments.log()
    assert before < curves(experiments.results("terminated"), num_trials=100)
    assert_sound(experiments, "terminated")


def assert_goes_on(experiments, name, before):
    assert experiments.left_behind(name) == []
    assert experiments.resume(name).wait() == 0, experiments.log()
    expected = {(i, epoch, i / 10 + 1 / epoch) for i in range(NUM_POINTS) for epoch in range(1, 10)}
    assert before <= curves(experiments.results(name), num_trials=100)
    assert curves(experiments.results(name)) == expected
    assert_sound(experiments, name)


@pytest.mark.slow
def test_a_journal_that_cannot_be_written_ends_the_experiment(experiments):
    process = experiments.start("points", "full", full=True)
    assert process.wait() == 1
    last = experiments.log().strip().splitlines()[-1]
    assert last.startswith("OSError: [Errno 27] File too large: the journal in")
    assert last.endswith("When it can be, resume_experiment('full') goes on with it")
    # What had reached the scheduler is stored, and what was running has been drained.
    before = journaled(experiments, "full")
    assert before == curves(experiments.results("full"), num_trials=100)
    assert open_launches(experiments.events("full", "launch", "exit")) == []
    assert_goes_on(experiments, "full", before)


@pytest.mark.slow
def test_results_that_cannot_be_stored_are_in_the_journal(experiments):
    process = experiments.start("points", "full")
    in_the_way = experiments.path("full") / "results.csv.zip.new"
    experiments.wait_for(in_the_way.parent.is_dir)
    in_the_way.mkdir()
    assert process.wait() == 0, experiments.log()
    assert experiments.log().count("The results cannot be stored in") == 1
    assert not (experiments.path("full") / "results.csv.zip").exists()
    in_the_way.rmdir()
    assert_goes_on(experiments, "full", journaled(experiments, "full"))


def test_an_experiment_that_runs_is_not_resumed(experiments):
    process = experiments.start("points", "running")
    experiments.wait_for(lambda: experiments.num_lines("running") > 3)
    process.send_signal(signal.SIGSTOP)  # so that it cannot have ended before it is to be resumed
    assert experiments.resume("running").wait() == 2
    assert f"still runs (process {process.pid} on" in experiments.log()
    process.send_signal(signal.SIGCONT)
    assert process.wait() == 0


def test_what_the_dead_tuner_has_left_is_gone_before_anything_is_launched(experiments):
    """Two processes of one trial would write to one checkpoint, and share a device."""
    process = experiments.start("hypersched", "killed", fault="deaf", grace_s=0.5)
    experiments.wait_for(lambda: experiments.num_lines("killed") > 20)
    process.send_signal(signal.SIGSTOP)  # so that no other trial is launched
    launches = experiments.events("killed", "launch")
    left = [
        (pid, ticks)
        for launch in open_launches(experiments.events("killed", "launch", "exit"))
        for pid, ticks in zip(launch.details["pids"], launch.details["start_ticks"], strict=True)
        if is_same(pid, ticks)
    ]
    assert left
    supervisors = [psutil.Process(psutil.Process(pid).ppid()) for pid, _ in left]
    try:
        for supervisor in supervisors:
            supervisor.suspend()  # as if the machine were too busy for them to end their trials in time
        process.kill()
        process.wait()
        resumed = experiments.resume("killed", "--time-passes", "running")
        experiments.wait_for(lambda: len(experiments.events("killed", "launch")) > len(launches))
        assert [pid for pid, ticks in left if is_same(pid, ticks)] == []
    finally:
        for supervisor in supervisors:
            with contextlib.suppress(psutil.NoSuchProcess):
                supervisor.kill()
    resumed.kill()
    resumed.wait()
    experiments.wait_for(lambda: experiments.left_behind("killed") == [])
