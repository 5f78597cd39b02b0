"""The last message of an interrupted tuning, and the warning for a tuning that could not be resumed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import traceback

import dill
import pytest

from syne_hypersched.backends.shared.interruption import (
    LONG_S,
    UNKNOWN_S,
    ResumeHint,
    how_to_go_on,
    telling_how_to_go_on,
)

RESUMED = "The tuning was interrupted. To go on with it: hypersched resume run"
IN_NOTEBOOK = "The tuning was interrupted. To go on with it: resume_experiment('run')"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    (tmp_path / "run" / "journal").mkdir(parents=True)
    (tmp_path / "run" / "journal" / "000000.jsonl").write_text("{}\n")
    (tmp_path / "run" / "events.jsonl").write_text("{}\n")
    return tmp_path / "run"


def interrupted(folder, error, **options):
    """The error, as it comes out of a tuner whose backend tells how to go on."""

    def run():
        try:
            raise error
        finally:
            with telling_how_to_go_on(folder, **options):
                pass

    with pytest.raises(type(error)) as raised:
        run()
    return raised.value


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
def test_the_last_line_of_a_traceback_says_how_to_go_on(folder, caplog):
    error = interrupted(folder, KeyboardInterrupt(), grace_s=5)
    assert "".join(traceback.format_exception(error)).endswith(f"KeyboardInterrupt\n{RESUMED}\n")
    assert [record.getMessage() for record in caplog.records] == [
        "Interrupted: the trials have 5 s to checkpoint and exit."
    ]


def test_an_experiment_is_named_as_it_can_be_found(folder, tmp_path, monkeypatch):
    assert how_to_go_on(folder) == "To go on with it: hypersched resume run"
    assert how_to_go_on(folder, in_notebook=True) == "To go on with it: resume_experiment('run')"
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "elsewhere"))
    assert how_to_go_on(folder) == f"To go on with it: hypersched resume {folder}"
    assert how_to_go_on(folder, in_notebook=True) == f"To go on with it: resume_experiment({str(folder)!r})"
    shutil.rmtree(folder / "journal")
    assert how_to_go_on(folder, can_resume=False) == f"Results are in {folder}."
    assert "It cannot be resumed, because no Journal was kept" in how_to_go_on(folder)


def test_sigterm_and_errors(folder, caplog):
    interrupted(folder, SystemExit(143))
    assert [record.getMessage() for record in caplog.records] == [
        "The tuning was terminated. To go on with it: hypersched resume run"
    ]
    caplog.clear()
    assert not hasattr(interrupted(folder, ValueError("a fault")), "__notes__")
    with telling_how_to_go_on(folder):
        pass
    assert caplog.records == []


def test_an_interruption_while_the_trials_end_says_it_as_well(folder):
    with pytest.raises(KeyboardInterrupt) as raised, telling_how_to_go_on(folder):
        raise KeyboardInterrupt
    assert raised.value._render_traceback_() == [f"KeyboardInterrupt: {IN_NOTEBOOK}"]


def test_an_experiment_that_had_not_begun_is_to_be_started_again(folder):
    (folder / "journal" / "000000.jsonl").write_text("")
    (folder / "journal" / "lock").write_text("held")
    assert how_to_go_on(folder) == "It had not begun: start it again."
    shutil.rmtree(folder)  # interrupted before its journal was made
    assert how_to_go_on(folder) == "It had not begun: start it again."


@pytest.fixture
def by_default():
    """SIGTERM and SIGHUP end this process, as they do unless it was started by nohup."""
    signums = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(signum, signal.SIG_DFL) for signum in signums]
    yield
    for signum, handler in zip(signums, before, strict=True):
        signal.signal(signum, handler)


@pytest.mark.usefixtures("by_default")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), ValueError("a fault")])
def test_a_termination_while_the_trials_end_waits_until_they_have(folder, caplog, signum, error):
    steps = []

    def run():
        try:
            if error is not None:
                raise error
        finally:
            with telling_how_to_go_on(folder):
                signal.raise_signal(signum)
                signal.raise_signal(signum)
                steps.append("they have ended")

    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 128 + signum
    assert steps == ["they have ended"]
    assert caplog.records[-1].getMessage() == "The tuning was terminated. To go on with it: hypersched resume run"
    assert signal.getsignal(signum) is signal.SIG_DFL


@pytest.mark.usefixtures("by_default")
def test_a_termination_is_not_lost_where_the_end_fails(folder):
    def end():
        with telling_how_to_go_on(folder):
            signal.raise_signal(signal.SIGTERM)
            raise OSError("no room")

    with pytest.raises(SystemExit) as ended:
        end()
    assert ended.value.code == 143


@pytest.mark.usefixtures("by_default")
def test_signals_that_the_user_handles_or_another_thread_gets_are_left_alone(folder):
    seen = []
    signal.signal(signal.SIGTERM, lambda signum, frame: seen.append(signum))
    with telling_how_to_go_on(folder):
        signal.raise_signal(signal.SIGTERM)
    assert seen == [signal.SIGTERM]
    during = []

    def end():
        with telling_how_to_go_on(folder):
            during.append(signal.getsignal(signal.SIGHUP))

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
    assert during == [signal.SIG_DFL]


NOTEBOOK = """
import os, signal, sys
from IPython.core.interactiveshell import InteractiveShell

