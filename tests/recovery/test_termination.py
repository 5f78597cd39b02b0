"""Tuners that are asked to end: by Ctrl-C, once or twice, and by SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import zipfile

import pytest
from pandas.errors import EmptyDataError

from syne_hypersched.experiments import check_run, load_run
from syne_hypersched.recovery._orphans import open_launches
from syne_hypersched.recovery._termination import EXIT_TERMINATED, Termination


@pytest.fixture
def begin(experiments):
    """Starts HyperSched, and returns once a checkpoint of the incumbent is published."""

    def begin_tuning(name, **options):
        process = experiments.start("hypersched", name, exploration_s=180.0, **options)
        experiments.wait_for((experiments.path(name) / "best" / "checkpoint" / "epoch.json").is_file)
        return process

    return begin_tuning


def num_reports(experiments, name):
    """Rows of the table; 0 while it is being written."""
    try:
        return len(experiments.results(name))
    except (FileNotFoundError, EmptyDataError, zipfile.BadZipFile):
        return 0


def assert_can_be_resumed(experiments, name):
    before = num_reports(experiments, name)
    process = experiments.resume(name, "--time-passes", "running")
    experiments.wait_for(lambda: process.poll() is not None or num_reports(experiments, name) > before)
    os.killpg(process.pid, signal.SIGINT)  # the deadline is far away
    assert process.wait() != 0, experiments.log()
    assert num_reports(experiments, name) > before
    assert check_run(load_run(experiments.path(name), time_attr="epoch")) == ()
    assert experiments.left_behind(name) == []


def test_ctrl_c_drains_publishes_and_leaves_an_experiment_that_can_be_resumed(experiments, begin):
    process = begin("interrupted")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == -signal.SIGINT
    assert experiments.left_behind("interrupted") == []
    # On a busy machine a trial may have come to its end before.
    hows = {event.details["how"] for event in experiments.events("interrupted", "exit")}
    assert {"drained"} <= hows <= {"completed", "drained"}
    assert open_launches(experiments.events("interrupted", "launch", "exit")) == []
    best = json.loads((experiments.path("interrupted") / "best" / "result.json").read_text())
    # The tuner may have been interrupted between a report and its line in the table.
    assert best["loss"] <= experiments.results("interrupted").loss.min()
    assert_can_be_resumed(experiments, "interrupted")


@pytest.mark.slow
def test_a_second_ctrl_c_ends_the_tuner_at_once(experiments, begin):
    process = begin("interrupted", fault="deaf", grace_s=3.0)
    os.killpg(process.pid, signal.SIGINT)
    experiments.wait_for(lambda: experiments.events("interrupted", "drain"))
    assert process.poll() is None  # it waits for trials that do not listen
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == -signal.SIGINT
    # It did not wait until they were killed, and killed they are.
    assert open_launches(experiments.events("interrupted", "launch", "exit"))
    experiments.wait_for(lambda: experiments.left_behind("interrupted") == [])
    assert_can_be_resumed(experiments, "interrupted")


@pytest.mark.slow
def test_sigterm_leaves_no_process_after_drain_s(experiments, begin):
    process = begin("terminated", fault="deaf", grace_s=60.0, drain_s=1.0)
    process.terminate()
    # Less than the sixty seconds that trials are given elsewhere.
    assert process.wait(280) == EXIT_TERMINATED
    assert experiments.left_behind("terminated") == []
    assert {event.details["how"] for event in experiments.events("terminated", "exit")} == {"killed"}
    assert_can_be_resumed(experiments, "terminated")


@pytest.fixture
def handler():
    """Restores the handlers of SIGTERM and SIGHUP after a test."""
    before = [(signum, signal.getsignal(signum)) for signum in (signal.SIGTERM, signal.SIGHUP)]
    yield
    for signum, was in before:
        signal.signal(signum, was)


@pytest.mark.usefixtures("handler")
def test_only_the_first_sigterm_counts():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    termination = Termination()
    termination.install()
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == EXIT_TERMINATED == 143
    assert termination.has_come
    signal.raise_signal(signal.SIGTERM)
    termination.uninstall()
    signal.raise_signal(signal.SIGTERM)  # nor does one disturb the end


@pytest.mark.usefixtures("handler")
def test_a_closed_terminal_ends_the_tuner_as_sigterm_does():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    termination = Termination()
    termination.install()
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(signal.SIGHUP)
    assert ended.value.code == 128 + signal.SIGHUP
    assert termination.has_come
    signal.raise_signal(signal.SIGTERM)  # a service manager sends both
    termination.uninstall()


@pytest.mark.usefixtures("handler")
def test_a_hangup_that_nohup_ignores_stays_ignored():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    termination = Termination()
    termination.install()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    termination.uninstall()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.usefixtures("handler")
def test_a_sigterm_that_a_destructor_swallows_ends_the_tuner_all_the_same(monkeypatch):
    class Dying:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def run():
        Dying()
        while True:
            time.sleep(600)

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # That of a tuner of an earlier test, whose watch may end at any moment, is set aside.
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    termination = Termination()
    termination.install()
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == EXIT_TERMINATED
    termination.uninstall()
    assert sys.unraisablehook == sys.__unraisablehook__
    assert termination.has_come


@pytest.mark.usefixtures("handler")
def test_a_tuner_that_has_ended_listens_no_longer():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    termination = Termination()
    termination.install()
    assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    termination.uninstall()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert not termination.has_come


@pytest.mark.usefixtures("handler")
def test_a_handler_of_the_users_own_is_left_alone():
    seen = []
    signal.signal(signal.SIGTERM, lambda signum, frame: seen.append(signum))
    termination = Termination()
    termination.install()
    signal.raise_signal(signal.SIGTERM)
    termination.uninstall()
    assert seen == [signal.SIGTERM]
    assert not termination.has_come


def test_signals_are_handled_only_in_the_main_thread():
    before, termination = signal.getsignal(signal.SIGTERM), Termination()
    thread = threading.Thread(target=termination.install)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == before
