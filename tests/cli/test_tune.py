"""A script is tuned by the command, with real trials."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from syne_hypersched.cli import main
from syne_hypersched.experiments import read_events

SCRIPT = Path(__file__).parents[1] / "tuning" / "training_script.py"
WHAT = ["--metric", "val_loss", "--min", "--resource", "epoch:27"]
SPACE = ["lr=log(1e-3,1)", "width=[8,16]"]
HERE = ["--devices", "cpu:2", "--seed", "0"]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    return tmp_path


@pytest.fixture
def command(folder, forked):
    return lambda *arguments: forked.run(["-m", "syne_hypersched.cli", *arguments], cwd=folder)


def last_lines(ended, beginning):
    return [line for line in ended.stdout.splitlines() if line.startswith(beginning)]


def test_a_script_is_tuned_and_the_run_can_be_looked_at(folder, command):
    for deadline, name in (("3s", "first"), ("40s", "second"), ("160s", "third")):  # a busy machine may need more
        ended = command("tune", SCRIPT, *SPACE, *WHAT, *HERE, "--deadline", deadline, "--name", name)
        path = folder / "experiments" / name
        if ended.returncode == 0 and (path / "best" / "checkpoint").is_dir():
            break
    assert ended.returncode == 0, ended.stderr
    assert f"experiment {name}: minimise val_loss of training_script.py" in ended.stdout
    assert last_lines(ended, "best val_loss ")
    assert str(path / "best") in ended.stdout
    assert (path / "best" / "checkpoint" / "epoch.json").is_file()
    assert last_lines(ended, "picture: ")
    assert last_lines(ended, "replay: with a first rung at 1, ")
    assert (path / "journal").is_dir()
    for look in last_lines(ended, "more: ")[0].removeprefix("more: ").split(", "):
        looked = command(*shlex.split(look)[1:])
        assert (looked.returncode, looked.stderr) == (0, ""), look
    again = command("tune", SCRIPT, *SPACE, *WHAT, *HERE, "--deadline", "6s", "--name", name)
    assert (again.returncode, "--resume" in again.stderr) == (2, True)


def test_a_script_that_fails_is_exit_code_1_with_its_last_lines(folder, command):
    ended = command(
        *("tune", SCRIPT, *SPACE, "fail=yes", *WHAT, *HERE, "--deadline", "120s", "--max-failures", "0", "--name", "f"),
    )
    assert ended.returncode == 1
    assert "RuntimeError: this script fails" in ended.stdout + ended.stderr
    assert "--max-failures 0" in ended.stderr


def test_the_space_may_be_anywhere(folder, capsys):
    (folder / "space.toml").write_text('lr = "log(1e-3, 1)"\n')
    arguments = ["tune", str(SCRIPT), *WHAT, "--deadline", "1h"]
    texts = []
    for index, space in enumerate(
        (["lr=log(1e-3,1)"], ["--space", "lr=log(1e-3,1)"], ["--space", str(folder / "space.toml")])
    ):
        path = folder / f"launch{index}.py"
        assert main([*arguments, *space, "--write-script", str(path)]) == 0
        assert f"python {path}" in capsys.readouterr().out
        texts.append(path.read_text())
    assert texts[0] == texts[1] == texts[2]


BAD = {
    "nothing": ([], "missing: the training script; --metric NAME; --max or --min; --resource"),
    "no direction": ([SCRIPT, *SPACE, "--metric", "m", "--resource", "e:3", "--deadline", "9"], "--max or --min"),
    "both": ([SCRIPT, *SPACE, *WHAT, "--max", "--deadline", "9s"], "exclude each other"),
    "no space": ([SCRIPT, *WHAT, "--deadline", "9s"], "missing: --space"),
    "no script": (["nowhere.py", *SPACE, *WHAT, "--deadline", "9s"], "'nowhere.py' does not exist"),
    "bad space": ([SCRIPT, "lr=lgo(1,2)", *WHAT, "--deadline", "9s"], "did you mean 'log'"),
    "no file": ([SCRIPT, "--space", "x.toml", *WHAT, "--deadline", "9s"], "x.toml"),
    "deadline": ([SCRIPT, *SPACE, *WHAT, "--deadline", "soon"], "--deadline must be"),
    "devices": ([SCRIPT, *SPACE, *WHAT, "--deadline", "9s", "--devices", "9999x"], "--devices must be"),
    "no gpu": ([SCRIPT, *SPACE, *WHAT, "--deadline", "9s", "--devices", "gpu:64"], "error: --devices must be"),
    "scheduler": ([SCRIPT, *SPACE, *WHAT, "--deadline", "9s", "--scheduler", "ashaa"], "did you mean 'asha'"),
    "template": ([SCRIPT, *SPACE, *WHAT, "--deadline", "9s", "--arguments", "'a"], "--arguments must be"),
    "placeholder": ([SCRIPT, *SPACE, *WHAT, "--deadline", "9s", "--arguments", "lr={lx}"], "--arguments must have"),
    "format": (
        [SCRIPT, *SPACE, *WHAT, "--deadline", "9s", "--arguments", "lr={lr:d}"],
        "--arguments must have formats",
    ),
    "unknown run": ([SCRIPT, *SPACE, *WHAT, "--deadline", "9s", "--resume", "never"], "never"),
    "resume with some": (["--resume", "x", "--deadline", "9s"], "--resume alone"),
    "resume and name": ([SCRIPT, *SPACE, *WHAT, "--deadline", "9", "--resume", "x", "--name", "y"], "leave out --name"),
    "no cluster": ([SCRIPT, *SPACE, *WHAT, "--deadline", "9s", "--checkpoints", "/shared"], "for --cluster"),
    "a URL": (
        [SCRIPT, *SPACE, *WHAT, "--deadline", "9s", "--cluster", "auto", "--checkpoints", "s3://bucket"],
        "--checkpoints must be the path of a folder, but got the URL",
    ),
    "slots": ([SCRIPT, *SPACE, *WHAT, "--deadline", "9s", "--cluster", "auto", "--devices", "a b"], "with --cluster"),
    "write over": ([SCRIPT, *SPACE, *WHAT, "--deadline", "9s", "--write-script", SCRIPT], "exists"),
    "write nowhere": ([SCRIPT, *SPACE, *WHAT, "--deadline", "9s", "--write-script", "no/such/x.py"], "no/such"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_exit_code_2_and_a_line_that_names_it(case, folder, capsys):
    arguments, message = BAD[case]
    assert main(["tune", *map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("hypersched tune: error: ")
    assert not list(folder.glob("experiments/*/results.csv.zip"))


def test_the_searcher_of_an_extra_is_named_if_it_is_missing(folder, capsys, monkeypatch):
    for module in [name for name in sys.modules if "botorch" in name]:  # another test may have imported it
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "botorch", None)
    assert main(["tune", str(SCRIPT), *SPACE, *WHAT, "--deadline", "9s", "--searcher", "botorch"]) == 2
    assert "syne-hypersched[searchers]" in capsys.readouterr().err


def test_an_unknown_experiment_cannot_be_resumed(folder, capsys):
    assert main(["tune", "--resume", "never"]) == 2
    assert "never" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)  # it starts two interpreters that import everything, on a machine that may be busy
def test_an_experiment_that_was_terminated_goes_on_with_a_later_deadline(folder, wait_for):
    what = ["tune", str(SCRIPT), *SPACE, *WHAT, "--devices", "cpu:2"]  # a seed is drawn
    path = folder / "experiments" / "long"

    def interrupted_when(condition, *arguments):
        """What a tuning has printed that is interrupted as soon as a condition holds, however long that takes."""
        called = [sys.executable, "-m", "syne_hypersched.cli", *what, *arguments]
        with subprocess.Popen(called, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                wait_for(lambda: condition() or process.poll() is not None, timeout_s=240)
            finally:
                process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=240)
        assert process.returncode == 130, error
        assert "Traceback" not in error
        return out

    def launches():
        events = path / "events.jsonl"
        return events.read_text().count('"event": "launch"') if events.is_file() else 0

    def has_a_result():
        return any('"call":"result"' in segment.read_text() for segment in path.glob("journal/*.jsonl"))

    interrupted_when(has_a_result, "--deadline", "1h", "--name", "long")
    before = launches()
    out = interrupted_when(lambda: launches() > before, "--deadline", "2h", "--resume", "long")
    assert "best val_loss " in out
    assert "2 h" in out or "7200 s" in out


@pytest.mark.slow
def test_an_address_of_no_cluster_is_named_by_its_option(folder, capsys):
    pytest.importorskip("ray")
    where = ["--cluster", "127.0.0.1:1", "--devices", "slot:2"]
    assert main(["tune", str(SCRIPT), *WHAT, *SPACE, "--deadline", "9s", *where]) == 2
    assert "--cluster must lead to a Ray cluster, but '127.0.0.1:1' does not" in capsys.readouterr().err


def test_a_cluster_is_written_into_the_script(folder):
    path = folder / "launch.py"
    arguments = ["tune", str(SCRIPT), *WHAT, *SPACE, "--deadline", "1h", "--cluster", "auto", "--devices", "slot:4"]
    assert main([*arguments, "--checkpoints", "/shared", "--write-script", str(path)]) == 0
    text = path.read_text()
    assert "num_devices=4,\n        devices_of='slot',\n        checkpoint_path='/shared',\n    )\n" in text
    assert "import Deadline, ElasticRayBackend, HyperSched, Journal" in text


@pytest.mark.slow
def test_a_script_is_tuned_on_a_cluster(folder, command, monkeypatch):
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    small = {"num_cpus": 0, "num_gpus": 0, "object_store_memory": 80 * 1024 * 1024, "include_log_monitor": False}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    try:
        cluster.add_node(**small, resources={"slot": 2}, wait=False)
        where = ["--cluster", cluster.address, "--insecure", "--devices", "slot:2", "--seed", "0", "--name", "far"]
        ended = command("tune", SCRIPT, *SPACE, *WHAT, *where, "--deadline", "40s")
        assert ended.returncode == 0, ended.stderr
        assert last_lines(ended, "best val_loss ")
    finally:
        cluster.shutdown()


def test_who_no_longer_reads_the_output_does_not_end_the_tuning(folder, forked):
    tune = ["-m", "syne_hypersched.cli", "tune", SCRIPT, *SPACE, *WHAT, *HERE, "--name", "unread", "--deadline", "4s"]
    reader, writer = os.pipe()
    with open(reader) as output, open(writer, "wb") as out, open(os.devnull, "wb") as nothing:
        process = forked.start(tune, folder, stdout=out, stderr=nothing)
        out.close()
        output.readline()
    assert process.wait() in (0, 1)  # 1: a busy machine has reported nothing in time
    path = folder / "experiments" / "unread"
    events = [event for event in read_events(path / "events.jsonl") if event.event in ("launch", "exit")]
    assert events[-1].event == "exit"
    launches, exits = ({(e.trial_id, e.launch) for e in events if e.event == kind} for kind in ("launch", "exit"))
    assert launches <= exits  # the deadline may come before a launch that was ordered
    assert (path / "tuner.dill").exists()


def test_a_metric_that_no_report_has_is_exit_code_1(folder, command):
    what = ["--metric", "valloss", *WHAT[2:]]
    ended = command("tune", SCRIPT, *SPACE, *what, *HERE, "--deadline", "6s", "--name", "wrong")
    assert ended.returncode == 1, ended.stderr
    assert "no trial has reported a finite 'valloss' at a level 'epoch'" in ended.stderr


def test_a_metric_that_the_script_does_not_report_ends_the_tuning_early(folder, command):
    script = folder / "wrong.py"
    script.write_text(
        "from tests.reporter import Reporter\nfor step in range(1, 30):\n    Reporter()(step=step, acc=0.5)\n"
    )
    arguments = ["lr=log(1e-3,1)", "--metric", "val_accuracy", "--max", "--resource", "epoch:27", *HERE]
    ended = command("tune", script, *arguments, "--deadline", "1h", "--name", "wrong")
    sentence = "the script reports step, acc; the metric is val_accuracy"
    assert (ended.returncode, sentence in ended.stderr) == (1, True), ended.stderr
    assert "Traceback" not in ended.stderr
    for look in ("report", "explain", "verify", "replay"):
        looked = command(look, "wrong")
        assert looked.returncode == 2
        assert looked.stderr.endswith(f"wrong: {sentence}\n")