cell = '''
import os, signal
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform
from syne_tune.tuner_callback import TunerCallback
from syne_hypersched import ASHA, ElasticLocalBackend, Journal

class Interrupt(TunerCallback):
    def on_loop_end(self):
        os.kill(os.getpid(), signal.SIGINT)

backend = ElasticLocalBackend({script!r}, 1, device_type="cpu", grace_s=0.5, preload=())
scheduler = ASHA({{"x": uniform(0, 1)}}, "loss", "epoch", max_t=9)
Tuner(backend, scheduler, StoppingCriterion(max_num_trials_started=99), n_workers=1, sleep_time=0.1, tuner_name="run",
      suffix_tuner_name=False, callbacks=[Interrupt(), Journal()]).run()
'''
signal.signal(signal.SIGINT, signal.default_int_handler)
InteractiveShell.instance().run_cell(cell)
"""


def test_a_notebook_shows_one_sentence_and_no_traceback(tmp_path, forked):
    pytest.importorskip("IPython")
    script = tmp_path / "train.py"
    script.write_text("import time; time.sleep(600)")
    environment = os.environ | {"SYNETUNE_FOLDER": str(tmp_path), "IPYTHONDIR": str(tmp_path), "NO_COLOR": "1"}
    shown = forked.run(["-c", NOTEBOOK.format(script=str(script))], cwd=tmp_path, env=environment)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[-1] == f"KeyboardInterrupt: {IN_NOTEBOOK}"
    assert "Traceback" not in shown.stdout + shown.stderr


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([(0.0, LONG_S)], f"If this process dies, {LONG_S:.0f} s of tuning cannot be resumed"),
        ([(0.0, LONG_S - 1), (LONG_S, LONG_S - 1)], None),
        ([(0.0, None), (UNKNOWN_S - 1, None)], None),
        ([(0.0, None), (UNKNOWN_S, None), (UNKNOWN_S + 1, None)], "a tuning without a deadline cannot be resumed"),
    ],
)
def test_a_long_tuning_without_a_journal_warns_once(folder, caplog, looks, expected):
    hint = ResumeHint()
    shutil.rmtree(folder / "journal")
    for time_s, deadline_s in looks:
        hint.look(folder, time_s, deadline_s)
        hint = dill.loads(dill.dumps(hint))
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == (expected is not None)
    assert all(expected in message and "callbacks=[Journal()]" in message for message in warned)


def test_a_tuning_with_a_journal_does_not_warn(folder, caplog):
    hint = ResumeHint()
    hint.look(folder, 0.0, LONG_S)
    shutil.rmtree(folder / "journal")
    hint.look(folder, 1.0, LONG_S)
    assert caplog.records == []
