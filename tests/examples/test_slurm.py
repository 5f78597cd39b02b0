"""The scripts for Slurm: what they must hold, and whole jobs with stand-ins for Slurm's commands."""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "slurm"

#: As Slurm's in what matters here: it ends its task with SIGKILL on SIGTERM, and notes which process the task is.
SRUN = """#!{python}
import os, signal, subprocess, sys
arguments = sys.argv[1:]
while arguments[0].startswith("-"):
    if arguments.pop(0) == "-w":
        arguments.pop(0)
if arguments == ["hostname", "-I"]:
    print("127.0.0.1")
    sys.exit()
task = subprocess.Popen(arguments, start_new_session=True)
with open({folder!r} + "/tasks", "a") as file:
    file.write(f"{{task.pid}}\\n")
signal.signal(signal.SIGTERM, lambda *_: task.kill())
sys.exit(task.wait())
"""
SCONTROL = """#!/bin/sh
if [ "$1" = show ]; then echo here; else echo "$@" >> {folder}/asked; fi
"""


def test_the_batch_script_is_bash():
    done = subprocess.run(["bash", "-n", FOLDER / "tune.sbatch"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_batch_script_starts_ray_with_addresses_and_never_ends_that_of_others():
    text = (FOLDER / "tune.sbatch").read_text()
    assert "--node-ip-address=" in text
    assert "RAY_AUTH_MODE=token" in text
    assert "ray stop" not in text
    assert "symmetric-run" not in text.split("set -u")[1]


def test_the_tuner_is_python_and_its_arguments_exist():
    from syne_hypersched import ElasticRayBackend

    tree = ast.parse((FOLDER / "tune.py").read_text())
    (call,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ElasticRayBackend"
    ]
    known = ElasticRayBackend.__init__.__annotations__
    assert {keyword.arg for keyword in call.keywords} <= known.keys()


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


class Job:
    """A job on one node, this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        commands = folder / "bin"
        commands.mkdir()
        for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
            (commands / name).write_text(text.format(python=sys.executable, folder=str(folder)))
            (commands / name).chmod(0o755)
        self.number = str(os.getpid())
        self.experiment = folder / "experiments" / f"slurm-{self.number}"
        self.environment = {
            **os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "SLURM_JOB_ID": self.number,
            "SLURM_JOB_NODELIST": "here", "SLURM_JOB_NUM_NODES": "1", "SLOTS": "2", "PYTHON": sys.executable,
            "SLURM_SUBMIT_DIR": str(FOLDER.parents[1]), "EXPERIMENTS": str(folder / "experiments"), "DEADLINE_S": "25",
        }  # fmt: skip

    @contextlib.contextmanager
    def start(self, num_restarts: int):
        environment = {**self.environment, "SLURM_RESTART_COUNT": str(num_restarts)}
        with open(self.folder / f"job{num_restarts}.log", "w") as log:
            job = subprocess.Popen(["bash", FOLDER / "tune.sbatch"], env=environment, stdout=log, stderr=log)
        try:
            yield job
        finally:  # as Slurm does with the steps of a job that has ended
            tasks = []
            for line in (self.folder / "tasks").read_text().split():
                with contextlib.suppress(psutil.Error):
                    task = psutil.Process(int(line))
                    tasks += [task, *task.children(recursive=True)]
            for process in (*tasks, job):
                with contextlib.suppress(psutil.Error, ProcessLookupError):
                    process.kill()
            job.wait()
            psutil.wait_procs(tasks)
            (self.folder / "tasks").unlink()


@pytest.mark.slow
def test_a_job_stores_everything_before_its_time_limit_is_queued_again_and_goes_on(tmp_path, wait_for):
    pytest.importorskip("ray")
    from syne_hypersched.experiments import check_run, load_run

    job = Job(tmp_path)
    with job.start(0) as process:
        results = job.experiment / "events.jsonl"
        wait_for(lambda: process.poll() is not None or ("first_report" in text_of(results)), 120)
        process.send_signal(signal.SIGUSR1)
        process.wait(60)
    log = (tmp_path / "job0.log").read_text()
    assert (tmp_path / "asked").read_text() == f"requeue {job.number}\n", log
    assert "The tuning was terminated" in log
    with job.start(1) as process:
        process.wait(150)
    log = (tmp_path / "job1.log").read_text()
    assert process.returncode == 0, log
    assert (tmp_path / "asked").read_text() == f"requeue {job.number}\n", "it is queued again only for its time limit"
    assert not list((tmp_path / "experiments").glob("ray-token-*"))
    run = load_run(job.experiment)
    assert {event.reason for event in run.events if event.event == "exit"} >= {"deadline"}
    assert not [violation for violation in check_run(run) if violation.rule != "best"]
