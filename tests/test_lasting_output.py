"""A tuning whose standard output is lost goes on, ends by itself, and can be stored."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import dill
import pytest
from syne_tune.tuner_logger import TunerLogger

from syne_hypersched._lasting_output import outlive_output

GONE = "The tuner's messages cannot be printed (Broken pipe); the tuning goes on."


class Failing(TunerLogger):
    """Counts its messages, and cannot print one of them."""

    def __init__(self, number: int = errno.EIO) -> None:
        super().__init__()
        self.number, self.count = number, 0

    def print_trial_failed(self, trial_id: int) -> None:
        self.count += 1
        raise OSError(self.number, os.strerror(self.number))


def test_messages_are_printed_as_before(capsys):
    messages = TunerLogger(use_colors=False, use_emojis=False)
    messages.print_trial_failed(3)
    before = capsys.readouterr().out
    tuner = SimpleNamespace(output_logger=messages)
    outlive_output(tuner)
    outlive_output(tuner)  # by another callback
    tuner.output_logger.print_trial_failed(3)
    assert capsys.readouterr().out.split("]")[1] == before.split("]")[1]
    assert type(tuner.output_logger) is TunerLogger


def test_one_warning_for_messages_that_cannot_be_printed(caplog):
    tuner = SimpleNamespace(output_logger=Failing(errno.ENOSPC))
    outlive_output(tuner)
    for _ in range(3):
        tuner.output_logger.print_trial_failed(1)
    assert tuner.output_logger.count == 3  # there may be room again
    assert [record.getMessage() for record in caplog.records] == [
        "The tuner's messages cannot be printed (No space left on device); the tuning goes on."
    ]


def test_a_tuner_with_such_messages_can_be_stored():
    messages = Failing(errno.ENOSPC)
    messages.print_trial_paused = print
    outlive_output(SimpleNamespace(output_logger=messages))
    again = dill.loads(dill.dumps(messages))
    again.print_trial_failed(1)
    again.print_trial_paused(1)
    assert (again.count, messages.count) == (1, 0)


def test_errors_of_another_kind_are_raised():
    messages = TunerLogger()
    messages.print_trial_paused = int
    outlive_output(SimpleNamespace(output_logger=messages))
    with pytest.raises(ValueError, match="invalid literal"):
        messages.print_trial_paused("no number")


@pytest.mark.parametrize("output_logger", [None, object()])
def test_a_logger_without_attributes_is_left_alone(output_logger):
    outlive_output(SimpleNamespace(output_logger=output_logger))
    outlive_output(SimpleNamespace())


class Writes:
    """A standard output that has nothing but this."""

    def write(self, text: str) -> int:
        return len(text)


@pytest.mark.parametrize("stdout", [None, Writes()])
def test_an_output_that_cannot_be_flushed(monkeypatch, caplog, stdout):
    messages = TunerLogger()
    outlive_output(SimpleNamespace(output_logger=messages))
    monkeypatch.setattr("sys.stdout", stdout)
    messages.print_tuning_complete()
    assert caplog.records == []


def test_what_is_printed_next_at_the_end_can_be_printed(tmp_path, forked):
    program = """
import os, sys
from types import SimpleNamespace
from syne_tune.tuner_logger import TunerLogger
from syne_hypersched._lasting_output import outlive_output

messages = TunerLogger()
outlive_output(SimpleNamespace(output_logger=messages))
os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
messages.print_tuning_complete()
print("the table of the tuner", flush=True)
"""
    ended = forked.run(["-c", program], cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr


SCRIPT = """
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--st_checkpoint_dir")
args = parser.parse_args()
for epoch in range(1, 4):
    print("[tune-metric]: " + json.dumps({"epoch": epoch, "loss": args.x}), flush=True)
"""

LAUNCH = """
import os, sys
from syne_tune import StoppingCriterion, Tuner
from syne_tune.config_space import uniform
from syne_tune.results_callback import StoreResultsCallback
from syne_tune.tuner_callback import TunerCallback
from syne_hypersched import ASHA, ElasticLocalBackend, Journal, WaitForReports

class LoseOutput(TunerCallback):
    def on_start_trial(self, trial):
        read, write = os.pipe()
        os.close(read)
        os.dup2(write, 1)
        os.close(write)

sys.stdout.reconfigure(line_buffering=True)
backend = ElasticLocalBackend(sys.argv[1], 1, device_type="cpu", preload=(), share_devices=True)
scheduler = ASHA({"x": uniform(0, 1)}, "loss", "epoch", max_t=3)
tuner = Tuner(backend, scheduler, StoppingCriterion(max_num_trials_finished=3), n_workers=1, sleep_time=0.1,
              callbacks=[globals()[sys.argv[2]](), LoseOutput()], tuner_name="run", suffix_tuner_name=False)
tuner.run()
print(tuner.tuning_status.num_trials_finished, "finished", file=sys.stderr)
"""


@pytest.mark.parametrize("storing", ["Journal", "WaitForReports", "StoreResultsCallback"])
def test_a_tuning_whose_output_nobody_reads_ends_by_itself(tmp_path, forked, storing, no_process_left):
    (tmp_path / "train.py").write_text(SCRIPT)
    environment = os.environ | {"SYNETUNE_FOLDER": str(tmp_path / "experiments")}
    arguments = ["-c", LAUNCH, str(tmp_path / "train.py"), storing]
    ended = forked.run(arguments, cwd=tmp_path, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.endswith(" finished\n")
    assert ended.stderr.count(GONE) == 1
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "experiments" / "run" / "results.csv.zip").is_file()
