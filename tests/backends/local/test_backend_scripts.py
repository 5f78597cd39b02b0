"""Scripts of every kind under the elastic local backend, warm and cold."""

from __future__ import annotations

import json

import numpy as np
import pytest
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.trial_status import Status
from syne_tune.config_space import choice, uniform

from syne_hypersched import ASHA, ElasticLocalBackend, ElasticPythonBackend
from tests.backends.local.trials import Trials

pytestmark = pytest.mark.usefixtures("no_process_left")

REPORT = """
import json, os, sys
def report(**values):
    values = {"st_worker_timestamp": 0.0, "st_worker_iter": 0, "st_worker_time": 0.0, **values}
    print("[tune-metric]:", json.dumps(values), flush=True)
"""

#: tests/launch/ compares warm launches with cold ones.
both = pytest.mark.parametrize("launch", ["warm", pytest.param("cold", marks=pytest.mark.slow)])


def run(folder, script, wait_for, config=None, **options):
    """Status of a trial of the script, and what it has reported."""
    trials = Trials(folder, REPORT + script, wait_for, **{"retries": 0, **options})
    trials.start(**(config or {}))
    try:
        status = trials.until_ended()
    finally:
        trials.backend.stop_all()
    return status, trials.reports


@both
@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("", Status.completed),
        pytest.param("sys.exit(0)", Status.completed, marks=pytest.mark.slow),
        pytest.param("sys.stdout.close()", Status.completed, marks=pytest.mark.slow),
        ("sys.stdout = None", Status.completed),
        ("os.close(1)", Status.completed),
        ("sys.stdout.write('lost'); os.close(1)", Status.failed),
        ("sys.exit(3)", Status.failed),
    ],
)
def test_a_trial_ends_as_its_script_does(tmp_path, wait_for, monkeypatch, launch, end, status):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    kept = tmp_path / "kept"
    script = f"report(epoch=1, loss=1.0)\nkept = open({str(kept)!r}, 'w')\nkept.write('whole')\n{end}\n"
    ended, reports = run(tmp_path, script, wait_for, launch=launch)
    assert (ended, [each["epoch"] for each in reports]) == (status, [1])
    assert kept.read_text() == "whole"


@both
@pytest.mark.parametrize("is_left", [False, True])
def test_a_script_that_leaves_its_training_behind_is_told_so(tmp_path, wait_for, caplog, launch, is_left):
    """It runs as a daemon, or does not wait for the process that trains."""
    script = "import subprocess\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\n" if is_left else ""
    status, reports = run(tmp_path, script, wait_for, launch=launch)
    assert (status, reports) == (Status.failed, [])
    assert ("1 process in the background that it had started ended, too" in caplog.text) == is_left


@both
def test_a_script_is_given_its_arguments_by_a_template(tmp_path, wait_for, launch):
    status, reports = run(
        tmp_path,
        "report(epoch=1, argv=sys.argv[1:])\n",
        wait_for,
        {"lr": 0.1, "fast": True, "slow": False, "depth": 3},
        launch=launch,
        arguments=("train", "+model.lr={lr}", "{?fast}", "{?slow}", "a b;$HOME", "{...}"),
    )
    assert status == Status.completed
    folder = tmp_path / "run" / "0" / "checkpoints"
    assert reports[0]["argv"] == [
        "train", "+model.lr=0.1", "--fast", "a b;$HOME", "--depth", "3", "--st_checkpoint_dir", str(folder),
    ]  # fmt: skip


def test_a_place_without_a_value_ends_the_tuning_at_its_first_trial(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "experiments"))
    (tmp_path / "train.py").write_text("")
    backend = ElasticLocalBackend(tmp_path / "train.py", 1, device_type="cpu", arguments=["{learning_rate}", "{...}"])
    scheduler = ASHA({"lr": uniform(0, 1), "fast": choice([True, False])}, "loss", time_attr="epoch", max_t=3)
    tuner = Tuner(backend, scheduler, StoppingCriterion(max_wallclock_time=30), n_workers=1, sleep_time=0.01)
    with pytest.raises(ValueError, match=r"only for lr, fast, st_checkpoint_dir, but has \{learning_rate\}"):
        tuner.run()


def test_a_function_has_no_template(tmp_path):
    with pytest.raises(TypeError, match="unexpected keyword argument 'arguments'"):
        ElasticPythonBackend(lambda x: None, {"x": 1}, 1, arguments=["{x}"])


@both
def test_what_a_trial_on_cpu_slots_sees(tmp_path, wait_for, monkeypatch, launch):
    around = {"CUDA_VISIBLE_DEVICES": "0,1", "TORCHELASTIC_RUN_ID": "1", "SLURM_PROCID": "3", "MKL_NUM_THREADS": "64"}
    for name, value in around.items():
        monkeypatch.setenv(name, value)
    names = [*around, "HIP_VISIBLE_DEVICES", "OMP_NUM_THREADS"]
    script = f"report(epoch=1, env={{name: os.environ.get(name) for name in {names}}}, path=sys.path[0])\n"
    status, reports = run(tmp_path, script, wait_for, launch=launch, num_devices=1)
    assert status == Status.completed
    env = reports[0]["env"]
    assert (env["CUDA_VISIBLE_DEVICES"], env["HIP_VISIBLE_DEVICES"]) == ("", "")
    assert env["TORCHELASTIC_RUN_ID"] is env["SLURM_PROCID"] is None
    assert 1 <= int(env["OMP_NUM_THREADS"]) == int(env["MKL_NUM_THREADS"])
    assert reports[0]["path"] == str(tmp_path)


@both
def test_numpy_has_as_many_threads_as_the_slot_has_cores(tmp_path, wait_for, launch):
    pytest.importorskip("threadpoolctl")
    script = (
        "import numpy, threadpoolctl\n"
        "threads = [pool['num_threads'] for pool in threadpoolctl.threadpool_info()]\n"
        "report(epoch=1, threads=threads, cores=len(os.sched_getaffinity(0)))\n"
    )
    for num_devices in (1, 2):
        folder = tmp_path / str(num_devices)
        folder.mkdir()
        status, (report,) = run(folder, script, wait_for, launch=launch, num_devices=num_devices)
        assert status == Status.completed
        assert set(report["threads"]) == {report["cores"]}


def test_modules_in_the_working_directory_are_not_executed(tmp_path, wait_for, monkeypatch):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for name in ("signal", "socket", "psutil", "numpy"):
        (foreign / f"{name}.py").write_text("open('executed', 'w')\n1 / 0\n")
    monkeypatch.chdir(foreign)
    status, _ = run(tmp_path, "import numpy, signal, socket\nreport(epoch=1)\n", wait_for, launch="warm")
    assert status == Status.completed
    assert not (foreign / "executed").exists()


def test_integers_of_numpy_are_taken(tmp_path):
    (tmp_path / "train.py").write_text("")
    backend = ElasticLocalBackend(
        tmp_path / "train.py", np.int64(2), num_devices_per_trial=np.int64(2), device_type="cpu"
    )
    assert (backend.num_devices, backend.num_devices_per_trial) == (2, 2)
    assert json.dumps([backend.num_devices, backend.num_devices_per_trial]) == "[2, 2]"
    for value in (1.0, True, "1"):
        with pytest.raises(TypeError, match="num_devices_per_trial must be an integer, but got"):
            ElasticLocalBackend(tmp_path / "train.py", 2, num_devices_per_trial=value, device_type="cpu")
