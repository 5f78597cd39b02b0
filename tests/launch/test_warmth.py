"""Cases in which a fork would behave differently from a new interpreter."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import types

import pytest

from syne_hypersched.launch._warmth import hidden_module, is_read_when_loaded, searched_first, why_cold


def why(env, server_env, folders=()):
    return why_cold(env, server_env, folders, sys.modules, ())


@pytest.mark.parametrize(
    ("env", "server_env", "reason"),
    [
        ({"PYTHONHASHSEED": "1"}, {}, "PYTHONHASHSEED changed"),
        ({}, {"PYTHONWARNINGS": "error"}, "PYTHONWARNINGS changed"),
        ({"LD_PRELOAD": "x", "OMP_PROC_BIND": "true"}, {}, "LD_PRELOAD, OMP_PROC_BIND changed"),
        ({"TORCHINDUCTOR_CACHE_DIR": "a"}, {"TORCHINDUCTOR_CACHE_DIR": "b"}, "TORCHINDUCTOR_CACHE_DIR changed"),
        ({"PYTHONPROFILEIMPORTTIME": "1"}, {"PYTHONPROFILEIMPORTTIME": "1"}, "PYTHONPROFILEIMPORTTIME is set"),
        ({"PYTHONPROFILEIMPORTTIME": ""}, {"PYTHONPROFILEIMPORTTIME": ""}, ""),
        ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "1"}, ""),
        ({"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "2"}, {"OMP_NUM_THREADS": "1"}, ""),
        ({"RANK": "1", "CUDA_VISIBLE_DEVICES": "0", "LAST": "x", "LR": "1"}, {}, ""),
    ],
)
def test_variables_that_are_read_once(env, server_env, reason):
    assert reason in why(env, server_env)
    assert bool(reason) == bool(why(env, server_env))


@pytest.mark.parametrize("name", ["json.py", "json/__init__.py", "json.so", "logging.abi3.so"])
def test_what_hides_a_module_that_is_loaded(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert hidden_module(str(tmp_path), sys.modules, ()) == str(path)
    assert hidden_module(str(tmp_path), sys.modules, {"json", "logging"}) is None
    assert f"{path} hides a module" in why({}, {}, [str(tmp_path)])


@pytest.mark.parametrize("name", ["sys.py", "time.py", "json.txt", "other.py", "json/data.py", "jsonx.py"])
def test_what_hides_nothing(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert hidden_module(str(tmp_path), sys.modules, ()) is None


def test_a_module_does_not_hide_itself(tmp_path):
    (tmp_path / "own.py").touch()
    own = types.ModuleType("own")
    own.__file__ = str(tmp_path / "own.py")
    assert hidden_module(str(tmp_path), {"own": own}, ()) is None
    assert hidden_module(str(tmp_path / "nothing"), {"own": own}, ()) is None
    assert json.__file__
    assert logging.__file__


def test_the_folders_that_come_first(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "train.py").touch()
    (tmp_path / "link.py").symlink_to(tmp_path / "there" / "train.py")
    script, there = str(tmp_path / "link.py"), str(tmp_path / "there")
    assert searched_first(script, {}, None) == [there]
    assert searched_first(script, {"PYTHONSAFEPATH": "1"}, None) == []
    assert searched_first(script, {"PYTHONPATH": ":lib:/x"}, "/work") == [there, "/work/", "/work/lib", "/x"]


def test_the_folders_of_a_working_directory_that_was_removed(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert searched_first("/x/train.py", {"PYTHONPATH": "lib:/y"}, None) == ["/x", "lib", "/y"]


def test_variables_of_libraries():
    named = [
        "OMP_PROC_BIND",
        "MKL_THREADING_LAYER",
        "TORCH_LOGS",
        "OMP_NUM_THREADS",
        "KMP_DUPLICATE_LIB_OK",
        "TORCH_HOME",
        "JOBLIB_TEMP_FOLDER",
    ]
    assert [name for name in named if is_read_when_loaded(name)] == named[:3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "variables"),
    [
        ("pandas", ["PANDAS_COPY_ON_WRITE", "PANDAS_FUTURE_INFER_STRING"]),
        ("joblib", ["JOBLIB_MULTIPROCESSING", "JOBLIB_START_METHOD", "LOKY_PICKLER"]),
        ("torch", ["TORCH_CUDA_SANITIZER", "TORCH_DEVICE_BACKEND_AUTOLOAD", "TORCH_USE_RTLD_GLOBAL"]),
        ("torch._dynamo", ["TORCH_FAKE_TENSOR_DISPATCH_CACHE", "SYMPY_USE_CACHE"]),
    ],
)
def test_variables_that_libraries_ask_for_when_they_are_loaded(package, variables):
    pytest.importorskip(package.partition(".")[0])
    program = (
        f"from syne_hypersched.launch._trial_import import asked_variables\nwith asked_variables() as asked:\n"
        f"    import {package}\nprint(*sorted(asked))"
    )
    asked = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    # Another version may no longer ask for one of them.
    assert set(variables) & set(asked), "none of them"
    assert all(map(is_read_when_loaded, variables))
