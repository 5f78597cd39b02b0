"""Whether nodes see what trials need."""

from __future__ import annotations

import shutil

import pytest

from syne_hypersched.backends.local import local_modules
from syne_hypersched.backends.ray._probe import Probe, answer


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text("print()")
    return path


def asked(probe, **answers):
    """A probe that nodes have answered, each after its order was changed as if it had another disk."""
    for node, change in answers.items():
        assert probe.hear(node, {"probe": probe.order["probe"], **answer({**probe.order, **change})})
    return probe


def test_a_folder_that_is_shared(tmp_path, script):
    probe = asked(Probe(tmp_path / "shared", script), a={}, b={})
    assert probe.problems(["a", "b"]) == probe.not_sharing(["a", "b"]) == {}


def test_a_folder_that_is_not_there_or_another_one(tmp_path, script):
    probe = Probe(tmp_path / "shared", script)
    (tmp_path / "shared" / "x").mkdir()
    (tmp_path / "shared" / "x" / "token").write_text("another")
    asked(probe, a={}, b={"folder": "/nowhere/x"}, c={"folder": str(tmp_path / "shared" / "x")})
    assert "b" in probe.not_sharing(["a", "b"])
    assert "not there or not writable" in probe.problems(["a", "b"])["b"]
    assert "another folder" in probe.not_sharing(["c"])["c"]


def test_a_script_that_is_missing_or_another_one_is_no_matter_of_sharing(tmp_path, script):
    probe = asked(Probe(tmp_path / "shared", script), a={"script": "/nowhere.py"}, b={"sha256": "0"})
    assert probe.not_sharing(["a", "b"]) == {}
    problems = probe.problems(["a", "b", "silent"])
    assert "it has no /nowhere.py" in problems["a"]
    assert "is another one than the tuner's" in problems["b"]
    assert problems["silent"] == "it does not answer"
    assert not probe.is_answered("silent")


def test_nothing_is_left_in_the_folder(tmp_path, script):
    probe = asked(Probe(tmp_path / "shared", script), a={})
    assert probe.not_sharing(["a"]) == {}
    assert list((tmp_path / "shared").glob(".probe-*/answer-*"))
    del probe
    assert list((tmp_path / "shared").iterdir()) == []


def test_the_script_alone(script):
    probe = asked(Probe(None, script), a={})
    assert probe.problems(["a"]) == {}


def test_an_answer_to_another_probe(script):
    assert not Probe(None, script).hear("a", {"probe": "another"})


@pytest.fixture
def project(tmp_path):
    """A script that imports a module and a package beside it."""
    files = {
        "train.py": "import helper, tools.data",
        "helper.py": "x = 1",
        "tools/data.py": "y = 2",
        "other.py": "z = 3",
    }
    for name, text in files.items():
        path = tmp_path / "tuner" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copytree(tmp_path / "tuner", tmp_path / "node")
    return tmp_path


def probe_of(project):
    script = project / "tuner" / "train.py"
    return Probe(None, script, local_modules(script))


def test_modules_beside_the_script_belong_to_it(project):
    order = {**probe_of(project).order, "script": str(project / "node" / "train.py")}
    assert sorted(order["modules"]) == ["helper.py", "tools/data.py"]
    assert answer(order)["error"] == ""
    (project / "node" / "other.py").write_text("nobody imports it")
    assert answer(order)["error"] == ""
    (project / "node" / "tools" / "data.py").write_text("y = 3")
    assert answer(order)["error"].endswith("tools/data.py, which the script imports, is another one than the tuner's")
    (project / "node" / "helper.py").unlink()
    assert "helper.py, which the script imports (No such file" in answer(order)["error"]


def test_modules_that_are_not_beside_the_script_may_be_installed(project, monkeypatch):
    order = {**probe_of(project).order, "script": str(project / "node" / "train.py")}
    (project / "node" / "helper.py").unlink()
    (project / "installed").mkdir()
    (project / "installed" / "helper.py").write_text("x = 1")
    assert answer(order, f"/nowhere:{project / 'installed'}")["error"] == ""
    assert answer(order)["error"] != ""
    monkeypatch.syspath_prepend(project / "installed")
    assert answer(order)["error"] == ""


def test_a_script_behind_a_symbolic_link_has_its_modules_where_python_looks(project):
    link = project / "train.py"
    link.symlink_to(project / "tuner" / "train.py")
    probe = Probe(None, link, local_modules(link))
    assert sorted(probe.order["modules"]) == ["helper.py", "tools/data.py"]
    assert answer(probe.order)["error"] == ""


def test_a_script_that_cannot_be_parsed_has_no_modules(tmp_path):
    script = tmp_path / "train.sh"
    script.write_text("import helper; echo $(")
    assert local_modules(script) == ()
