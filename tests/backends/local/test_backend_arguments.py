"""Arguments of the elastic local backend, of its scripts, and programs that are no scripts."""

from __future__ import annotations

import logging
import sys

import dill
import numpy as np
import pytest

from syne_hypersched import ElasticLocalBackend
from tests.backends.local.tunings import make_backend, poll

pytestmark = pytest.mark.usefixtures("no_process_left")


def test_arguments_as_json(script, tmp_path, wait_for):
    text = script.read_text().replace(
        "args = parser.parse_args()",
        'parser.add_argument("--st_config_json_filename")\nargs = parser.parse_args()\n'
        "vars(args).update(json.loads(Path(args.st_config_json_filename).read_text()))\n"
        'assert args.nested == {"a": [1, 2]}',
    )
    script.write_text(text)
    backend = make_backend(script, pass_args_as_json=True)
    backend.start_trial({"x": 2.0, "epochs": 2, "nested": {"a": [1, 2]}})
    reports = poll(backend, [0], lambda reports: len(reports) == 2, wait_for)
    assert reports[0][1]["loss"] == 3.0
    backend.stop_all()


@pytest.mark.parametrize(
    "binary", [pytest.param(sys.executable, marks=pytest.mark.slow), [sys.executable, "-B"], f"{sys.executable} -B"]
)
def test_another_binary_is_launched_cold(script, binary, wait_for):
    backend = make_backend(script, binary=binary)
    assert backend.launch_mode == "cold"
    backend.start_trial({"x": 2.0, "epochs": 1, "mode": "two words"})
    poll(backend, [0], bool, wait_for)
    backend.stop_all()


@pytest.mark.parametrize("name", ["train.sh", "train.py"])
def test_a_program_in_the_working_directory_is_found(tmp_path, monkeypatch, wait_for, name):
    text = {
        "train.sh": """#!/bin/sh\necho '[tune-metric]: {"loss": 2.0}'""",
        "train.py": """print('[tune-metric]: {"loss": 2.0}')""",
    }
    (tmp_path / name).write_text(text[name])
    (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    backend = make_backend(name)
    backend.set_path(str(tmp_path / "run"))
    monkeypatch.chdir("/")  # as a tuner may do before it starts the first trial
    backend.start_trial({})
    ((_, report),) = poll(backend, [0], bool, wait_for)
    assert report["loss"] == 2.0
    backend.stop_all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_devices": 0}, "num_devices must be at least 1, but got 0"),
        ({"processes": "many"}, "processes must be"),
        ({"launch": "hot"}, "launch must be"),
        ({"grace_s": -1}, "grace_s must be"),
        ({"grace_s": float("nan")}, "grace_s must be"),
        ({"num_devices_per_trial": 5}, "num_devices_per_trial must be from 1 to 4"),
        ({"binary": ""}, "binary must name a program"),
        ({"binary": "bash", "launch": "warm"}, 'launch must be "cold"'),
        ({"device_type": "gpu", "gpus_to_use": [99]}, "gpus_to_use"),
        ({"retries": -1}, "retries must be at least 0, but got -1"),
        ({"stall_timeout_s": 0}, "stall_timeout_s must be"),
    ],
)
def test_arguments_must_make_sense(script, options, message):
    with pytest.raises(ValueError, match=message):
        ElasticLocalBackend(script, **{"num_devices": 4, "device_type": "cpu", **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grace_s": "5"}, "grace_s must be a number of seconds, at least 0, but got '5'"),
        ({"grace_s": None}, "grace_s must be a number of seconds"),
        ({"retries": 1.0}, "retries must be an integer, but got 1.0"),
        ({"retry_backoff_s": "1"}, "retry_backoff_s must be a number of seconds"),
        ({"stall_timeout_s": "60"}, "stall_timeout_s must be a number of seconds above 0, or None, but got '60'"),
        ({"min_free_mb": "100"}, "min_free_mb must be a number of megabytes"),
        ({"num_devices_per_trial": 1.0}, "num_devices_per_trial must be an integer, but got 1.0"),
        ({"num_devices_per_trial": True}, "num_devices_per_trial must be an integer, but got True"),
        ({"time_attr": 3}, "time_attr must be the name of an entry of a report, or None, but got 3"),
        ({"delete_checkpoints": "False"}, "delete_checkpoints must be True or False, but got 'False'"),
        ({"pass_args_as_json": 1}, "pass_args_as_json must be True or False, but got 1"),
        ({"preload": "torch"}, "preload must be a sequence of names"),
        ({"entry_point": 3}, "entry_point must be an existing file, but got 3"),
    ],
)
def test_arguments_must_be_of_their_types(script, options, message):
    with pytest.raises(TypeError, match=message):
        ElasticLocalBackend(**{"entry_point": script, "num_devices": 4, "device_type": "cpu", **options})


def test_numbers_of_numpy_are_numbers(script):
    backend = ElasticLocalBackend(
        script, 4, device_type="cpu", grace_s=np.float32(2), retries=np.int64(1), min_free_mb=np.int32(5),
        num_devices_per_trial=np.int64(2), retry_backoff_s=np.float64(1), stall_timeout_s=np.int64(60),
    )  # fmt: skip
    assert (type(backend.grace_s), type(backend.num_devices_per_trial)) == (float, int)


def test_the_script_must_exist(tmp_path):
    with pytest.raises(ValueError, match="entry_point must be an existing file"):
        ElasticLocalBackend(tmp_path / "nothing.py")


def test_a_value_that_no_program_can_be_given_is_an_error(script):
    backend = make_backend(script)
    with pytest.raises(ValueError, match="null character"):
        backend.start_trial({"mode": "a\0b"})
    backend.stop_all()


def test_it_says_which_devices_it_has(script):
    backend = make_backend(script, 3)
    assert str(backend) == "elastic local entry_point train.py on 3 devices"
    assert dill.loads(dill.dumps(backend)).num_devices == 3
    logging.getLogger("syne_hypersched").info("%s", backend)
