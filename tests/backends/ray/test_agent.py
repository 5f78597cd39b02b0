"""What an agent finds out about its node; the tests of the backend run agents as a whole."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from syne_hypersched.backends.ray._agent import _checkpoints, _probe, _with_own_python


@pytest.fixture
def order(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("print()\n")
    folder = tmp_path / "shared" / ".probe-1"
    folder.mkdir(parents=True)
    (folder / "token").write_text("secret")
    digest = hashlib.sha256(script.read_bytes()).hexdigest()
    return {"script": str(script), "sha256": digest, "folder": str(folder), "token": "secret"}


def test_a_node_that_sees_all_leaves_an_answer(order):
    assert _probe(order) == ""
    assert (Path(order["folder"]) / f"answer-{os.getpid()}").is_file()


@pytest.mark.parametrize(
    ("break_", "why"),
    [
        (lambda order: os.remove(order["script"]), "it has no {script} (No such file or directory)"),
        (lambda order: Path(order["script"]).write_text("x"), "its {script} is another one than the tuner's"),
        (lambda order: (Path(order["folder"]) / "token").write_text("y"), "its {shared} is another folder than"),
        (lambda order: order.update(folder="/nowhere/x"), "/nowhere is not there or not writable (No such file"),
    ],
)
def test_a_node_that_does_not_says_why(order, break_, why):
    break_(order)
    shared = str(Path(order["folder"]).parent)
    assert _probe(order).startswith(why.format(script=order["script"], shared=shared))


def test_the_interpreter_is_that_of_the_node_where_the_tuner_named_its_own():
    assert _with_own_python(["/tuner/python", "train.py"], "/tuner/python") == (sys.executable, "train.py")
    assert _with_own_python(["perl", "/tuner/python"], "/tuner/python") == ("perl", "/tuner/python")


def test_checkpoints_are_handled_with_the_log_of_this_node():
    spec = _checkpoints({"folder": "/f", "log": "/tuner/log", "log_end": 77, "launch": 3, "keep": 4}, Path("/node/log"))
    assert (spec.folder, spec.log, spec.log_end, spec.launch, spec.keep) == ("/f", "/node/log", 0, 3, 4)
