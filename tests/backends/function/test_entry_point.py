from __future__ import annotations

import functools
import json
import subprocess
import sys

import pytest

from syne_hypersched.backends.function import _entry_point
from syne_hypersched.backends.function._tune_function import serialise


def as_given(x, **others):
    print([x, others])


def with_folder(x, st_checkpoint_dir, **others):
    print([x, st_checkpoint_dir, others])


def path_of_modules(x):
    import sys

    print(list(dict.fromkeys(sys.path)))


def call(function, folder, config):
    """Calls the function as a trial of the backend does, in a separate process."""
    stored = serialise(function, ["x"])
    (folder / "function").write_bytes(stored.stored)
    where = {"st_tune_function_path": str(folder / "function"), "st_tune_function_sha256": stored.sha256}
    (folder / "config.json").write_text(json.dumps(config | where))
    arguments = ["--st_config_json_filename", str(folder / "config.json"), "--st_checkpoint_dir", "a folder"]
    command = [sys.executable, _entry_point.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.parametrize(
    ("function", "printed"),
    [
        (as_given, [1.5, {"y": None}]),
        (with_folder, [1.5, "a folder", {"y": None}]),
        (path_of_modules, None),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_function_gets_the_configuration_and_the_folder_if_it_takes_one(tmp_path, function, printed):
    config = {"x": 1.5} if function is path_of_modules else {"x": 1.5, "y": None}
    if printed is None:  # as it is now: libraries change it when they are imported
        printed = list(dict.fromkeys(entry for entry in sys.path if entry))
    done = call(function, tmp_path, config)
    assert (done.stdout.strip(), done.stderr) == (repr(printed), "")


def test_a_configuration_that_does_not_fit_fails_as_a_call_does(tmp_path):
    done = call(as_given, tmp_path, {"y": 1})
    assert done.returncode == 1
    assert done.stderr.strip().endswith("as_given() missing 1 required positional argument: 'x'")


def returns_a_coroutine(x):
    async def inner():
        print("never")

    return inner()


def returns_a_generator(x):
    return (print("never") for _ in range(3))


def returns_an_asynchronous_generator(x):
    async def inner():
        yield 1

    return inner()


def returns_a_map(x):
    return map(print, ["never"])


@functools.wraps(returns_a_coroutine)
def wraps_a_coroutine(x):
    return returns_a_coroutine(x)


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (wraps_a_coroutine, "coroutine"),
        (returns_a_generator, "generator"),
        (returns_an_asynchronous_generator, "async_generator"),
        (returns_a_map, "map"),
    ],
)
def test_a_result_that_nothing_runs_is_an_error(tmp_path, function, kind):
    done = call(function, tmp_path, {"x": 1})
    assert (done.returncode, done.stdout) == (126, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"TypeError: tune_function must run when it is called, but it has returned a {kind} object")


def test_other_results_are_ignored(tmp_path):
    done = call(lambda x: [x, iter([1]), range(3)], tmp_path, {"x": 1})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("result", [{"loss": 0.5}, 0.5])
def test_a_result_that_looks_like_a_report_is_pointed_out(tmp_path, result):
    done = call(lambda x: x, tmp_path, {"x": result})
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"tune_function has returned {result!r}, which is not used: a trial reports with")
