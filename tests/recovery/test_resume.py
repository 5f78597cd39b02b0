"""Real experiments whose tuner is killed, and what comes of them when they are resumed."""

from __future__ import annotations

import json
import signal

from syne_hypersched.experiments import check_run, load_run, read_events

NUM_POINTS = 6


def curves(table, num_trials=NUM_POINTS):
    return {(row.trial_id, row.epoch, row.loss) for row in table.itertuples() if row.trial_id < num_trials}


def journaled(experiments, name):
    lines = [
        json.loads(line)
        for path in sorted(experiments.path(name).glob("journal/*.jsonl"))
        for line in path.read_bytes().split(b"\n")[:-1]
    ]
    return {(e["trial_id"], e["report"]["epoch"], e["report"]["loss"]) for e in lines if e.get("call") == "result"}


def assert_sound(experiments, name):
    assert check_run(load_run(experiments.path(name), time_attr="epoch")) == ()
    assert experiments.left_behind(name) == []


def test_a_killed_experiment_ends_as_one_that_was_not(experiments):
    process = experiments.start("points", "killed")
    for num_lines in (10, 40):
        experiments.kill_after(process, "killed", num_lines)
        before = journaled(experiments, "killed")
        process = experiments.resume("killed")
    assert process.wait() == 0, (experiments.folder / "tuner.log").read_text()
    assert before <= curves(experiments.results("killed"), num_trials=100)
    # Every point was trained to its end, whoever did it.
    expected = {(i, epoch, i / 10 + 1 / epoch) for i in range(NUM_POINTS) for epoch in range(1, 10)}
    assert curves(experiments.results("killed")) == expected
    assert_sound(experiments, "killed")


def test_hypersched_goes_on_with_its_deadline_and_its_devices(experiments):
    process = experiments.start("hypersched", "killed")

    def has_grown():
        path = experiments.path("killed") / "events.jsonl"
        return path.exists() and any(event.event == "launch" and len(event.devices) == 2 for event in read_events(path))

    experiments.wait_for(has_grown)
    experiments.wait_for((experiments.path("killed") / "journal" / "snapshot").is_file)
    process.kill()
    process.wait()
    before = journaled(experiments, "killed")
    assert experiments.resume("killed").wait() == 0, (experiments.folder / "tuner.log").read_text()
    assert_sound(experiments, "killed")
    table = experiments.results("killed")
    assert before <= curves(table, num_trials=100)
    assert table.st_tuner_time.max() < 6
    assert table.st_num_devices.iloc[-1] == 2
    assert (experiments.path("killed") / "best" / "result.json").is_file()


def test_sigterm_drains_and_the_experiment_can_be_resumed(experiments):
    process = experiments.start("hypersched", "terminated")
    experiments.wait_for((experiments.path("terminated") / "best" / "checkpoint" / "epoch.json").is_file)
    process.terminate()
    assert process.wait() == 128 + signal.SIGTERM
    assert experiments.left_behind("terminated") == []
    exits = [event for event in read_events(experiments.path("terminated") / "events.jsonl") if event.event == "exit"]
    assert exits[-1].reason == "deadline"
    assert {event.details["how"] for event in exits} == {"drained"}
    # What had reached the scheduler is stored without a resume.
    before = journaled(experiments, "terminated")
    assert before == curves(experiments.results("terminated"), num_trials=100)
    assert experiments.resume("terminated", "--time-passes", "running").wait() == 0
    assert before < curves(experiments.results("terminated"), num_trials=100)
    assert_sound(experiments, "terminated")


def test_an_experiment_that_runs_is_not_resumed(experiments):
    process = experiments.start("points", "running")
    experiments.wait_for(lambda: experiments.num_lines("running") > 3)
    process.send_signal(signal.SIGSTOP)  # so that it cannot have ended before it is to be resumed
    assert experiments.resume("running").wait() == 2
    assert f"still runs (process {process.pid} on" in (experiments.folder / "tuner.log").read_text()
    process.send_signal(signal.SIGCONT)
    assert process.wait() == 0
