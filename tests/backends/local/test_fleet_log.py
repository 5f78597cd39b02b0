"""Messages to the user about failed launches: the failure, the reaction, and the log to read."""

from __future__ import annotations

import logging
import math
from types import SimpleNamespace

import pytest

from syne_hypersched.backends.local._failures import GiveUp, Retry
from syne_hypersched.backends.local._fleet_log import tell_failure, tell_silence, warn_of_slow_start, warn_of_stall
from syne_hypersched.backends.local._processes import TrialProcesses
from syne_hypersched.launch import LaunchExit


@pytest.fixture
def trial(tmp_path):
    (tmp_path / "std.err").write_text("first line\nRuntimeError: out of luck\n")
    (tmp_path / "std.rank1.err").write_text("of the other rank\n")
    return TrialProcesses(3, tmp_path / "std.out", tmp_path / "std.err", launch=4)


@pytest.fixture
def told(caplog):
    """Level and text of the messages."""

    def get():
        (record,) = caplog.records
        return record.levelno, record.getMessage()

    return get


def test_a_retry_is_a_warning_that_says_when(trial, told):
    exit_ = LaunchExit((1,), first_failed=0, drained=False, killed=False)
    tell_failure(trial, exit_, "failed", Retry(1, 2.0, "retry 1 of 2"))
    level, text = told()
    assert level == logging.WARNING
    assert text == (
        "Trial 3 ended with exit code 1 in launch 4 (failed). It goes on from its checkpoint in 2.0 s, retry 1 of 2. "
        f"Log: {trial.stderr_path}\nfirst line\nRuntimeError: out of luck"
    )


def test_a_trial_without_a_checkpoint_does_not_go_on_from_one(trial, told):
    exit_ = LaunchExit((1,), first_failed=0, drained=False, killed=False)
    tell_failure(trial, exit_, "failed", Retry(1, 2.0, "retry 1 of 2"), has_checkpoint=False)
    assert "in launch 4 (failed). It is launched again in 2.0 s, retry 1 of 2. Log: " in told()[1]


def test_what_moves_the_cursor_is_left_out(trial, told):
    trial.stderr_path.write_text("\x1b[31mred\x1b[0m\n\x00\x1b]0;title\x07\x08end\n")
    exit_ = LaunchExit((1,), first_failed=0, drained=False, killed=False, error="odd \x1b[2J")
    tell_failure(trial, exit_, "failed", GiveUp("no \r reason"))
    text = told()[1]
    assert "in launch 4: odd \\x1b[2J (no \\r reason). Log: " in text
    assert text.endswith("\nred\n\\x00\\x08end")


def test_a_failure_is_an_error_that_says_why_it_is_final(trial, told):
    exit_ = LaunchExit((-9, 7), first_failed=1, drained=False, killed=True)
    tell_failure(trial, exit_, "failed", GiveUp("no new report after 2 retries"))
    level, text = told()
    assert level == logging.ERROR
    assert text.startswith(
        "Trial 3 failed with exit code 7 in launch 4 (rank 1 first) (no new report after 2 retries). Log: "
    )
    assert text.endswith("std.rank1.err\nof the other rank")


@pytest.mark.parametrize(("code", "name"), [(-9, "-9 (SIGKILL)"), (-11, "-11 (SIGSEGV)"), (-50, "-50"), (None, "None")])
def test_signals_have_names(trial, told, code, name):
    tell_failure(trial, LaunchExit((code,), 0, drained=False, killed=False), "failed", GiveUp(""))
    assert f"failed with exit code {name} in launch 4. Log:" in told()[1]


def test_why_no_process_was_started(trial, told):
    exit_ = LaunchExit((), None, drained=False, killed=False, error="cannot fork: no memory")
    tell_failure(trial, exit_, "failed", GiveUp(""))
    assert "in launch 4: cannot fork: no memory. Log:" in told()[1]


def test_silence_and_stalls(trial, caplog):
    tell_silence(trial)
    assert "in the background" not in caplog.text
    tell_silence(trial, num_left=1)
    assert "When it ended, 1 process in the background that it had started ended, too" in caplog.text
    warn_of_stall(trial, silent_s=12.34)
    assert "has to report with syne_tune.Reporter at least once" in caplog.text
    assert "Trial 3 has not reported for 12.3 s in launch 4: it is ended. Log:" in caplog.text


@pytest.mark.parametrize(
    ("is_arriving", "launcher", "why"),
    [
        (True, SimpleNamespace(is_ready=True), "its checkpoint is still being copied"),
        (False, SimpleNamespace(is_ready=True), "the server of launches does not answer"),
        (False, SimpleNamespace(is_ready=False), "seems to be stuck in an import"),
        (False, None, "seems to be stuck in an import"),
    ],
)
def test_why_a_launch_does_not_begin_is_said_once(trial, caplog, is_arriving, launcher, why):
    warn_of_slow_start([trial], trial.clock.signal_time + 31.0, lambda _: is_arriving, launcher)
    assert not caplog.text  # its processes are there
    trial.clock.heard_at = math.inf
    for _ in range(2):
        warn_of_slow_start([trial], trial.clock.signal_time + 31.0, lambda _: is_arriving, launcher)
    (record,) = caplog.records
    assert record.getMessage().startswith("Trial 3 was to be launched 31 s ago: ")
    assert why in record.getMessage()
